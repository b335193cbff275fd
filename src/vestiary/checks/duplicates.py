"""Findings about pictures that several products share, to the last pixel or as good as.

Near-identical pictures are looked for in two steps. ``find_close_hashes`` gives pairs whose 256-bit hashes differ in
few bits, without comparing every picture with every other. Their thumbnails are then compared pixel by pixel, because
a hash of brightness alone takes two lipsticks of one brand, or one shirt in two colours, for the same picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vestiary.catalogue import Catalogue
from vestiary.checks.dealer import Dealer, find_dealer
from vestiary.checks.files import BLANK_CONTRAST
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.measure import HASH_BITS, PictureFacts, stack_bytes
from vestiary.checks.wording import count, list_some
from vestiary.product import Product, Split

BANDS: Final = 16
"""Parts of a hash; two hashes that differ in fewer bits than there are bands agree in at least one of them."""
MAX_DISTANCE: Final = BANDS - 1
"""Bits in which near-identical pictures may differ. JPEG at quality 70 turns more in 0.3 % of real pictures."""
WINDOW: Final = 32
"""How many neighbours in the order of a band each hash is compared with; bounds the work by BANDS × WINDOW × n."""
NEAR_MEAN: Final = 1.5
NEAR_PEAK: Final = 24
"""Mean and largest difference of two thumbnails, of 255, up to which pictures are near-identical.

Measured by saving real pictures again as JPEG: of those of 60×80 px 97 % stay within both limits at quality 70 and 46 %
at 50, of those of 300×400 px all do. Pairs of different products within the limits were looked at: the same photo each
time, of some cosmetics in a neighbouring shade.
"""

_REMEDY: Final = {
    Dealer.GROUPS: "Give them one product name in the source, or remove all but one of them there, and",
    Dealer.SOURCE: "Put them into one split in the source, or remove all but one of them there, and",
    Dealer.PREPARATION: "Remove all but one of them from the source and",
}
"""Products of one name form a group, and a group that has grown together keeps one of its earlier splits."""


@dataclass(frozen=True, slots=True)
class ClosePairs:
    """Rows of hashes that differ little: ``pairs`` is ``int64 [m, 2]``, ``n_compared`` how many were looked at."""

    pairs: NDArray[np.int64]
    n_compared: int


def check_duplicates(catalogue: Catalogue, facts: Sequence[PictureFacts]) -> list[Finding]:
    """One finding for each set of products with identical, and with near-identical, pictures.

    Sets whose labels disagree come first; a near-identical set that is an identical one too is told of once.
    """
    products = {product.id: product for product in catalogue.products}
    identical = find_identical(catalogue.products)
    same = {frozenset(ids) for ids in identical}
    near = [ids for ids in find_near_identical(facts) if frozenset(ids) not in same]
    told = [(ids, False) for ids in identical] + [(ids, True) for ids in near]
    told.sort(key=lambda entry: not _differing_labels(entry[0], products))
    dealer = find_dealer(catalogue)
    return [_tell(ids, products, dealer, near=is_near) for ids, is_near in told]


def find_identical(products: Sequence[Product]) -> list[tuple[str, ...]]:
    """Sets of product ids with a picture in common to the last pixel, by the catalogue's hashes; largest first."""
    by_hash: dict[str, list[str]] = defaultdict(list)
    for product in products:
        for pixel_hash in set(product.pixel_hashes):
            by_hash[pixel_hash].append(product.id)
    links = [(ids[0], other) for ids in by_hash.values() for other in ids[1:]]
    return _join(links)


def find_near_identical(facts: Sequence[PictureFacts]) -> list[tuple[str, ...]]:
    """Sets of product ids with near-identical pictures, directly or through others, largest first; no blank ones."""
    usable = [
        (entry.product, entry.look)
        for entry in facts
        if entry.look is not None and entry.look.contrast >= BLANK_CONTRAST
    ]
    if len(usable) < 2:
        return []
    # Thumbnails that agree in every byte are one row: a picture used a thousand times costs nothing.
    rows: dict[tuple[bytes, bytes], list[str]] = defaultdict(list)
    for product, look in usable:
        rows[look.hash, look.thumbnail].append(product)
    holders = list(rows.values())
    thumbnails = stack_bytes([thumbnail for _, thumbnail in rows])
    close = find_close_hashes(stack_bytes([picture_hash for picture_hash, _ in rows])).pairs
    pairs = close[_is_same_picture(thumbnails, close)]
    links = [(ids[0], other) for ids in holders for other in ids[1:]]
    links += [(holders[left][0], holders[right][0]) for left, right in pairs.tolist()]
    return _join(links)


def find_close_hashes(
    hashes: NDArray[np.uint8], *, max_distance: int = MAX_DISTANCE, window: int = WINDOW
) -> ClosePairs:
    """Pairs of ``uint8 [n, 32]`` hashes that differ in at most ``max_distance`` bits, each once, the smaller row first.

    After Manku, Jain and Das Sarma (2007), "Detecting near-duplicates for web crawling": the hash is cut into BANDS;
    for each band all hashes are sorted by that band and then by the bits after it, and each is compared with those of
    the next ``window`` that share the band. So no more than BANDS × ``window`` × n pairs are compared, whatever the
    hashes. Complete up to MAX_DISTANCE, unless more than ``window`` others crowd between two hashes in every band
    that they share.
    """
    words = hashes.view(np.uint64)
    bands = hashes.view(f"u{HASH_BITS // BANDS // 8}")
    found = [np.empty((0, 2), dtype=np.int64)]
    n_compared = 0
    for first in range(BANDS):
        order = np.lexsort(np.roll(bands, -first, axis=1).T[::-1])
        band, sorted_words = bands[order, first], words[order]
        for step in range(1, min(window, len(hashes) - 1) + 1):
            left = np.flatnonzero(band[step:] == band[:-step])
            if not len(left):
                break
            n_compared += len(left)
            differing = np.bitwise_count(sorted_words[left] ^ sorted_words[left + step]).sum(axis=1)
            near = left[differing <= max_distance]
            found.append(np.stack([order[near], order[near + step]], axis=1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return ClosePairs(pairs, n_compared)


def _is_same_picture(thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the thumbnails ``uint8 [n, bytes]`` of each pair differ as little as after saving once more."""
    same = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), 4096):
        left, right = thumbnails[pairs[start : start + 4096].T].astype(np.int16)
        difference = np.abs(left - right)
        same[start : start + 4096] = (difference.max(axis=1) <= NEAR_PEAK) & (difference.mean(axis=1) <= NEAR_MEAN)
    return same


def _join(links: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Sets of ids linked directly or through others, each of two or more, largest first."""
    parent: dict[str, str] = {}

    def find(product: str) -> str:
        parent.setdefault(product, product)
        while parent[product] != product:
            parent[product] = parent[parent[product]]
            product = parent[product]
        return product

    for left, right in links:
        parent[find(right)] = find(left)
    sets: dict[str, list[str]] = defaultdict(list)
    for product in parent:
        sets[find(product)].append(product)
    return sorted((tuple(ids) for ids in sets.values() if len(ids) > 1), key=lambda ids: -len(ids))


def _tell(ids: tuple[str, ...], products: Mapping[str, Product], dealer: Dealer, *, near: bool) -> Finding:
    found = {products[product].split for product in ids}
    splits = [str(split) for split in Split if split in found]
    what = "near-identical" if near else "identical"
    check = "duplicates.near" if near else "duplicates.identical"
    which = f"{count(len(ids), 'product')} ({list_some(ids)}) have {what} pictures"
    if len(splits) > 1:
        return Finding(
            f"{check}_across_splits",
            Severity.ERROR,
            ids,
            f"{which} in {' and '.join(splits)}.",
            f"{_REMEDY[dealer]} ingest again with --overwrite: figures on the other split are too good.",
        )
    differing = _differing_labels(ids, products)
    disagree = f", labelled differently in {list_some(differing)}" if differing else ""
    return Finding(
        check,
        Severity.WARNING if differing or not near else Severity.INFO,
        ids,
        f"{which}{disagree}.",
        "Keep one of them, or give each its own picture" + ("; settle their labels." if differing else "."),
    )


def _differing_labels(ids: Sequence[str], products: Mapping[str, Product]) -> list[str]:
    values: dict[str, set[str]] = defaultdict(set)
    for product in ids:
        for name, value in products[product].labels.items():
            values[name].add(value)
    return [name for name, found in values.items() if len(found) > 1]
