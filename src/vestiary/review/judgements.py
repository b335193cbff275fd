"""What people have said, by photo: who agrees, and what is right where several have looked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import NamedTuple

from sqlalchemy import select

from vestiary.ledger import Ledger, Verdict
from vestiary.ledger.ledger import BLOCK
from vestiary.ledger.schema import predictions, verdicts


class Judged(NamedTuple):
    """One attribute of one photo, and the last verdict of each person on it, by reviewer.

    ``photo`` is the SHA-256 of its bytes, or the id of its prediction where that is not known.
    """

    photo: str
    attribute: str
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two people who looked at the same tag said the same.

    ``n`` pairs of verdicts, the ``share`` of them that are equal, and Cohen's ``kappa``: agreement beyond what chance
    would bring, 1 at best, 0 for none. None where chance alone would bring all of it.
    """

    attribute: str
    n: int
    share: float
    kappa: float | None


def read_judged(ledger: Ledger, since: datetime | None = None) -> list[Judged]:
    """All tags that people have given a verdict on from ``since`` on, by photo and attribute."""
    found: dict[tuple[str, str], dict[str, Verdict]] = defaultdict(dict)
    for photo, verdict in _walk(ledger, since):
        found[photo, verdict.attribute][verdict.reviewer] = verdict
    return [Judged(photo, attribute, own) for (photo, attribute), own in found.items()]


def _walk(ledger: Ledger, since: datetime | None) -> Iterator[tuple[str, Verdict]]:
    """Photo and verdict, the oldest first."""
    query = select(verdicts, predictions.c.image_sha256).join_from(verdicts, predictions)
    query = query.where(verdicts.c.at >= since) if since is not None else query
    with ledger.reading() as connection:
        for row in connection.execution_options(yield_per=BLOCK).execute(query.order_by(verdicts.c.at, verdicts.c.id)):
            plain = dict(row._mapping)
            sha256 = plain.pop("image_sha256")
            yield sha256 or plain["prediction_id"], Verdict(**plain)


def settle(judged: Judged) -> Verdict | None:
    """The newest verdict with the value that most people gave; None when as many gave another."""
    counts = Counter(verdict.value for verdict in judged.verdicts.values()).most_common(2)
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None
    return max((own for own in judged.verdicts.values() if own.value == counts[0][0]), key=lambda own: own.at)


def measure_agreement(ledger: Ledger, since: datetime | None = None) -> list[Agreement]:
    """How far people agree, by attribute, over all pairs of people who looked at the same photo from ``since`` on.

    Kappa (Cohen 1960) is that of each pair of people; with several pairs the mean of theirs by the tags they share.
    """
    pairs: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for judged in read_judged(ledger, since):
        for one, other in combinations(sorted(judged.verdicts), 2):
            values = judged.verdicts[one].value, judged.verdicts[other].value
            pairs[judged.attribute][one, other].append(values)
    return [_measure(attribute, list(own.values())) for attribute, own in sorted(pairs.items())]


def _measure(attribute: str, by_people: list[list[tuple[str, str]]]) -> Agreement:
    together = [values for own in by_people for values in own]
    kappas = [(kappa, len(own)) for own in by_people if (kappa := find_kappa(own)) is not None]
    n_kappas = sum(n for _, n in kappas)
    return Agreement(
        attribute,
        len(together),
        sum(one == other for one, other in together) / len(together),
        sum(kappa * n for kappa, n in kappas) / n_kappas if n_kappas else None,
    )


def find_kappa(pairs: Iterable[tuple[str, str]]) -> float | None:
    """(p − e) / (1 − e), for the share p of equal pairs and the share e that chance would bring (Cohen 1960).

    ``e`` sums over the values how often the one person gives it, times how often the other does. None for e = 1, where
    both only ever give one value.
    """
    told = list(pairs)
    ones, others = Counter(one for one, _ in told), Counter(other for _, other in told)
    chance = sum(ones[value] * others[value] for value in ones) / len(told) ** 2
    equal = sum(one == other for one, other in told) / len(told)
    return (equal - chance) / (1 - chance) if chance < 1 else None
