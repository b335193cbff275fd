"""The queue of one reviewer: what to look at next, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Literal

from vestiary.album import Album
from vestiary.bundle import Bundle
from vestiary.errors import UsageError
from vestiary.ledger import Ledger, PredictionRecord, Verdict
from vestiary.ledger.claims import DONE, HELD, SKIPPED, Claims, ReviewCounts, count_review
from vestiary.ledger.schema import predictions
from vestiary.review.photos import find_photo
from vestiary.review.ranking import Candidate, Rarity, rank_by_value
from vestiary.review.scope import Scope, find_band, make_scope
from vestiary.tags import Tag

Order = Literal["value", "uncertain", "newest"]
ORDERS: Final[tuple[Order, ...]] = ("value", "uncertain", "newest")
AGREEMENT_SHARE: Final = 0.1
POOL: Final = 400
"""The least certain predictions that "value" is ranked among: a reviewer waits while they are read."""
PAGE: Final = 50
"""Predictions that are read first in the other orders."""
MAX_PAGE: Final = 20_000
"""Predictions that are read at a time at most: SQLite takes 32,766 values in one statement."""
TAKEN_AT_ONCE: Final = MAX_PAGE // 4
"""Predictions that are claimed in one transaction at most, chosen from four times as many."""
RECENT: Final = 10
"""Photos a reviewer was given last, that make others of their kind worth less."""


@dataclass(frozen=True)
class Item:
    """A prediction to look at.

    ``tags`` are by attribute, ``open`` the attributes that need a look, ``given`` what this reviewer has said of it
    already. ``photo`` fetches the encoded bytes, None when the photo is nowhere any more. ``band`` is that of the least
    certain tag.
    """

    record: PredictionRecord
    tags: Mapping[str, Tag]
    open: tuple[str, ...]
    given: Mapping[str, str]
    photo: Callable[[], bytes | None]
    band: str

    @property
    def left_open(self) -> frozenset[str]:
        """The attributes that are not accepted, and that nobody is asked about."""
        return frozenset(name for name, tag in self.tags.items() if tag.is_left_open and name not in self.open)


class Queue:
    """What one reviewer is to look at, of the predictions in a ledger, which holds all that is known of it.

    Several may review at a time, on several machines: what one has before them is given to nobody else for a quarter
    of an hour, but for ``agreement_share`` of all predictions, which two people see. Who says something later than
    that is told by a UsageError where another has the photo by now, and nothing is written; else it counts. Every
    method raises what ``Ledger`` raises.
    """

    def __init__(
        self,
        ledger: Ledger,
        bundle: Bundle,
        *,
        reviewer: str,
        album: Album | None = None,
        agreement_share: float = AGREEMENT_SHARE,
    ) -> None:
        """UsageError for a reviewer without a name, and for a share that is not from 0 to 1."""
        if not reviewer.strip():
            raise UsageError("A review needs a reviewer; give a name.")
        if not 0 <= agreement_share <= 1:
            raise UsageError(f"The share for two reviewers is {agreement_share:g}, but must be from 0 to 1.")
        self.reviewer = reviewer.strip()
        self._ledger, self._bundle, self._album = ledger, bundle, album
        self._claims = Claims(ledger, self.reviewer, second_share=agreement_share)

    def next_items(
        self,
        n: int = 1,
        order: Order = "value",
        *,
        bands: Collection[str] | None = None,
        target_precision: float | None = None,
        attribute: str | None = None,
    ) -> list[Item]:
        """``n`` items, fewer when there are no more, that are now this reviewer's.

        Those given before and not finished come first, so that nothing is lost by asking again. Without ``bands``
        (names of BANDS) or a ``target_precision`` these are the predictions that the bundle left for review; with an
        ``attribute`` only its tags count. UsageError for what is not there.
        """
        scope = self._make_scope(order, bands, target_precision, attribute)
        mine = [Candidate(record, scope.find_open(record)) for record in self._claims.find_held()]
        held = [own for own in mine if own.open][:n]
        seen = self._claims.find_last(RECENT) if order == "value" else []
        taken: list[Candidate] = []
        while (wanted := min(n - len(held) - len(taken), TAKEN_AT_ONCE)) > 0:
            some = self._gather(scope, order, seen, wanted)
            ids = {record.id for record in self._claims.take([own.record for own in some], wanted)}
            taken += [own for own in some if own.record.id in ids]
            if len(some) < wanted:
                break
        return self._make_items([*held, *taken])

    def peek(
        self,
        n: int = 1,
        order: Order = "value",
        *,
        bands: Collection[str] | None = None,
        target_precision: float | None = None,
        attribute: str | None = None,
    ) -> list[Item]:
        """What ``next_items`` would add to what is held, without claiming it."""
        scope = self._make_scope(order, bands, target_precision, attribute)
        return self._make_items(self._gather(scope, order, [], n)[:n])

    def accept(self, item: Item) -> None:
        """All tags of this item are right, but for those that were corrected before; it is finished.

        Nothing is said of what is left open.
        """
        said = [tag for name, tag in item.tags.items() if name not in item.left_open]
        rest = [self._make_verdict(item, tag.attribute, tag.value) for tag in said]
        self._claims.act_in_turn(item.record, DONE, rest, keep_earlier=True)

    def correct(self, item: Item, attribute: str, value: str) -> None:
        """``value`` is right for one attribute; it is kept at once, and the item stays until it is accepted or skipped.

        UsageError for an attribute that the item has no tag for, and a value that the bundle does not know.
        """
        if attribute not in item.tags:
            raise UsageError(f"This photo has no tag for {attribute!r}; choose one of: {', '.join(item.tags)}.")
        own = self._bundle.taxonomy[attribute]
        place = own.index_of(value)
        if place < 0:
            raise UsageError(f"{attribute} has no value {value!r}; choose one of those that the bundle knows.")
        self._claims.act_in_turn(item.record, HELD, [self._make_verdict(item, attribute, own.values[place])])

    def skip(self, item: Item) -> None:
        """Leave the item to others; what was corrected of it stays. This reviewer is not given it again."""
        self._claims.act(item.record.id, SKIPPED)

    def undo(self) -> Item | None:
        """Take back what this reviewer last did, and hold that item again; once more for what was before that.

        All they said of the item goes with it. None when there is nothing to take back, or when what was skipped is
        with somebody else by now.
        """
        record = self._claims.undo()
        if record is None:
            return None
        [item] = self._make_items([Candidate(record, Scope(self._bundle.taxonomy.names).find_open(record))])
        return item

    def progress(self) -> ReviewCounts:
        """How far the review is, that of all reviewers."""
        return count_review(self._ledger)

    def _make_scope(
        self, order: str, bands: Collection[str] | None, target_precision: float | None, attribute: str | None
    ) -> Scope:
        if order not in ORDERS:
            raise UsageError(f"There is no order {order!r}; choose one of: {', '.join(ORDERS)}.")
        return make_scope(
            self._ledger, self._bundle, bands=bands, target_precision=target_precision, attribute=attribute
        )

    def _gather(self, scope: Scope, order: Order, seen: Sequence[PredictionRecord], n: int) -> list[Candidate]:
        """``n`` candidates in order or more, since others may be faster to claim some; fewer where that is all.

        Nothing is claimed meanwhile: what leaves the pages that were read would move those that come.
        """
        gathered: list[Candidate] = []
        for some in self._offer(scope, order, seen, n):
            gathered += some
            if len(gathered) >= n:
                break
        return gathered

    def _offer(self, scope: Scope, order: Order, seen: Sequence[PredictionRecord], n: int) -> Iterator[list[Candidate]]:
        """Candidates in order, some at a time; a page is twice the one before, since each passes over all before it."""
        column = predictions.c.at.desc() if order == "newest" else predictions.c.confidence
        offset, limit = 0, min(max(3 * n, POOL if order == "value" else PAGE), MAX_PAGE)
        offered: set[str] = set()
        while n > 0:
            found = self._claims.find_free(scope.conditions, (column, predictions.c.id), offset=offset, limit=limit)
            pool = list(self._find_open(_drop_repeats(found.records, offered), scope))
            offered.update(_name_photo(own.record) for own in pool)
            ranked = iter(pool) if order != "value" else rank_by_value(pool, Rarity(self._bundle), seen)
            while some := list(islice(ranked, 3 * n)):
                yield some
            if found.is_last:
                return
            offset, limit = offset + limit, min(2 * limit, MAX_PAGE)

    def _find_open(self, records: Sequence[PredictionRecord], scope: Scope) -> Iterator[Candidate]:
        """Those with a tag that needs a look, and that nobody has given a verdict on where one is enough."""
        judged = self._claims.find_judged(record.id for record in records)
        own = self._claims.find_own_verdicts(record.id for record in records)
        for record in records:
            said = own[record.id].keys() if self._claims.wants_second(record.id) else judged[record.id]
            names = tuple(name for name in scope.find_open(record) if name not in said)
            if names:
                yield Candidate(record, names)

    def _make_items(self, candidates: Sequence[Candidate]) -> list[Item]:
        given = self._claims.find_own_verdicts(own.record.id for own in candidates)
        return [
            Item(
                record=own.record,
                tags=_read_tags(own.record, self._bundle),
                open=own.open,
                given=given[own.record.id],
                photo=partial(find_photo, self._ledger, own.record, self._album),
                band=find_band(own.record.confidence),
            )
            for own in candidates
        ]

    def _make_verdict(self, item: Item, attribute: str, value: str) -> Verdict:
        return Verdict(
            prediction_id=item.record.id,
            attribute=attribute,
            value=value,
            previous_value=item.tags[attribute].value,
            reviewer=self.reviewer,
        )


def _drop_repeats(records: Sequence[PredictionRecord], known: Collection[str]) -> list[PredictionRecord]:
    """One prediction of each photo that is not ``known``: the first."""
    first: dict[str, PredictionRecord] = {}
    for record in records:
        first.setdefault(_name_photo(record), record)
    return [record for photo, record in first.items() if photo not in known]


def _name_photo(record: PredictionRecord) -> str:
    return record.image_sha256 or record.id


def _read_tags(record: PredictionRecord, bundle: Bundle) -> dict[str, Tag]:
    """The tags of a record that the bundle knows, in its order."""
    found = {}
    for name in bundle.taxonomy.names:
        if name in record.tags:
            tag = record.tags[name]
            runners_up = tuple((value, share) for value, share in tag["runners_up"])
            told = (tag["value"], tag["confidence"], tag["accepted"])
            found[name] = Tag(name, *told, runners_up, decides=tag.get("decides", True))
    return found
