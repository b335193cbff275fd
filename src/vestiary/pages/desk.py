"""The desk: everything that a page may use, handed over by whoever mounts the pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestiary.album import Album
from vestiary.bundle import Bundle
from vestiary.errors import UsageError
from vestiary.images import Limits
from vestiary.ledger import Ledger
from vestiary.predictor import Predictor
from vestiary.similar import Index
from vestiary.tags import Prediction


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction, the id of its row in the ledger (None: it has none), and what the wire form of the answer is.

    The row is written within a second; ``Desk.settle`` waits for it.
    """

    prediction: Prediction
    prediction_id: str | None = None
    size: tuple[int, int] | None = None
    """Pixels of the upright picture; None for one that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the pages work with; safe to use from several threads, as Streamlit runs each visitor's script in one.

    ``answer`` takes (name, encoded bytes) pairs and gives as many answers in their order, through the queue that all
    callers of the service share; it records them where there is a ledger, and raises ServiceError when the service is
    too busy, about to stop, or too slow. ``settle`` waits until what was answered before is in the ledger, and tells
    whether it is.
    """

    bundle: Bundle
    predictor: Predictor
    answer: Callable[[Sequence[tuple[str, bytes]]], list[Answered]]
    ledger: Ledger | None = None
    album: Album | None = None
    """Where photos that go to review are kept; None where they are not."""
    catalogue: Path | None = None
    """An ingested catalogue."""
    bundles: Path | None = None
    """A folder of other bundles to compare with."""
    index: Index | None = None
    """An opened search index of similar products."""
    jobs: Path
    """The folder in which batches that are started from the page live."""
    jobs_keep_days: int = 0
    """Days that their photos and files stay after they ended; 0: until somebody removes them."""
    limits: Limits = Limits()  # noqa: RUF009
    max_upload_files: int = 200
    """Photos that one visitor may hand over at once."""
    max_upload_bytes: int = 20_000_000
    """Bytes of one file that a visitor hands over, a zip of photos included."""
    public_url: str = "http://127.0.0.1:8000"
    needs_key: bool = False
    """Whether callers of the API need a key."""
    settle: Callable[[], bool] = lambda: True


_held: list[Desk] = []


def set_desk(desk: Desk) -> None:
    """Put the desk where the pages find it. There is one per process, because Streamlit allows one App per process."""
    _held[:] = [desk]


def current_desk() -> Desk:
    """The desk of this process. Raises UsageError before there is one."""
    if not _held:
        raise UsageError("The pages have no service behind them; start them with vestiary serve or vestiary ui.")
    return _held[0]
