"""Who looks at what: a reviewer claims predictions, so that no two get the same one, and says what became of them.

The states of a claim:

    held     the reviewer has it before them, until ``until``; then it is anybody's again
    done     the reviewer has said all they have to say
    skipped  the reviewer leaves it to others
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    case,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    update,
)

from vestiary.errors import UsageError
from vestiary.ledger.ledger import BLOCK, Ledger, read_prediction, write_verdict
from vestiary.ledger.records import PredictionRecord, Verdict, needs_look, now
from vestiary.ledger.schema import AnyText, claims, predictions, verdicts

HELD, DONE, SKIPPED = "held", "done", "skipped"
HOLD: Final = timedelta(minutes=15)
"""How long a prediction that nobody has said anything about stays with whom it was given to."""

_LOCK: Final = 0x76657374636C6169
"""A number of our own for PostgreSQL's advisory locks: the letters "vestclai"."""
_DIGITS: Final = 3
_STEPS: Final = 16**_DIGITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A row of the table; ``acted_at`` is when the reviewer last said something about the prediction."""

    prediction_id: str
    reviewer: str
    state: str
    at: datetime
    until: datetime
    acted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """How far the review is.

    ``waiting`` photos are for review, finished by nobody, and have a tag in need of a look that nobody has said
    anything of; one that was answered several times counts once. ``held`` predictions are with a reviewer now; of
    ``reviewed`` ones somebody has said something. ``corrected`` of all ``verdicts`` said another value than the model.
    ``by_reviewer`` counts what each has finished.
    """

    waiting: int
    held: int
    reviewed: int
    verdicts: int
    corrected: int
    by_reviewer: dict[str, int]


class FreePage(NamedTuple):
    """Some of the predictions that may be claimed; ``is_last`` when there are no more behind them."""

    records: list[PredictionRecord]
    is_last: bool


class Claims:
    """The claims of one reviewer. Every method raises what ``Ledger`` raises.

    ``second_share`` of all predictions, 0..1, are given to two reviewers; the last digits of their ids, which are
    chance, tell which.
    """

    def __init__(self, ledger: Ledger, reviewer: str, *, second_share: float = 0.0) -> None:
        self._ledger, self._reviewer = ledger, reviewer
        self._bound = f"{min(round(second_share * _STEPS), _STEPS - 1):0{_DIGITS}x}"

    def wants_second(self, prediction_id: str) -> bool:
        """Whether this prediction is for two reviewers."""
        return prediction_id[-_DIGITS:] < self._bound

    def find_free(
        self,
        conditions: Sequence[ColumnElement[bool]],
        order: Sequence[ColumnElement[Any]],
        *,
        offset: int,
        limit: int,
    ) -> FreePage:
        """Predictions that this reviewer may be given, ``limit`` of those that ``conditions`` and ``order`` name."""
        others = (
            select(func.count())
            .select_from(claims)
            .where(claims.c.prediction_id == predictions.c.id, not_(self._is_mine()), _is_taken())
            .scalar_subquery()
        )
        mine = select(claims.c.state).where(claims.c.prediction_id == predictions.c.id, self._is_mine())
        is_second = func.substr(predictions.c.id, func.length(predictions.c.id) - _DIGITS + 1) < self._bound
        is_mine = mine.where(or_(claims.c.state != HELD, claims.c.until > now())).exists()
        free = and_(not_(is_mine), others < case((is_second, 2), else_=1))
        query = select(predictions).where(*conditions, free).order_by(*order).offset(offset).limit(limit)
        with self._ledger.reading() as connection:
            found = [read_prediction(row) for row in connection.execute(query)]
            taken = _read_claims(connection, found)
        free_ones = [record for record in found if self._may_have(record, taken[_key(record)])]
        return FreePage(free_ones, is_last=len(found) < limit)

    def find_held(self) -> list[PredictionRecord]:
        """What this reviewer has before them, the longest held first."""
        query = select(predictions).join(claims).where(self._is_mine(), claims.c.state == HELD, claims.c.until > now())
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(claims.c.at, predictions.c.id)).all()
        return [read_prediction(row) for row in rows]

    def find_last(self, n: int) -> list[PredictionRecord]:
        """What this reviewer was given last, the newest first."""
        query = select(predictions).join(claims).where(self._is_mine()).order_by(claims.c.at.desc()).limit(n)
        with self._ledger.reading() as connection:
            return [read_prediction(row) for row in connection.execute(query)]

    def take(self, records: Sequence[PredictionRecord], n: int, *, hold: timedelta = HOLD) -> list[PredictionRecord]:
        """The first ``n`` of these that are still free, now held by this reviewer, all in one transaction."""
        at = now()
        with self._ledger.writing() as connection:
            self._keep_others_out(connection)
            ids = [record.id for record in records]
            there = set(connection.scalars(select(predictions.c.id).where(predictions.c.id.in_(ids)).with_for_update()))
            taken = _read_claims(connection, records)
            chosen: list[PredictionRecord] = []
            for record in records:
                if len(chosen) < n and record.id in there and self._may_have(record, taken[_key(record)]):
                    chosen.append(record)
                    self._hold(connection, record.id, taken[_key(record)], at=at, until=at + hold)
        return chosen

    def find_own_verdicts(self, ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """What this reviewer has said already: by prediction, the values by attribute."""
        query = select(verdicts.c.prediction_id, verdicts.c.attribute, verdicts.c.value).where(
            verdicts.c.reviewer == literal(self._reviewer, AnyText)
        )
        found: dict[str, dict[str, str]] = defaultdict(dict)
        rest = iter(ids)
        with self._ledger.reading() as connection:
            while some := list(islice(rest, BLOCK)):
                for prediction_id, attribute, value in connection.execute(
                    query.where(verdicts.c.prediction_id.in_(some))
                ):
                    found[prediction_id][attribute] = value
        return found

    def find_judged(self, ids: Iterable[str]) -> dict[str, set[str]]:
        """The attributes that anybody has given a verdict on, by prediction."""
        query = select(verdicts.c.prediction_id, verdicts.c.attribute).where(verdicts.c.prediction_id.in_(list(ids)))
        found: dict[str, set[str]] = defaultdict(set)
        with self._ledger.reading() as connection:
            for prediction_id, attribute in connection.execute(query):
                found[prediction_id].add(attribute)
        return found

    def act_in_turn(
        self, record: PredictionRecord, state: str, verdicts: Sequence[Verdict], *, keep_earlier: bool = False
    ) -> None:
        """``act``, unless the reviewer's time with the photo ran out and it is with another, or done, by now.

        Nothing is written then, and UsageError raised. Who is late with a photo that nobody took may go on.
        """
        with self._ledger.writing() as connection:
            self._keep_others_out(connection)
            known = _read_claims(connection, [record])[_key(record)]
            is_mine = any(own.reviewer == self._reviewer and _counts(own) for own in known)
            if not is_mine and self._is_full(record, known):
                raise UsageError(
                    f"Another reviewer was given {record.name} after your {HOLD.seconds // 60} minutes with it; what "
                    "you said of it last was not kept, so go on with the next one."
                )
            self._act(connection, record.id, state, verdicts, keep_earlier=keep_earlier)

    def act(self, prediction_id: str, state: str, verdicts: Sequence[Verdict] = ()) -> None:
        """Write verdicts and what became of the prediction, all in one transaction.

        Raises UsageError when the ledger holds no such prediction.
        """
        with self._ledger.writing() as connection:
            self._act(connection, prediction_id, state, verdicts)

    def undo(self) -> PredictionRecord | None:
        """Take back what the reviewer last did, verdicts and all, and hold that prediction again.

        None when there is nothing to take back, or when what was skipped is with another reviewer by now.
        """
        last = select(claims).where(self._is_mine(), claims.c.acted_at.is_not(None)).order_by(claims.c.acted_at.desc())
        with self._ledger.writing() as connection:
            row = connection.execute(last.limit(1)).one_or_none()
            if row is None:
                return None
            own = Claim(**row._mapping)
            self._ledger.hold_prediction(connection, own.prediction_id)
            found = connection.execute(select(predictions).where(predictions.c.id == own.prediction_id)).one()
            record = read_prediction(found)
            others = [one for one in _read_claims(connection, [record])[_key(record)] if one.reviewer != self._reviewer]
            if own.state == SKIPPED and sum(map(_counts, others)) > self.wants_second(record.id):
                return None
            mine = verdicts.c.reviewer == literal(self._reviewer, AnyText)
            connection.execute(
                verdicts.delete().where(verdicts.c.prediction_id == record.id, mine, verdicts.c.at >= own.at)
            )
            change = {"state": HELD, "until": now() + HOLD, "acted_at": None}
            this = and_(claims.c.prediction_id == record.id, self._is_mine())
            connection.execute(update(claims).where(this).values(change))
        return record

    def _act(
        self,
        connection: Connection,
        prediction_id: str,
        state: str,
        said: Sequence[Verdict],
        *,
        keep_earlier: bool = False,
    ) -> None:
        """Write it; with ``keep_earlier`` what the reviewer said before of the same tags stays."""
        at = now()
        self._ledger.hold_prediction(connection, prediction_id)
        known = self._find_said(connection, prediction_id) if keep_earlier else set()
        for verdict in said:
            if verdict.attribute not in known:
                write_verdict(connection, verdict)
        change = {"state": state, "until": at + HOLD, "acted_at": at}
        own = and_(claims.c.prediction_id == prediction_id, self._is_mine())
        if not connection.execute(update(claims).where(own).values(change)).rowcount:
            begun = min([at, *(verdict.at for verdict in said)])  # so that undo finds them
            row = {"prediction_id": prediction_id, "reviewer": self._reviewer, "at": begun}
            connection.execute(insert(claims), [row | change])

    def _keep_others_out(self, connection: Connection) -> None:
        """Until the transaction ends, nobody else takes anything."""
        if self._ledger.engine.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})

    def _hold(self, connection: Connection, prediction_id: str, known: Collection[Claim], **times: datetime) -> None:
        """Write the claim; one that ran out keeps its beginning, so that all of it can be undone."""
        if any((one.prediction_id, one.reviewer) == (prediction_id, self._reviewer) for one in known):
            own = and_(claims.c.prediction_id == prediction_id, self._is_mine())
            connection.execute(update(claims).where(own).values(until=times["until"]))
        else:
            row = {"prediction_id": prediction_id, "reviewer": self._reviewer, "state": HELD, "acted_at": None}
            connection.execute(insert(claims), [row | times])

    def _find_said(self, connection: Connection, prediction_id: str) -> set[str]:
        mine = verdicts.c.reviewer == literal(self._reviewer, AnyText)
        return set(
            connection.scalars(select(verdicts.c.attribute).where(verdicts.c.prediction_id == prediction_id, mine))
        )

    def _is_mine(self) -> ColumnElement[bool]:
        return claims.c.reviewer == literal(self._reviewer, AnyText)

    def _may_have(self, record: PredictionRecord, known: Collection[Claim]) -> bool:
        """Whether this reviewer may be given it, seeing all the claims on its photo."""
        mine = [claim for claim in known if claim.reviewer == self._reviewer]
        if any(claim.state == SKIPPED or _counts(claim) or claim.prediction_id != record.id for claim in mine):
            return False
        return not self._is_full(record, known)

    def _is_full(self, record: PredictionRecord, known: Collection[Claim]) -> bool:
        """Whether as many others as look at a photo have it or are done with it."""
        others = {claim.reviewer for claim in known if claim.reviewer != self._reviewer and _counts(claim)}
        return len(others) > self.wants_second(record.id)


def count_review(ledger: Ledger) -> ReviewCounts:
    """How far the review of all predictions is, whoever reviews."""
    photo = _photo_of(predictions)
    done = select(photo).join_from(claims, predictions).where(claims.c.state == DONE)
    is_open = and_(predictions.c.accepted.is_(False), photo.not_in(done))
    untouched = select(func.count(photo.distinct())).where(is_open, not_(_is_judged(predictions)))
    held = select(func.count()).select_from(claims).where(claims.c.state == HELD, claims.c.until > now())
    changed = func.sum(case((verdicts.c.value != verdicts.c.previous_value, 1), else_=0))
    finished = select(claims.c.reviewer, func.count()).where(claims.c.state == DONE).group_by(claims.c.reviewer)
    reviewed = select(func.count(verdicts.c.prediction_id.distinct()))
    with ledger.reading() as connection:
        n, corrected = connection.execute(select(func.count(), changed).select_from(verdicts)).one()
        return ReviewCounts(
            waiting=connection.execute(untouched).scalar_one() + _count_begun(connection, is_open),
            held=connection.execute(held).scalar_one(),
            reviewed=connection.execute(reviewed).scalar_one(),
            verdicts=n,
            corrected=int(corrected or 0),
            by_reviewer={name: n for name, n in connection.execute(finished.order_by(claims.c.reviewer))},
        )


def _count_begun(connection: Connection, is_open: ColumnElement[bool]) -> int:
    """Of the photos that somebody has begun with, those that still have a tag in need of a look."""
    columns = (_photo_of(predictions), predictions.c.id, predictions.c.tags, verdicts.c.attribute)
    query = select(*columns).join_from(predictions, verdicts).where(is_open, not_(_is_waiting_again()))
    left: dict[tuple[str, str], set[str]] = {}
    for photo, prediction_id, tags, attribute in connection.execute(query):
        own = left.setdefault((photo, prediction_id), {name for name, tag in tags.items() if needs_look(tag)})
        own.discard(attribute)
    return len({photo for (photo, _), names in left.items() if names})


def _is_waiting_again() -> ColumnElement[bool]:
    """Whether the photo has another answer that is for review and that nobody has begun with."""
    other = predictions.alias()
    same = and_(other.c.image_sha256 == predictions.c.image_sha256, other.c.accepted.is_(False))
    return select(other.c.id).where(same, not_(_is_judged(other))).exists()


def _is_judged(table: FromClause) -> ColumnElement[bool]:
    return select(verdicts.c.id).where(verdicts.c.prediction_id == table.c.id).exists()


def _photo_of(table: FromClause) -> ColumnElement[str]:
    """``_key`` in the database."""
    return func.coalesce(table.c.image_sha256, table.c.id)


def _is_taken() -> ColumnElement[bool]:
    return or_(claims.c.state == DONE, and_(claims.c.state == HELD, claims.c.until > now()))


def _counts(claim: Claim) -> bool:
    """Whether a claim keeps a prediction from another reviewer."""
    return claim.state == DONE or (claim.state == HELD and claim.until > now())


def _key(record: PredictionRecord) -> str:
    """What makes two predictions the same photo."""
    return record.image_sha256 or record.id


def _read_claims(connection: Connection, records: Sequence[PredictionRecord]) -> defaultdict[str, list[Claim]]:
    """All claims on these photos, whichever prediction of a photo they are on."""
    hashes = [record.image_sha256 for record in records if record.image_sha256 is not None]
    ids = [record.id for record in records if record.image_sha256 is None]
    joined = select(claims, predictions.c.image_sha256).join_from(claims, predictions)
    found: defaultdict[str, list[Claim]] = defaultdict(list)
    for condition in (predictions.c.image_sha256.in_(hashes), predictions.c.id.in_(ids)):
        for row in connection.execute(joined.where(condition)):
            plain = dict(row._mapping)
            sha256 = plain.pop("image_sha256")
            claim = Claim(**plain)
            found[sha256 or claim.prediction_id].append(claim)
    return found
