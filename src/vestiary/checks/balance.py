"""Findings about proportions: between the values of an attribute, and between the splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from vestiary.catalogue import Catalogue
from vestiary.catalogue.splits import RATIOS
from vestiary.checks.dealer import Dealer, find_dealer
from vestiary.checks.finding import Finding, Severity
from vestiary.checks.wording import count, list_some, verb
from vestiary.product import Product, Split, fold_name

IMBALANCE_TOLD: Final = 10
"""Ratio of the commonest to the rarest value from which on it is worth telling …"""
IMBALANCE_WARNING: Final = 100
"""… and from which on accuracy alone says little."""
SHARE_TOLERANCE: Final = 0.05
"""How far the share of a split may be from the usual one before it is told."""

MIN_GROUPS: Final = 20
"""Groups from which on the usual shares can be had at all."""

_LEAK_REMEDY: Final = {
    Dealer.GROUPS: "Ingest the source again into a new --out",
    Dealer.SOURCE: "Ingest the source into a new --out, without --keep-splits (or --split-column)",
    Dealer.PREPARATION: "Ingest the source into a new --out, without the preparation's step split-each",
}


def check_balance(catalogue: Catalogue) -> list[Finding]:
    """Every finding about balance and splits."""
    return [
        *_check_imbalance(catalogue),
        *_check_absent_values(catalogue),
        *_check_leaks(catalogue),
        *_check_shares(catalogue),
    ]


def _check_imbalance(catalogue: Catalogue) -> Iterable[Finding]:
    for name in catalogue.taxonomy.names:
        counts = Counter(product.labels[name] for product in catalogue.products if name in product.labels)
        if len(counts) < 2:
            continue
        ranked = counts.most_common()
        (most, n_most), (least, n_least) = ranked[0], ranked[-1]
        ratio = n_most / n_least
        if ratio < IMBALANCE_TOLD:
            continue
        rarest = tuple(product.id for product in catalogue.products if product.labels.get(name) == least)
        yield Finding(
            "balance.imbalance",
            Severity.WARNING if ratio >= IMBALANCE_WARNING else Severity.INFO,
            rarest,
            f"The values of {name} are {ratio:,.0f} to 1 out of balance: {n_most:,} times {most}, {n_least:,} {least}.",
            "Judge by macro F1 rather than accuracy; collect more of the rare values, or merge or drop them.",
        )


def _check_absent_values(catalogue: Catalogue) -> Iterable[Finding]:
    products = {split: catalogue.select(split) for split in Split}
    for name in catalogue.taxonomy.names:
        found = {
            split: {product.labels[name] for product in own if name in product.labels}
            for split, own in products.items()
        }
        everywhere = set().union(*found.values())
        for split in (split for split in Split if products[split]):
            missing = everywhere - found[split]
            absent = sorted(missing)
            if absent:
                n = len(absent)
                effect = "be learnt" if split == Split.TRAIN else "be measured there"
                yield Finding(
                    "balance.absent_from_split",
                    Severity.WARNING if split == Split.TRAIN else Severity.INFO,
                    tuple(product.id for product in catalogue.products if product.labels.get(name) in missing),
                    f"{count(n, 'value')} of {name} {verb(n, 'has', 'have')} no product in the {split} split, so that "
                    f"{verb(n, 'it', 'they')} cannot {effect}: {list_some(absent)}.",
                    "Collect more products of these values, or merge or drop them at ingest.",
                )


_CLUES: tuple[tuple[str, Callable[[Product], Iterable[str]]], ...] = (
    ("group", lambda product: [product.group]),
    ("name", lambda product: [fold_name(product.name)] if product.name.strip() else []),
    ("picture", lambda product: product.pixel_hashes),
)


def _check_leaks(catalogue: Catalogue) -> Iterable[Finding]:
    for what, clues in _CLUES:
        members: dict[str, list[Product]] = defaultdict(list)
        for product in catalogue.products:
            for clue in set(clues(product)):
                members[clue].append(product)
        leaking = [own for own in members.values() if len({product.split for product in own}) > 1]
        if leaking:
            leaking.sort(key=len, reverse=True)
            n, first = len(leaking), leaking[0]
            example = f"product {first[0].id} is in {first[0].split}, " + next(
                f"{other.id} in {other.split}" for other in first if other.split != first[0].split
            )
            yield Finding(
                "balance.leak",
                Severity.ERROR,
                tuple(dict.fromkeys(product.id for own in leaking for product in own)),
                f"{count(n, what)} {verb(n, 'is', 'are')} in several splits at once ({example}).",
                f"{_LEAK_REMEDY[find_dealer(catalogue)]}: figures measured on these are too good.",
            )


def _check_shares(catalogue: Catalogue) -> Iterable[Finding]:
    total = len(catalogue.products)
    sizes = {split: len(catalogue.select(split)) for split in RATIOS}
    odd = [split for split, usual in RATIOS.items() if total and _is_odd(sizes[split], total, usual)]
    n_groups = len({product.group for product in catalogue.products})
    if odd and n_groups < MIN_GROUPS:
        told = ", ".join(f"{split} {n:,}" for split, n in sizes.items())
        yield Finding(
            "balance.split_shares",
            Severity.INFO,
            (),
            f"{count(n_groups, 'group')} of products {verb(n_groups, 'is', 'are')} too few to split as usual ({told}).",
            "Collect more products before trusting figures on any split.",
        )
        return
    for split in odd:
        yield Finding(
            "balance.split_shares",
            Severity.WARNING,
            tuple(product.id for product in catalogue.select(split)),
            f"The {split} split has {count(sizes[split], 'product')}, {100 * sizes[split] / total:.1f} % of the "
            f"catalogue where {100 * RATIOS[split]:.0f} % is usual.",
            _advise_on_share(find_dealer(catalogue), split, sizes[split]),
        )


def _is_odd(n: int, total: int, usual: float) -> bool:
    return not n or abs(n / total - usual) > SHARE_TOLERANCE


def _advise_on_share(dealer: Dealer, split: Split, n: int) -> str:
    if dealer == Dealer.SOURCE:
        why = "The source splits it so" if n else f"The source has no {split} split"
        return f"{why}; leave --keep-splits (or --split-column) out and ingest into a new --out to split it anew."
    if dealer == Dealer.PREPARATION:
        return "The preparation splits it so; change the shares of its step split-each and ingest into a new --out."
    return "Few groups or very large ones make this happen: collect more, or correct names that many share."
