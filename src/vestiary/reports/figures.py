"""The figures of the catalogue report from labels and pictures: counts, cross-tabs, the tree, picture sizes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vestiary.catalogue import Catalogue
from vestiary.checks import PictureFacts
from vestiary.errors import UsageError
from vestiary.product import Product, Split
from vestiary.taxonomy import Attribute, Taxonomy

RARE = 10
"""Below this many products a value is called rare: too few to learn from and to measure by."""

CROSSES = (("gender", "articleType"), ("season", "baseColour"))
"""The pairs that are crossed when nobody asks for others and the catalogue has them."""

MAX_ROWS, MAX_COLUMNS = 48, 12
"""The most rows and columns of a cross-tab: a printed page holds as many."""


@dataclass(frozen=True)
class Distribution:
    """How often each value of an attribute occurs: ``counts`` has every value, commonest first, unused ones too."""

    name: str
    title: str
    counts: tuple[tuple[str, int], ...]
    n_missing: int
    absent: Mapping[Split, int]

    @property
    def n_labelled(self) -> int:
        """Products with a label."""
        return sum(n for _, n in self.counts)

    @property
    def n_used(self) -> int:
        """Values that at least one product has."""
        return sum(n > 0 for _, n in self.counts)

    @property
    def imbalance(self) -> float:
        """Products of the commonest value for each one of the rarest that is used; 1 when none is."""
        used = [n for _, n in self.counts if n]
        return max(used) / min(used) if used else 1.0

    @property
    def rare(self) -> tuple[tuple[str, int], ...]:
        """Values with fewer than RARE products, unused ones too."""
        return tuple((value, n) for value, n in self.counts if n < RARE)


@dataclass(frozen=True)
class CrossTab:
    """Products by value of two attributes: ``counts[row][column]``, commonest first, the rest folded into one."""

    down: str
    across: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    n_products: int

    @property
    def most(self) -> int:
        """The largest count."""
        return max((n for row in self.counts for n in row), default=0)

    @property
    def n_empty(self) -> int:
        """Pairs that no product has."""
        return sum(n == 0 for row in self.counts for n in row)


@dataclass(frozen=True)
class Branch:
    """A value in the tree of categories; ``usual`` is False where the parent above it is not one of its own."""

    value: str
    n: int
    usual: bool
    children: tuple[Branch, ...]


@dataclass(frozen=True)
class PictureSummary:
    """What all pictures are like; sizes, shapes, modes and formats are (words, pictures), commonest first."""

    n: int
    unreadable: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, int], ...]
    modes: tuple[tuple[str, int], ...]
    formats: tuple[tuple[str, int], ...]
    kilobytes: tuple[float, float, float]
    median_size: tuple[int, int]


def count_labels(catalogue: Catalogue) -> tuple[Distribution, ...]:
    """The distribution of every attribute, in the taxonomy's order."""
    titles = catalogue.taxonomy.titles
    return tuple(_count_attribute(catalogue.products, own, titles[own.name]) for own in catalogue.taxonomy.attributes)


def _count_attribute(products: Sequence[Product], attribute: Attribute, title: str) -> Distribution:
    by_split = {
        split: Counter(p.labels[attribute.name] for p in products if p.split == split and attribute.name in p.labels)
        for split in Split
    }
    counts = sum(by_split.values(), Counter[str]())
    return Distribution(
        name=attribute.name,
        title=title,
        counts=tuple(sorted(((v, counts[v]) for v in attribute.values), key=lambda pair: (-pair[1], pair[0]))),
        n_missing=len(products) - counts.total(),
        absent={split: sum(own[value] == 0 for value in counts) for split, own in by_split.items()},
    )


def choose_crosses(taxonomy: Taxonomy, wanted: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of attributes that ``wanted`` asks for as ``A×B`` or ``A,B``; without any, CROSSES or what comes close.

    Raises UsageError for anything that is not two different attributes of the taxonomy.
    """
    pairs = tuple(_parse_cross(taxonomy, text) for text in wanted)
    if pairs or len(taxonomy.names) < 2:
        return pairs
    usual = tuple(pair for pair in CROSSES if set(pair) <= set(taxonomy.names))
    by_size = sorted(taxonomy.names, key=lambda name: len(taxonomy[name].values))
    return usual or ((by_size[0], by_size[-1]),)


def _parse_cross(taxonomy: Taxonomy, text: str) -> tuple[str, str]:
    known = {name.casefold(): name for name in taxonomy.names}
    parts = [part.strip() for part in text.replace("×", ",").split(",")]
    if len(parts) != 2 or parts[0].casefold() == parts[1].casefold():
        raise UsageError(f"--cross {text!r} does not name two attributes; write it like: --cross {_example(taxonomy)}.")
    for part in parts:
        if part.casefold() not in known:
            names = ", ".join(taxonomy.names)
            raise UsageError(f"--cross names {part!r}, which the catalogue does not have; choose from: {names}.")
    return known[parts[0].casefold()], known[parts[1].casefold()]


def _example(taxonomy: Taxonomy) -> str:
    return ",".join((*taxonomy.names, *taxonomy.names)[:2]) if len(taxonomy.names) > 1 else "gender,season"


def cross_labels(catalogue: Catalogue, pair: tuple[str, str]) -> CrossTab:
    """Products that have both labels, by their values; the attribute with more values goes down the side."""
    across, down = sorted(pair, key=lambda name: len(catalogue.taxonomy[name].values))
    both = Counter((p.labels[down], p.labels[across]) for p in catalogue.products if {down, across} <= p.labels.keys())
    rows = _fold(both, 0, MAX_ROWS)
    columns = _fold(both, 1, MAX_COLUMNS)
    folded: Counter[tuple[str, str]] = Counter()
    for (row, column), n in both.items():
        folded[rows[row], columns[column]] += n
    row_names, column_names = (tuple(dict.fromkeys(names.values())) for names in (rows, columns))
    titles = catalogue.taxonomy.titles
    return CrossTab(
        down=titles[down],
        across=titles[across],
        rows=row_names,
        columns=column_names,
        counts=tuple(tuple(folded[row, column] for column in column_names) for row in row_names),
        n_products=both.total(),
    )


def _fold(both: Counter[tuple[str, str]], side: int, most: int) -> dict[str, str]:
    """The name under which each value is shown, commonest first: its own, or that of all the rarer ones together."""
    totals: Counter[str] = Counter()
    for pair, n in both.items():
        totals[pair[side]] += n
    ranked = sorted(totals, key=lambda value: (-totals[value], value))
    n_shown = len(ranked) if len(ranked) <= most else most - 1
    rest = f"({len(ranked) - n_shown} rarer)"
    return {value: value if rank < n_shown else rest for rank, value in enumerate(ranked)}


def find_levels(taxonomy: Taxonomy) -> tuple[str, ...]:
    """The longest chain of attributes from parent to child that the taxonomy's rules make; empty without rules."""
    parents = {
        rule.child: [other.parent for other in taxonomy.parents if other.child == rule.child]
        for rule in taxonomy.parents
    }

    def climb(name: str, below: tuple[str, ...]) -> tuple[str, ...]:
        chains = [climb(parent, (name, *below)) for parent in parents.get(name, ()) if parent not in below]
        return max(chains, key=len, default=(name, *below))

    return max((climb(child, ()) for child in parents), key=len, default=())


def build_tree(catalogue: Catalogue, levels: Sequence[str]) -> tuple[Branch, ...]:
    """Values of the first level with those below them, as products have them, commonest first."""
    paths = [tuple(product.labels.get(level) for level in levels) for product in catalogue.products]
    return _grow(catalogue.taxonomy, levels, paths, {}, told=False)


def _grow(
    taxonomy: Taxonomy,
    levels: Sequence[str],
    paths: Sequence[tuple[str | None, ...]],
    above: dict[str, str],
    *,
    told: bool,
) -> tuple[Branch, ...]:
    """The branches below ``above``; what is below an unusual place is not called unusual again (``told``)."""
    depth = len(above)
    if depth == len(levels):
        return ()
    below: dict[str, list[tuple[str | None, ...]]] = {}
    for path in paths:
        value = path[depth]
        if value is not None:
            below.setdefault(value, []).append(path)
    branches = []
    for value in sorted(below, key=lambda value: (-len(below[value]), value)):
        own = above | {levels[depth]: value}
        usual = told or all(rule.allows(own) for rule in taxonomy.parents if rule.child == levels[depth])
        branches.append(
            Branch(value, len(below[value]), usual, _grow(taxonomy, levels, below[value], own, told=told or not usual))
        )
    return tuple(branches)


def list_unusual(tree: Iterable[Branch], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], int]]:
    """Paths through the tree that end in an unusual place, with their products, most first."""
    found = []
    for branch in tree:
        own = (*path, branch.value)
        found += list_unusual(branch.children, own) if branch.usual else [(own, branch.n)]
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))


MODES = {
    "RGB": "colour",
    "L": "grey",
    "P": "palette",
    "RGBA": "colour with transparency",
    "CMYK": "print colours (CMYK)",
}
"""Plain words for Pillow's modes; a mode that is not here goes by its own name."""


def sum_up_pictures(facts: Sequence[PictureFacts]) -> PictureSummary:
    """Sizes, shapes, modes and formats of the pictures that could be read."""
    read = [own for own in facts if own.failure is None]
    lengths = sorted(own.n_bytes / 1000 for own in read) or [0.0]
    return PictureSummary(
        n=len(facts),
        unreadable=tuple(own.image for own in facts if own.failure is not None),
        sizes=_rank(f"{own.width} × {own.height}" for own in read),
        shapes=_rank(_name_shape(own) for own in read),
        modes=_rank(MODES.get(own.mode, own.mode) for own in read),
        formats=_rank(own.format for own in read),
        kilobytes=(lengths[0], statistics.median(lengths), lengths[-1]),
        median_size=(
            round(statistics.median([own.width for own in read] or [0])),
            round(statistics.median([own.height for own in read] or [0])),
        ),
    )


def _name_shape(facts: PictureFacts) -> str:
    if abs(facts.width - facts.height) <= 0.02 * max(facts.width, facts.height):
        return "square"
    return "upright" if facts.height > facts.width else "lying"


def _rank(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0])))
