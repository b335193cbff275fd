"""A batch from end to end: every picture of a source is answered exactly once, whatever happens on the way.

Pictures are answered in blocks. A block's rows become a part file, then one transaction of the ledger marks its
pictures done and adds the predictions, then they are filed. A run that is cut off between these leaves a part that the
ledger does not know, which is dropped, or pictures that are not filed, which the next run files before anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from vestiary.batch.block import build_block
from vestiary.batch.claim import claim_job, hold_folder, holds_job
from vestiary.batch.filing import QUARANTINE, Filing, Order
from vestiary.batch.formats import Row
from vestiary.batch.on_ray import RayPipeline
from vestiary.batch.options import BatchOptions
from vestiary.batch.patience import MAX_PAUSE_S, Patience
from vestiary.batch.pictures import Found, Pictures, Say, open_pictures
from vestiary.batch.pipeline import Answered, Pipeline, cut
from vestiary.batch.results import Results, Tally
from vestiary.batch.settling import Settling
from vestiary.bundle import Bundle
from vestiary.catalogue.sources import hide_password
from vestiary.cluster import Cluster
from vestiary.errors import BatchError, LedgerError, UsageError
from vestiary.ledger import Ledger, now
from vestiary.ledger.jobs import OPEN, Item, JobItems, identify
from vestiary.predictor import Predictor, count_cores, count_threads
from vestiary.utf8 import make_writable

BLOCK: Final = 512
"""Pictures that are taken into the ledger together; fewer when they take more than BLOCK_S seconds."""
BLOCK_S: Final = 5.0
LOOK_S: Final = 1.0
"""Seconds between two looks into a watched folder; a folder that takes long to look through is looked at less often."""
SETTLE_S: Final = 2.0
MERGE_S: Final = 60.0
"""Seconds after which a watched folder's answers are merged; more when merging takes long."""
REMOTE_THREADS: Final = 16

Show = Callable[[int, int], None]


@dataclass(frozen=True)
class BatchReport:
    """How a run ended: the counts of this run alone, and the summary of all runs.

    ``is_stopped`` tells that it was stopped from outside; ``left`` pictures are still to do.
    """

    tally: Tally
    summary: Row
    is_stopped: bool
    left: int


def run_batch(
    place: str,
    out: Path,
    *,
    bundle: Bundle,
    ledger: Ledger,
    options: BatchOptions | None = None,
    watch: bool = False,
    resume: bool = False,
    threads: int = 0,
    cluster: Cluster | None = None,
    actors: int = 0,
    is_stopped: Callable[[], bool] = lambda: False,
    show: Show = lambda done, total: None,
    say: Say = lambda sentence: None,
    sleep: Callable[[float], None] = time.sleep,
) -> BatchReport:
    """Answer every picture of a source that is not answered yet, and leave the results in ``out``.

    The same call goes on where an earlier one was cut off; with ``resume`` there must have been one. With ``watch`` it
    looks for new pictures until ``is_stopped``. ``show`` is told how many pictures of how many are done, ``say``
    sentences for people. ``threads`` read, decode and answer here, 0 for what ``count_threads`` says of the cores; with
    ``cluster`` that is done there, by so many ``actors`` (0: as Ray sees fit) of so many ``threads``, and the results
    are the same.

    Raises UsageError for a source, folder or option that cannot be used; BatchError when another run is at it, and
    when the disk, the ledger or the cluster gives up: then everything so far is kept, and the same call goes on with
    it.
    """
    options = options or BatchOptions()
    if options.file_by is not None and options.file_by not in bundle.taxonomy.names:
        raise UsageError(
            f"The bundle answers no {options.file_by!r}; file by one of: {', '.join(bundle.taxonomy.names)}."
        )
    out, say = out.resolve(), _say_once(say)
    if resume and not holds_job(out):
        raise UsageError(f"{out} holds no batch to go on with; check --out, or leave --resume out to begin one.")
    pictures = open_pictures(place, images=options.images, image_column=options.image_column, leave_out=out, say=say)
    if pictures.folder == out:
        raise UsageError(f"{place} is both the source and --out; name another folder with --out.")
    if watch and pictures.folder is None:
        raise UsageError(f"{place} is no folder here, so it cannot be watched; leave --watch out.")
    if watch and cluster is not None:
        raise UsageError("A folder is watched by one machine, not by a cluster; leave --watch or --engine ray out.")
    filing = Filing(pictures, out, options.file_mode, say=say) if options.file_by is not None else None
    with closing(_open_pipeline(bundle, pictures, options, threads, cluster, actors, say)) as pipeline:
        job = _Job(pictures, out, bundle, ledger, options, resume, pipeline, filing, is_stopped, show, say, sleep)
        with hold_folder(out), job.running():
            return job.watch() if watch else job.run()


def _open_pipeline(
    bundle: Bundle,
    pictures: Pictures,
    options: BatchOptions,
    threads: int,
    cluster: Cluster | None,
    actors: int,
    say: Say,
) -> Pipeline | RayPipeline:
    """What answers the pictures: the threads of this process, or a cluster."""
    if cluster is None:
        predictor = Predictor(bundle, precision=options.precision, decide_on=options.deciding, threads=1)
        n_threads = threads or (count_threads(count_cores()) if pictures.is_here else REMOTE_THREADS)
        return Pipeline(predictor, pictures, threads=n_threads)
    bundle.choose_model(options.precision)
    bundle.choose_attributes(options.deciding)
    n_threads = threads or (1 if pictures.is_here else REMOTE_THREADS)
    return RayPipeline(
        cluster,
        bundle,
        pictures,
        precision=options.precision,
        decide_on=options.deciding,
        threads=n_threads,
        actors=actors,
        say=say,
    )


def _say_once(say: Say) -> Say:
    """A watched folder is looked at for years: what is wrong with it is told at the first look alone."""
    told: set[str] = set()

    def say_if_new(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            say(sentence)

    return say_if_new


@dataclass
class _Job:
    """One run. Its methods are steps of ``run_batch``."""

    pictures: Pictures
    out: Path
    bundle: Bundle
    ledger: Ledger
    options: BatchOptions
    resume: bool
    pipeline: Pipeline | RayPipeline
    filing: Filing | None
    is_stopped: Callable[[], bool]
    show: Show
    say: Say
    sleep: Callable[[float], None]
    tally: Tally = field(default_factory=Tally)
    is_listed: bool = True
    """False when it was stopped while it looked through the source."""

    def __post_init__(self) -> None:
        self.began_at, self.began = now(), time.monotonic()
        self._patience = Patience(self.is_stopped, self.sleep)
        self._moves = self.filing is not None and self.options.file_mode == "move"
        self.results = Results(
            self.out,
            self.bundle.taxonomy,
            out_format=self.options.format,
            layout=self.options.layout,
            describe=self._describe,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Claim the job, make good what a killed run left, and say in the ledger how it ended."""
        self.job = claim_job(
            self.ledger,
            self.out,
            place=self.pictures.place,
            bundle=self.bundle,
            options=asdict(self.options),
            final=self.results.final,
            resume=self.resume,
        )
        self.items = JobItems(self.ledger, self.job.id)
        state = "failed"
        try:
            self._home = self.pictures.find_home()
            self._recover()
            yield
            state = "stopped" if not self.is_listed or self._count().keys() & set(OPEN) else "finished"
        except OSError as error:
            raise BatchError(
                f"The batch in {self.out} had to stop, since {error.filename or 'its disk'} cannot be written "
                f"({error.strerror}); mend that and run the same command again: everything so far is kept."
            ) from error
        except KeyboardInterrupt:
            state = "stopped"
            raise
        finally:
            self._end(state)

    def _end(self, state: str) -> None:
        at = now()
        good = {"last_finished_at": at} if state == "finished" else {}
        try:
            self.ledger.change_job(self.job.id, state=state, ended_at=at, heartbeat_at=at, **good)
        except LedgerError:
            if state == "finished":
                raise
            # The reason why the run ends is told already, and the next run sets the state anew.

    def _recover(self) -> None:
        """Bring the folder to what the ledger knows."""
        self.results.prepare()
        self.results.drop_parts(after=self.items.last_part())
        lost = self.results.find_lost(self.items.count_parts())
        if lost is None or (lost and self.filing is not None):
            raise UsageError(
                f"{self.out} holds other answers than the ledger {self.ledger.place} knows of this batch: one of them "
                "is from another time; begin anew with another folder for --out."
            )
        for part in lost:
            self.results.part(part).unlink(missing_ok=True)
            n = self.items.reopen(part)
            self.say(f"Part {part} of the results in {self.out} is gone or damaged; its {n:,} pictures are done again.")
        self.part = self.items.last_part()
        self._file(self.results.read_part(self.part))

    def run(self) -> BatchReport:
        """All that the source names; first what an earlier run left, of which some may have been replaced since."""
        self._answer_rest()
        self._take_in(self.pictures.find())
        self._answer_all()
        return self._report()

    def watch(self) -> BatchReport:
        """All that the folder has and gets, until stopped."""
        settling, merged, cost = Settling(SETTLE_S), time.monotonic(), 0.0
        beat = merged
        self._answer_rest()
        while not self.is_stopped():
            start = time.monotonic()
            settled = list(settling.settle(self.pictures.find(), start))
            look_s = time.monotonic() - start
            if settled and self._take_in(settled):
                self._answer_all()
            if self.results.is_behind and time.monotonic() - merged > max(MERGE_S, 20 * cost):
                start = time.monotonic()
                self.results.merge()
                merged = time.monotonic()
                cost = merged - start
            if time.monotonic() - beat > MERGE_S:
                self._patience.keep_trying(lambda: self.ledger.change_job(self.job.id, heartbeat_at=now()))
                beat = time.monotonic()
            self._patience.pause(max(LOOK_S, 10 * look_s))
        return self._report()

    def _take_in(self, found: Iterable[Found]) -> int:
        """Write down which pictures there are; the number of those that are new."""
        added = 0
        for group in cut(found, BLOCK):
            rows = [(one.name, identify(one.name, one.stamp), one.reason) for one in group]
            added += self._patience.keep_trying(partial(self.items.add, rows))
            if self.is_stopped():
                self.is_listed = False
                break
        n_total = sum(self._count().values())
        self._patience.keep_trying(lambda: self.ledger.change_job(self.job.id, n_total=n_total))
        return added

    def _answer_rest(self) -> None:
        """Answer what an earlier run left; a folder that is empty by now is the mount point of a share that is away."""
        waiting = self._count().get("waiting")
        if waiting and self.pictures.is_empty:
            raise BatchError(
                f"{self.pictures.folder} is empty, though {waiting:,} of its pictures are still to be answered; bring "
                "them back and run the same command again, or begin anew with another folder for --out."
            )
        self._answer_all()

    def _answer_all(self) -> None:
        """Answer what is to do; what fails is tried again, each time after a longer pause, until it is given up."""
        pause = 1.0
        while not self.is_stopped():
            counts = self._count()
            self.total = self.tally.pictures + sum(counts.get(state, 0) for state in OPEN)
            if self.total == self.tally.pictures:
                return
            for block in self._cut_blocks(self.pipeline.answer(self._to_do())):
                self._settle(block)
            if self._count().get("failed"):
                self._patience.pause(pause)
                pause = min(2 * pause, MAX_PAUSE_S)

    def _to_do(self) -> Iterator[Item]:
        last = 0
        while page := self._patience.keep_trying(partial(self.items.to_do, last)):
            yield from page
            last = page[-1].position

    def _cut_blocks(self, parcels: Iterable[list[Answered]]) -> Iterator[list[Answered]]:
        """Parcels together until they are many or took long; when the run is stopped, what there is by then."""
        block: list[Answered] = []
        began = time.monotonic()
        for parcel in parcels:
            block += parcel
            if parcel:
                self.show(self.tally.pictures + len(block), self.total)
            if self.is_stopped():
                break
            if len(block) >= BLOCK or (block and time.monotonic() - began > BLOCK_S):
                yield block
                block, began = [], time.monotonic()
        if block:
            yield block

    def _settle(self, answers: list[Answered]) -> None:
        """Take one block in: the part, then the ledger, then the folders."""
        if any(answered.prediction.failure for answered in answers) and not self.pictures.is_there(self._home):
            place = hide_password(str(self.pictures.source.path))
            raise BatchError(f"{place} is no longer there; bring it back and run the same command again.")
        block = build_block(answers, job_id=self.job.id, bundle=self.bundle, moves=self._moves)
        part = self.part + 1 if block.rows else None
        if part is not None:
            self._plan_filing(block.rows)
            self.results.write_part(part, block.rows)
        self._patience.keep_trying(
            lambda: self.items.commit(part, block.outcomes, predictions=block.predictions, failures=block.failures)
        )
        self.part = part or self.part
        for row in block.rows:
            self.tally.count(row)
        self._file(block.rows)
        self.show(self.tally.pictures, self.total)

    def _plan_filing(self, rows: Iterable[dict[str, Any]]) -> None:
        if self.filing is None:
            return
        wanted = [row for row in rows if "tags" in row or self.pictures.source.stamp(row["id"]) is not None]
        values = [row["tags"][self.options.file_by]["value"] if "tags" in row else QUARANTINE for row in wanted]
        places = self.filing.plan((row["id"], value) for row, value in zip(wanted, values, strict=True))
        for row, place in zip(wanted, places, strict=True):
            row["filed"] = place

    def _file(self, rows: Iterable[Mapping[str, Any]]) -> None:
        if self.filing is not None:
            self.filing.file([Order(row["id"], row["filed"], row["image_sha256"]) for row in rows if row["filed"]])

    def _report(self) -> BatchReport:
        counts = self._count()
        left = sum(counts.get(state, 0) for state in OPEN)
        summary = self.results.merge() if self.results.is_behind else self._describe(self.results.read_tally())
        return BatchReport(self.tally, summary, is_stopped=self.is_stopped(), left=left)

    def _describe(self, tally: Tally) -> dict[str, Any]:
        """``summary.json``: the counts of every run, under R5's names too, and how fast this run was."""
        seconds = time.monotonic() - self.began
        counts = tally.to_dict()
        return {
            "job": self.job.id,
            "source": make_writable(self.pictures.place),
            "bundle": {"name": self.bundle.name, "fingerprint": self.bundle.fingerprint},
            "timestamp": now().isoformat(timespec="seconds"),
            "total_processed": counts["pictures"],
            "successful": counts["answered"],
            "categories": counts["values"].get(self.bundle.taxonomy.category, {}),
            **counts,
            "last_run": {
                "started_at": self.began_at.isoformat(timespec="seconds"),
                "pictures": self.tally.pictures,
                "seconds": round(seconds, 1),
                "pictures_per_second": round(self.tally.pictures / max(seconds, 1e-3), 1),
            },
        }

    def _count(self) -> dict[str, int]:
        return self._patience.keep_trying(self.items.count)
