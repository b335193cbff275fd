"""An opened index: which products look most like a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vestiary.bundle import Bundle
from vestiary.catalogue import Source, find_source, open_source
from vestiary.errors import CatalogueError, SimilarError, UsageError
from vestiary.similar.entries import Entries
from vestiary.similar.files import FORMAT, HEAD, hash_file, name_file, require_usearch
from vestiary.similar.place import locate

EXPANSION: Final = 128
"""Candidates that are kept while the graph is searched."""

_AGAIN: Final = "build it again with: vestiary index CATALOGUE --out INDEX --overwrite"


class _Graph(Protocol):
    """What is used of ``usearch.index.Index``."""

    def search(self, vectors: NDArray[np.float32], count: int, *, threads: int) -> Any:
        """The ``keys`` and ``distances`` of the nearest, nearest first."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A product of the index that is like a photo.

    ``distance`` is the cosine distance of its nearest picture, 0..2, 0 for the same picture; ``labels`` are those of
    the catalogue. ``picture()`` gives the bytes of that picture from the catalogue's source; it raises CatalogueError
    or UsageError when the source or the picture is gone.
    """

    product_id: str
    distance: float
    labels: Mapping[str, str]
    picture: Callable[[], bytes] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"product_id": self.product_id, "distance": round(self.distance, 6), "labels": dict(self.labels)}


class Index:
    """An opened, verified index. Safe to share between threads.

    ``catalogue`` is the fingerprint of the catalogue that it was built from, ``attributes`` the names of its labels.
    """

    def __init__(self, bundle: Bundle, catalogue: str, entries: Entries, graph: _Graph, source: Path | str) -> None:
        """``open_index`` makes one."""
        self.bundle = bundle
        self.catalogue = catalogue
        self.attributes = tuple(entries.labels)
        self._entries = entries
        self._graph = graph
        self._place = source
        self._source: Source | None = None
        self._row_of = {product: row for row, product in enumerate(entries.ids)}

    @property
    def n_products(self) -> int:
        """How many products are in it."""
        return len(self._entries.ids)

    @property
    def n_pictures(self) -> int:
        """How many pictures they have."""
        return len(self._entries.images)

    def search(
        self, outputs: Mapping[str, NDArray[np.float32]], k: int = 10, *, without: Sequence[Collection[str]] = ()
    ) -> list[list[Neighbour]]:
        """The ``k`` products most like each of ``n`` pictures, nearest first; fewer where there are no more.

        ``outputs`` are those of ``Predictor.outputs`` with the index's bundle. A product is as near as the nearest of
        its pictures. ``without`` has the ids of products to leave out, for each picture. UsageError when ``k`` is
        under 1 or ``without`` has another length than there are pictures.
        """
        points = locate(self.bundle, outputs)
        if k < 1:
            raise UsageError(f"top_k is {k}, but must be at least 1.")
        if without and len(without) != len(points):
            raise UsageError(
                f"There are {len(points)} pictures but {len(without)} lists of products to leave out; give one each."
            )
        left_out = without or [()] * len(points)
        return [self._search_one(point, k, own) for point, own in zip(points, left_out, strict=True)]

    def _search_one(self, point: NDArray[np.float32], k: int, without: Collection[str]) -> list[Neighbour]:
        """One picture; asks the graph for more until there are enough products, however many views each has."""
        owners = self._entries.owners
        left_out = {self._row_of[product] for product in without if product in self._row_of}
        count = min(k + len(left_out), len(self._graph))
        while True:
            matches = self._graph.search(point, count, threads=1)
            best: dict[int, tuple[int, float]] = {}
            for view, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True):
                if owners[view] not in left_out:
                    best.setdefault(owners[view], (view, max(0.0, distance)))
            if len(best) >= k or count == len(self._graph):
                return [self._describe(row, *found) for row, found in list(best.items())[:k]]
            count = min(2 * count, len(self._graph))

    def _describe(self, row: int, view: int, distance: float) -> Neighbour:
        name = self._entries.images[view]
        return Neighbour(self._entries.ids[row], distance, self._entries.labels_of(row), lambda: self._read(name))

    def _read(self, name: str) -> bytes:
        if self._source is None:
            if isinstance(self._place, Path) and not self._place.exists():
                raise CatalogueError(
                    f"The pictures of this index were in {self._place}, which is not there; put it back or build the "
                    "index again."
                )
            self._source = open_source(self._place)
        return self._source.read(name)

    def find_products(self, pixel_hash: str) -> tuple[str, ...]:
        """The ids of the products that have a picture with this hash of its pixels (``Picture.hash_pixels``)."""
        rows = self._entries.rows_of_hash.get(pixel_hash, ())
        return tuple(self._entries.ids[row] for row in rows)


def open_index(path: Path | str, bundle: Bundle) -> Index:
    """Open and verify an index that ``build_index`` wrote with ``bundle``.

    Raises UsageError when there is none, MissingExtraError without usearch, SimilarError for a format number this
    version does not read, another bundle, or files that are missing or not as they were written.
    """
    folder = Path(path)
    if not (folder / HEAD).is_file():
        raise UsageError(
            f"{folder} holds no index of similar products (no {HEAD}); make one with: vestiary index CATALOGUE --out "
            "INDEX."
        )
    usearch = require_usearch()
    damaged = SimilarError(f"{folder} holds a damaged index; {_AGAIN}.")
    try:
        head = json.loads((folder / HEAD).read_bytes())
        _check_head(head, folder, bundle)
        files = {what: folder / name_file(what, head["files"][what]) for what in ("products", "vectors")}
        if any(hash_file(file) != head["files"][what] for what, file in files.items()):
            raise damaged
        entries = Entries(json.loads(files["products"].read_bytes()))
        graph = usearch.Index.restore(files["vectors"], view=True, expansion_search=EXPANSION, enable_key_lookups=False)
        if graph is None or len(graph) != len(entries.images):
            raise damaged
        return Index(bundle, str(head["catalogue"]), entries, graph, find_source(head, folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error


def _check_head(head: Mapping[str, Any], folder: Path, bundle: Bundle) -> None:
    """Raise SimilarError for a format that is not read, and for an index of another bundle."""
    if head["format"] != FORMAT:
        raise SimilarError(
            f"{folder} has index format {head['format']}, but this version of Vestiary reads format {FORMAT}; {_AGAIN}."
        )
    name, fingerprint = str(head["bundle"]["name"]), str(head["bundle"]["fingerprint"])
    if fingerprint != bundle.fingerprint:
        raise SimilarError(
            f"{folder} was built with bundle {name} ({fingerprint[:8]}…) and does not fit "
            f"{bundle.name} ({bundle.fingerprint[:8]}…); name that bundle, or build the index again with this one."
        )
