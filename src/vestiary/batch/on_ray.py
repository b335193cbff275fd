"""Pictures in, predictions out, in order, on a Ray cluster: Ray Data hands them to actors with one session each.

What comes after the answers is the same as on one machine: the ledger, the parts and the final files are written by the
process that was started, and by nobody else. So Ray may answer a picture twice, after a node was lost, and it still
counts once; and a job may be begun on one engine and go on with the other.

A *portion* is what an actor is handed at a time: whole parcels, cut where ``pipeline`` cuts them, so that the same
pictures go through the model together and answers are the same bit for bit. A *shard* is what is handed to Ray Data at
a time: one execution with its pool of actors.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vestiary import __version__
from vestiary.batch.lookout import DEATHS, Lookout, wait_for
from vestiary.batch.pictures import Pictures, Say
from vestiary.batch.pipeline import PARCEL, Answered, Pipeline, cut
from vestiary.bundle import Bundle
from vestiary.catalogue import open_source
from vestiary.cluster import Cluster
from vestiary.errors import BatchError, VestiaryError, first_sentence, require
from vestiary.ledger.jobs import Item
from vestiary.predictor import Predictor

PORTION: Final = 8 * PARCEL
SHARD: Final = 1_000_000
"""Pictures of one execution: a new one costs some seconds, and each waiting picture about 100 bytes."""


@dataclass(frozen=True)
class Order:
    """What an actor needs to begin: the model, where the pictures lie, and how many pictures it has in hand at once."""

    bundle: Bundle
    precision: str
    decide_on: Collection[str]
    place: Path | str
    threads: int
    version: str = __version__


@dataclass(frozen=True)
class Reply:
    """What an actor says to a portion: answers by parcel, or why it can give none.

    ``missing`` are names of pictures that were not there for it.
    """

    node: str
    parcels: Sequence[list[Answered]] = ()
    missing: Sequence[str] = ()
    refusal: str | None = None


class Answerer:
    """One actor: a session of its own, for as long as there are portions."""

    def __init__(self, order: Any) -> None:
        """``order`` is a reference to an Order. Nothing is raised here: Ray would put it into words of its own."""
        ray = require("ray", extra="ray", feature="The engine ray")
        self._node = ray.util.get_node_ip_address()
        self._refusal: str | None = None
        given: Order = ray.get(order)
        if given.version != __version__:
            self._refusal = f"it has Vestiary {__version__} and not {given.version}; install the same on all nodes"
            return
        try:
            self._pictures = Pictures(str(given.place), open_source(given.place), lambda: iter(()))
            predictor = Predictor(given.bundle, precision=given.precision, decide_on=given.decide_on, threads=1)
            self._pipeline = Pipeline(predictor, self._pictures, threads=given.threads)
        except VestiaryError as error:
            self._refusal = str(error).rstrip(".")

    def __call__(self, batch: Any) -> Any:
        """A table with a pickled Reply for each pickled portion."""
        replies = [self._reply(pickle.loads(portion)) for portion in batch.column("portion").to_pylist()]
        pyarrow = require("pyarrow", extra="ray", feature="The engine ray")
        column = pyarrow.array([pickle.dumps(reply) for reply in replies], pyarrow.large_binary())
        return pyarrow.table({"reply": column})

    def _reply(self, portion: list[Item]) -> Reply:
        if self._refusal is not None:
            return Reply(self._node, refusal=self._refusal)
        parcels = list(self._pipeline.answer(portion))
        failed = [one.item for parcel in parcels for one in parcel if one.prediction.failure and one.stamp is None]
        missing = [
            item.name
            for item in failed
            if self._pictures.is_here and item.refused is None and not self._pictures.source.exists(item.name)
        ]
        return Reply(self._node, parcels, missing)


class RayPipeline:
    """As ``Pipeline``, on a cluster. ``close`` leaves it.

    ``actors`` is how many sessions there are; 0 lets Ray add and remove them with the work and the room there is.
    ``threads`` are those of each, and the cores that it is given, unless the pictures lie at an address.
    ``say`` is told when the cluster takes very long.
    """

    def __init__(
        self,
        cluster: Cluster,
        bundle: Bundle,
        pictures: Pictures,
        *,
        precision: str,
        decide_on: Collection[str],
        threads: int,
        actors: int,
        say: Say,
    ) -> None:
        """Connect. Raises MissingExtraError, and UsageError for an address that does not answer."""
        self._pictures, self._actors, self._say = pictures, actors, say
        self._cores = threads if pictures.is_here else 1
        self._stack = ExitStack()
        self._ray = self._stack.enter_context(cluster.join())
        self._data = require("ray.data", extra="ray", feature="The engine ray")
        for handler in logging.getLogger("ray.data").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.CRITICAL)  # its file has it all
        self._order = self._ray.put(Order(bundle, precision, decide_on, pictures.source.path, threads))

    def answer(self, items: Iterable[Item]) -> Iterator[list[Answered]]:
        """Parcels of answers, in the order of ``items``; an empty one now and then while there is none.

        Raises BatchError when the cluster loses what it was given for good, and when a node sees no pictures.
        """
        for shard in cut(items, SHARD):
            yield from self._answer_shard(shard)

    def close(self) -> None:
        """Leave the cluster; one that was started for this ends."""
        self._stack.close()

    def _answer_shard(self, shard: Sequence[Item]) -> Iterator[list[Answered]]:
        try:
            lookout = Lookout(self._ray, Answerer.__name__, self._cores, self._say)
            for batch in wait_for(self._plan(shard).iter_batches(batch_size=None, batch_format="pyarrow")):
                if batch is None:
                    if (reason := lookout.find_reason()) is not None:
                        raise _give_up(reason)
                    yield []
                    continue
                lookout.hear()
                for reply in batch.column("reply").to_pylist():
                    yield from self._check(pickle.loads(reply)).parcels
        except self._ray.exceptions.RayError as error:
            raise _give_up(_find_reason(error, self._ray)) from error

    def _plan(self, shard: Sequence[Item]) -> Any:
        """The dataset whose rows are the replies, in order."""
        portions = [{"portion": pickle.dumps(portion)} for portion in cut(shard, PORTION)]
        room = int(self._ray.available_resources().get("CPU", 1) // self._cores)
        pool = (
            self._data.ActorPoolStrategy(size=min(self._actors, len(portions)))
            if self._actors
            else self._data.ActorPoolStrategy(
                min_size=1, initial_size=max(1, min(room, len(portions))), max_size=len(portions)
            )
        )
        dataset = self._data.from_items(portions, override_num_blocks=len(portions)).map_batches(
            Answerer,
            fn_constructor_args=(self._order,),
            batch_size=None,
            batch_format="pyarrow",
            compute=pool,
            num_cpus=self._cores,
        )
        context = dataset.context
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_consecutive_actor_init_deaths = DEATHS
        context.execution_no_progress_timeout_s = -1  # a Lookout knows more
        return dataset

    def _check(self, reply: Reply) -> Reply:
        """The reply, where the node could see what this machine sees. Raises BatchError where it could not."""
        if reply.refusal is not None:
            raise BatchError(
                f"Node {reply.node} of the Ray cluster answers no pictures: {reply.refusal}. Everything so far is "
                "kept: mend that and run the same command again."
            )
        for name in reply.missing:
            if self._pictures.source.exists(name):
                raise BatchError(
                    f"Node {reply.node} of the Ray cluster does not see {name} in {self._pictures.source.path}, which "
                    "is there on this machine; put the pictures where all nodes reach them (a shared folder, or an "
                    "address such as s3://…) and run the same command again."
                )
        return reply


def _give_up(reason: str) -> BatchError:
    return BatchError(
        f"The Ray cluster gave no answer to pictures that were on their way ({reason}); everything so far is kept: "
        "run the same command again."
    )


def _find_reason(error: BaseException, ray: Any) -> str:
    """What went wrong on the cluster, in some words."""
    chain = [error]
    while (inner := chain[-1].__cause__ or getattr(chain[-1], "cause", None)) is not None and inner not in chain:
        chain.append(inner)
    for link in chain:
        if isinstance(link, ray.exceptions.OutOfMemoryError):
            return "a node ran out of memory: take fewer actors with --actors, or nodes with more memory"
        if isinstance(link, ray.exceptions.RayActorError):
            return "actors died, mostly for lack of memory: take fewer of them with --actors, or nodes with more memory"
        if isinstance(link, ray.exceptions.ObjectLostError):
            return "a node was lost together with answers that were kept on it"
    return first_sentence(next((link for link in reversed(chain) if str(link)), error))
