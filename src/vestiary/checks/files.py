"""Findings about the picture files: what cannot be read, what is unlike the rest, what shows too little."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from vestiary.catalogue import Catalogue, RejectReason
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.measure import Look, PictureFacts
from vestiary.checks.wording import count, list_some, unique, verb

# Chosen on the Fashion Product Images (60×80 px, 300×400 px, originals) and on 1,040 phone snapshots: in brackets
# the most extreme picture there that a person would still call good.
TINY_SIDE: Final = 32
"""Pixels of the shorter side below which little can be told (smallest good one: 53)."""
HUGE_PIXELS: Final = 25_000_000
"""Pixels above which a file costs time and memory and tells a model nothing more (largest: 4.3 million)."""
HUGE_BYTES: Final = 20_000_000
BLANK_CONTRAST: Final = 1.5
"""Standard deviation, of 255, below which there is nothing to see (thin earrings on white: 2.7)."""
DARK_HIGHLIGHTS: Final = 100.0
"""Luma, of 255, that 95 % of the pixels of a dark picture stay below (the darkest good one: 150)."""
BLURRED_SHARPNESS: Final = 0.03
"""Sharpness below which a picture is out of focus (least sharp good one: 0.064; a Gaussian blur of 0.8 % of the
longer side brings the median picture to 0.022, of 1.6 % to 0.004)."""
MAJORITY: Final = 0.8
"""The share of pictures that makes a mode, size or aspect the catalogue's own, so that others are odd."""


def check_files(catalogue: Catalogue, facts: Sequence[PictureFacts]) -> list[Finding]:
    """Every finding about files; ``facts`` are those of ``measure_pictures``."""
    seen = [(entry, entry.look) for entry in facts if entry.look is not None]
    return [
        *_check_rejects(catalogue),
        *_check_missing(catalogue, facts),
        *_check_failures(facts),
        *_check_odd_modes([entry for entry, _ in seen]),
        *_check_odd_sizes([entry for entry, _ in seen]),
        *_check_extremes([entry for entry, _ in seen]),
        *_check_looks(seen),
    ]


_REJECTED = {
    RejectReason.NO_PICTURE: (
        "files.missing",
        Severity.WARNING,
        "{rows} {were} left out at ingest because {their} picture is not there.",
        "Add the pictures to the source and ingest again.",
    ),
    RejectReason.UNREADABLE_PICTURE: (
        "files.unreadable",
        Severity.WARNING,
        "{rows} {were} left out at ingest because {their} picture cannot be read.",
        "Save these pictures again (rejects.csv says why each failed) and ingest again.",
    ),
    RejectReason.NO_ROW: (
        "files.unlabelled",
        Severity.INFO,
        "{pictures} {belong} to no row of the table.",
        "Add rows for these pictures, or remove them.",
    ),
}


def _check_rejects(catalogue: Catalogue) -> Iterable[Finding]:
    for reason, (check, severity, message, remedy) in _REJECTED.items():
        ids = unique(reject.id for reject in catalogue.rejects if reject.reason == reason)
        n = sum(reject.reason == reason for reject in catalogue.rejects)
        if n:
            words = {
                "rows": count(n, "row"),
                "pictures": count(n, "picture"),
                "were": verb(n, "was", "were"),
                "their": verb(n, "its", "their"),
                "belong": verb(n, "belongs", "belong"),
            }
            yield Finding(check, severity, ids, message.format(**words), remedy)


def _check_missing(catalogue: Catalogue, facts: Sequence[PictureFacts]) -> Iterable[Finding]:
    gone = [entry for entry in facts if entry.failure is not None and entry.failure.code == "missing"]
    without = [product.id for product in catalogue.products if not product.images]
    if gone:
        yield Finding(
            "files.missing",
            Severity.ERROR,
            unique(entry.product for entry in gone),
            f"{count(len(gone), 'picture')} {verb(len(gone), 'has', 'have')} gone from the source since ingest: "
            f"{list_some(entry.image for entry in gone)}.",
            "Put the pictures back, or ingest the source again.",
        )
    if without:
        yield Finding(
            "files.missing",
            Severity.ERROR,
            tuple(without),
            f"{count(len(without), 'product')} {verb(len(without), 'has', 'have')} no picture.",
            "Add pictures to the source and ingest again.",
        )


def _check_failures(facts: Sequence[PictureFacts]) -> Iterable[Finding]:
    kinds = {"too-large": "files.huge", "too-small": "files.tiny", "missing": None}
    by_check: dict[str, list[PictureFacts]] = defaultdict(list)
    for entry in facts:
        check = kinds.get(entry.failure.code, "files.unreadable") if entry.failure is not None else None
        if check is not None:
            by_check[check].append(entry)
    for check, entries in by_check.items():
        first = entries[0]
        reason = first.failure.message if first.failure is not None else ""
        yield Finding(
            check,
            Severity.ERROR,
            unique(entry.product for entry in entries),
            f"{count(len(entries), 'picture')} cannot be used; the first is {first.image}: {reason}",
            "Save these pictures again in the source and ingest it again.",
        )


def _check_odd_modes(entries: Sequence[PictureFacts]) -> Iterable[Finding]:
    usual, odd = _split_by_majority(entries, lambda entry: entry.mode)
    for mode, others in odd.items():
        yield Finding(
            "files.odd_mode",
            Severity.INFO,
            unique(entry.product for entry in others),
            f"{count(len(others), 'picture')} {verb(len(others), 'has', 'have')} mode {mode} "
            f"where the others have {usual}.",
            "They are converted when read; look whether their colours are as meant.",
        )


def _check_odd_sizes(entries: Sequence[PictureFacts]) -> Iterable[Finding]:
    usual, odd = _split_by_majority(entries, lambda entry: f"{entry.width}×{entry.height} px")
    what = "size"
    if usual is None:
        what = "aspect (width to height)"
        usual, odd = _split_by_majority(entries, lambda entry: f"{entry.width / entry.height:.2f}")
    if odd:
        others = [entry for found in odd.values() for entry in found]
        sizes = Counter(f"{entry.width}×{entry.height} px" for entry in others)
        told = list_some(f"{size} ({n:,})" for size, n in sizes.most_common())
        yield Finding(
            "files.odd_size",
            Severity.INFO,
            unique(entry.product for entry in others),
            f"{count(len(others), 'picture')} {verb(len(others), 'has', 'have')} another {what} "
            f"than the usual {usual}: {told}.",
            "They are scaled and padded when read; look whether they were cropped or squashed.",
        )


def _split_by_majority(
    entries: Sequence[PictureFacts], key: Callable[[PictureFacts], str]
) -> tuple[str | None, dict[str, list[PictureFacts]]]:
    """What at least MAJORITY of the pictures have (None without such), and the others by what they have."""
    groups: dict[str, list[PictureFacts]] = defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(entry)
    usual = max(groups, key=lambda own: len(groups[own]), default=None)
    if usual is None or len(groups[usual]) < MAJORITY * len(entries):
        return None, {}
    return usual, {own: found for own, found in groups.items() if own != usual}


def _check_extremes(entries: Sequence[PictureFacts]) -> Iterable[Finding]:
    tiny = sorted(
        (entry for entry in entries if min(entry.width, entry.height) < TINY_SIDE),
        key=lambda entry: min(entry.width, entry.height),
    )
    if tiny:
        yield Finding(
            "files.tiny",
            Severity.WARNING,
            unique(entry.product for entry in tiny),
            f"{count(len(tiny), 'picture')} {verb(len(tiny), 'has', 'have')} a side under {TINY_SIDE} px, "
            f"the smallest {tiny[0].width}×{tiny[0].height} px.",
            "Replace them with larger ones: little can be told from so few pixels.",
        )
    huge = sorted(
        (entry for entry in entries if entry.width * entry.height > HUGE_PIXELS or entry.n_bytes > HUGE_BYTES),
        key=lambda entry: -entry.width * entry.height,
    )
    if huge:
        yield Finding(
            "files.huge",
            Severity.WARNING,
            unique(entry.product for entry in huge),
            f"{count(len(huge), 'picture')} {verb(len(huge), 'has', 'have')} more than {HUGE_PIXELS / 1e6:.0f} million "
            f"pixels or {HUGE_BYTES / 1e6:.0f} MB, the largest {huge[0].width}×{huge[0].height} px.",
            "Save them smaller: 2,000 px on the longer side is plenty, and all of it is read again and again.",
        )


_Seen = Sequence[tuple[PictureFacts, Look]]


def _check_looks(seen: _Seen) -> Iterable[Finding]:
    """Blank, else dark, else blurred: one picture is told of once."""
    visible = [pair for pair in seen if pair[1].contrast >= BLANK_CONTRAST]
    lit = [pair for pair in visible if pair[1].highlights >= DARK_HIGHLIGHTS]
    yield from _tell_worst(
        "files.blank",
        [pair for pair in seen if pair[1].contrast < BLANK_CONTRAST],
        lambda look: look.contrast,
        "of a single tone: nothing can be seen",
        "Replace them, or remove these products.",
    )
    yield from _tell_worst(
        "files.dark",
        [pair for pair in visible if pair[1].highlights < DARK_HIGHLIGHTS],
        lambda look: look.highlights,
        f"dark: 95 % of the pixels are below {DARK_HIGHLIGHTS:.0f} of 255",
        "Take or develop these pictures again, brighter.",
    )
    yield from _tell_worst(
        "files.blurred",
        [pair for pair in lit if pair[1].sharpness < BLURRED_SHARPNESS],
        lambda look: look.sharpness,
        f"blurred: sharpness under {BLURRED_SHARPNESS}",
        "Look at them, and take those out of focus again.",
    )


def _tell_worst(check: str, seen: _Seen, measure: Callable[[Look], float], what: str, remedy: str) -> Iterable[Finding]:
    if seen:
        worst = [entry for entry, _ in sorted(seen, key=lambda pair: measure(pair[1]))]
        n, names = len(worst), list_some(entry.image for entry in worst)
        message = f"{count(n, 'picture')} {verb(n, 'is', 'are')} {what} ({names})."
        yield Finding(check, Severity.WARNING, unique(entry.product for entry in worst), message, remedy)
