"""From photos to the products that are like them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vestiary.errors import VestiaryError
from vestiary.images import read_file, read_picture
from vestiary.predictor import Predictor, Prepared
from vestiary.similar.index import Index, Neighbour
from vestiary.tags import Failure

Photo = str | Path | bytes | Callable[[], bytes]
"""A path, the bytes of a picture file, or a function that gives them when it is the photo's turn."""


@dataclass(frozen=True, slots=True)
class Similar:
    """What is said of one photo: its ``neighbours``, nearest first, or the ``failure`` that stands in for them."""

    id: str
    neighbours: tuple[Neighbour, ...] = ()
    failure: Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """The wire form, ``status`` either "success" or "error"."""
        if self.failure:
            return {"id": self.id, "status": "error", "error": asdict(self.failure)}
        told = [neighbour.to_dict() for neighbour in self.neighbours]
        return {"id": self.id, "status": "success", "neighbours": told}


def find_similar(
    index: Index,
    predictor: Predictor,
    photos: Sequence[tuple[str, Photo]],
    *,
    top_k: int = 10,
    exclude: Collection[str] = (),
    exclude_same: bool = False,
) -> list[Similar]:
    """The products most like each of the named photos, in order; one that cannot be read has a ``failure``.

    ``predictor`` has the index's bundle. Left out are the products whose ids are in ``exclude`` and, with
    ``exclude_same``, those that have the very photo, to the last pixel, among their pictures. UsageError when
    ``top_k`` is under 1.
    """
    asked = [_prepare(index, predictor, name, photo, exclude_same=exclude_same) for name, photo in photos]
    good = [(prepared.pixels, {*exclude, *same}) for prepared, same in asked if prepared.pixels is not None]
    found: list[list[Neighbour]] = []
    if good:
        outputs = predictor.outputs(np.stack([pixels for pixels, _ in good]))
        found = index.search(outputs, top_k, without=[left_out for _, left_out in good])
    told = iter(found)
    return [
        Similar(prepared.id, () if prepared.failure else tuple(next(told)), prepared.failure) for prepared, _ in asked
    ]


def _prepare(
    index: Index, predictor: Predictor, name: str, photo: Photo, *, exclude_same: bool
) -> tuple[Prepared, tuple[str, ...]]:
    """The photo on its way to the model, and the ids of the products that have it."""
    try:
        data = photo() if callable(photo) else photo
        data = data if isinstance(data, bytes) else read_file(Path(data), limits=predictor.limits)
        prepared = predictor.prepare(name, data)
        if prepared.failure or not exclude_same:
            return prepared, ()
        return prepared, index.find_products(read_picture(data, limits=predictor.limits).hash_pixels())
    except VestiaryError as error:
        return Prepared(name, failure=Failure(getattr(error, "code", "unusable"), str(error))), ()
