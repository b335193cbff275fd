"""What to do next, derived from the figures of the catalogue report and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vestiary.catalogue import Catalogue, RejectReason
from vestiary.catalogue.catalogue import BY_GROUP
from vestiary.checks import Finding, Severity
from vestiary.product import Split
from vestiary.reports.figures import RARE, Distribution, PictureSummary
from vestiary.reports.page import format_number

STEEP = 100
"""From this many products of the commonest value for one of the rarest on, overall accuracy says little."""

SMALL_SIDE = 150
"""Pictures whose shorter side has fewer pixels show shape and colour, but little of cloth and print."""


@dataclass(frozen=True)
class Advice:
    """One thing to do: a title that says what, and a few sentences that say why and how."""

    title: str
    text: str


def advise(
    catalogue: Catalogue,
    distributions: Sequence[Distribution],
    pictures: PictureSummary,
    unusual: Sequence[tuple[tuple[str, ...], int]],
    findings: Iterable[Finding],
) -> tuple[Advice, ...]:
    """What to do, the most pressing first; the last is always to train."""
    steps = [
        _mend_errors(findings),
        _mend_rejects(catalogue),
        _mend_pictures(pictures),
        _fill_labels(distributions, len(catalogue.products)),
        _move_unusual(unusual),
        _join_rare(distributions),
        _beware_imbalance(distributions),
        _beware_gaps(distributions),
        _want_larger(pictures),
        Advice(
            "Train, and judge on the test part",
            f"{catalogue.counts['splits']['train']:,} products are set aside for learning and "
            f"{catalogue.counts['splits']['test']:,} for the final figures. {_tell_split(catalogue)} The command is: "
            "vestiary train CATALOGUE --out BUNDLE.",
        ),
    ]
    return tuple(step for step in steps if step is not None)


def _mend_errors(findings: Iterable[Finding]) -> Advice | None:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not errors:
        return None
    return Advice(
        f"Mend the {format_number(len(errors), 'error')} found",
        "They make figures or training wrong. The worst are shown above, each with its pictures and its remedy.",
    )


def _tell_split(catalogue: Catalogue) -> str:
    if catalogue.split_by == BY_GROUP:
        return (
            "Products with one name or one picture are kept on the same side, so the figures hold for designs never "
            "seen before."
        )
    return (
        f"The split goes by {catalogue.split_by}: products with one name or one picture may stand on both sides, and "
        "where they do, the figures flatter."
    )


def _mend_rejects(catalogue: Catalogue) -> Advice | None:
    """What the source's owner can mend; what the preparation left out was left out on purpose."""
    counts = catalogue.counts
    loose = counts["pictures_without_a_row"]
    rejected = {reason: n for reason, n in counts["rejected_by_reason"].items() if reason != RejectReason.LEFT_OUT}
    if not rejected and not loose:
        return None
    parts = [f"{n:,} for “{reason}”" for reason, n in rejected.items()]
    parts += [f"{format_number(loose, 'picture')} without a row"] if loose else []
    return Advice(
        "Mend what was left out",
        f"Left out: {_list(parts)}. rejects.csv in the catalogue's folder names every line with its reason; "
        "mend the source and ingest it again.",
    )


def _mend_pictures(pictures: PictureSummary) -> Advice | None:
    if not pictures.unreadable:
        return None
    return Advice(
        "Put back the pictures that are gone",
        f"{format_number(len(pictures.unreadable), 'picture')} could be read when the catalogue was made and cannot be "
        f"now, such as {pictures.unreadable[0]}. Put the pictures back or ingest the source again.",
    )


def _fill_labels(distributions: Sequence[Distribution], n_products: int) -> Advice | None:
    gaps = sorted((own for own in distributions if own.n_missing), key=lambda own: -own.n_missing)
    if not gaps:
        return None
    parts = [f"{own.title} on {own.n_missing:,} ({100 * own.n_missing / n_products:.1f} %)" for own in gaps]
    return Advice(
        "Fill in the missing labels",
        f"Products without a label: {_list(parts)}. A product without a label still teaches everything else, so this "
        "is worth the work where many are missing.",
    )


def _move_unusual(unusual: Sequence[tuple[tuple[str, ...], int]]) -> Advice | None:
    if not unusual:
        return None
    n = sum(count for _, count in unusual)
    parts = [f"{count:,} × {' › '.join(path)}" for path, count in unusual[:3]]
    return Advice(
        f"Look at {format_number(n, 'product')} in an unusual place",
        f"Nearly all products of the same kind stand elsewhere in the tree. Most often: {_list(parts)}. "
        "They are marked in the tree above.",
    )


def _join_rare(distributions: Sequence[Distribution]) -> Advice | None:
    rare = [own for own in distributions if own.rare]
    if not rare:
        return None
    parts = []
    for own in rare:
        names = _list([value for value, _ in own.rare[:3]]) if len(own.rare) <= 3 else ""
        n = sum(count for _, count in own.rare)
        values = format_number(len(own.rare), "value")
        parts.append(f"{own.title} has {values} ({names or 'see the bars'}; {format_number(n, 'product')} in all)")
    return Advice(
        f"Decide about values with fewer than {RARE} products",
        f"{'; '.join(parts)}. Nothing reliable can be learnt or measured from so few: join each with a near "
        "neighbour, collect more pictures, or leave it out.",
    )


def _beware_imbalance(distributions: Sequence[Distribution]) -> Advice | None:
    steep = [own for own in distributions if own.imbalance >= STEEP]
    if not steep:
        return None
    parts = [f"{own.title} ({own.imbalance:,.0f} : 1)" for own in sorted(steep, key=lambda own: -own.imbalance)]
    return Advice(
        "Do not trust overall accuracy alone",
        f"The commonest value has a hundred times the products of the rarest, or more, in {_list(parts)}. Always "
        "answering the commonest would look good on paper: read the figures of each value, and their plain average "
        "(macro F1).",
    )


def _beware_gaps(distributions: Sequence[Distribution]) -> Advice | None:
    parts = []
    for own in distributions:
        known = [(own.absent[Split.TRAIN], "none to learn from"), (own.absent[Split.TEST], "none to test")]
        gaps = [f"{format_number(n, 'value')} with {words}" for n, words in known if n]
        parts += [f"{own.title} has {_list(gaps)}"] if gaps else []
    if not parts:
        return None
    return Advice(
        "Know what will not be measured",
        f"Some values are so rare that a part of the catalogue has no product of them: {'; '.join(parts)}.",
    )


def _want_larger(pictures: PictureSummary) -> Advice | None:
    width, height = pictures.median_size
    if not 0 < min(width, height) < SMALL_SIDE:
        return None
    return Advice(
        "Use larger pictures where you have them",
        f"Half of the pictures have {width} × {height} pixels or fewer. That shows shape and colour; fine patterns, "
        "collars and small print need about twice as much.",
    )


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
