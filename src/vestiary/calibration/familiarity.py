"""How unlike the training pictures a picture is: the distance of its embedding from the nearest crowd of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vestiary.calibration.temperatures import Labels

RANK: Final = 48
CROWDS: Final = 512
"""At most so many crowds, of ten training pictures each on average at the least."""
ROUNDS: Final = 10
LEAST_SPREAD: Final = 1e-5
"""Variance that is counted at least, of embeddings rescaled to 1: float16 could not tell less."""
BLOCK: Final = 4096
FALSE_ALARMS: Final = 0.01
"""The share of validation pictures that may be called unfamiliar."""

Embeddings = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Where the embeddings of the training pictures lie: in crowds, with one measure of distance for them all.

    An embedding becomes ``(embedding / scale - centre) @ projection``, ``[n, rank]``: its main components, rescaled so
    that training pictures of one value of ``attribute`` spread by 1 in all directions around their mean, as for
    Mahalanobis' distance with a shared covariance (Lee et al. 2018). The distance of a picture is the squared one to
    the nearest of the ``means`` (``[crowds, rank]``) that k-means finds among the training pictures there. ``limit``
    is the distance from which on a picture is unfamiliar, ``false_alarms`` the share of validation pictures beyond it.
    """

    attribute: str
    scale: float
    centre: NDArray[np.float16]
    projection: NDArray[np.float16]
    means: NDArray[np.float16]
    limit: float
    false_alarms: float

    @property
    def channels(self) -> int:
        """How many numbers an embedding has."""
        return len(self.centre)

    def distances(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Squared distances ``float64 [n]`` of embeddings ``float [n, channels]`` from the nearest mean."""
        return _find_nearest(self.project(embeddings), self.means.astype(np.float64))[1]

    def project(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Where embeddings ``float [n, channels]`` are among the means, ``float64 [n, rank]``."""
        points: NDArray[np.float64] = (embeddings.astype(np.float64) / self.scale - self.centre) @ self.projection
        return points

    def scores(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """How unfamiliar, ``float64 [n]``, 0..1: 0.5 is the limit, and what is farther away is unfamiliar."""
        distances = self.distances(embeddings)
        scores: NDArray[np.float64] = distances / (distances + self.limit)
        return scores

    def is_unfamiliar(self, embeddings: Embeddings) -> NDArray[np.bool_]:
        """Which of the embeddings ``float [n, channels]`` are beyond the limit, ``bool [n]``."""
        beyond: NDArray[np.bool_] = self.distances(embeddings) > self.limit
        return beyond

    def limited(self, embeddings: Embeddings, *, false_alarms: float = FALSE_ALARMS) -> Familiarity:
        """The same with the limit that ``false_alarms`` of these validation embeddings are beyond."""
        limit = float(np.quantile(self.distances(embeddings), 1 - false_alarms, method="higher"))
        return replace(self, limit=max(limit, 1e-6), false_alarms=false_alarms)

    def __eq__(self, other: object) -> bool:
        """Equal when all numbers are."""
        return isinstance(other, Familiarity) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back. The arrays are base64 of little-endian float16."""
        return {
            "attribute": self.attribute,
            "scale": self.scale,
            "centre": _encode(self.centre),
            "projection": _encode(self.projection),
            "means": _encode(self.means),
            "limit": self.limit,
            "false_alarms": self.false_alarms,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Familiarity:
        """Read what ``to_dict`` wrote. ValueError when the arrays do not fit each other."""
        centre = _decode(plain["centre"])
        if not len(centre):
            raise ValueError("its familiarity has no centre")
        projection = _decode(plain["projection"]).reshape(len(centre), -1)
        return cls(
            attribute=str(plain["attribute"]),
            scale=float(plain["scale"]),
            centre=centre,
            projection=projection,
            means=_decode(plain["means"]).reshape(-1, projection.shape[1]),
            limit=float(plain["limit"]),
            false_alarms=float(plain["false_alarms"]),
        )


def fit_familiarity(embeddings: Embeddings, labels: Labels) -> Familiarity | None:
    """Where training embeddings ``float [n, channels]`` lie, measured by the attribute that they tell apart best.

    ``labels`` are ``int64 [n]`` by attribute, negative ones left out. The limit is infinite until ``limited`` sets it.
    None when no attribute has more labelled pictures than values, or when all pictures are alike.
    """
    scale = float(embeddings.std())
    if not scale > 0:
        return None
    points = embeddings.astype(np.float64) / scale
    spreads = {name: _spread(points, own) for name, own in labels.items()}
    name = min(spreads, key=lambda name: spreads[name])
    if not np.isfinite(spreads[name]):
        return None
    centre, projection = _whiten(points[labels[name] >= 0], labels[name][labels[name] >= 0])
    stored = Familiarity(
        attribute=name,
        scale=scale,
        centre=centre.astype(np.float16),
        projection=projection.astype(np.float16),
        means=np.empty((0, projection.shape[1]), dtype=np.float16),
        limit=np.inf,
        false_alarms=0.0,
    )
    return replace(stored, means=_find_crowds(stored.project(embeddings)).astype(np.float16))


def _find_crowds(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means ``[crowds, rank]`` of crowds of points, by k-means (Lloyd 1982) from evenly spaced points."""
    spaced = np.linspace(0, len(points) - 1, max(1, min(CROWDS, len(points) // 10))).astype(int)
    means: NDArray[np.float64] = points[spaced]
    for _ in range(ROUNDS):
        own, _ = _find_nearest(points, means)
        counts, sums = np.bincount(own, minlength=len(means)), np.zeros_like(means)
        np.add.at(sums, own, points)
        means[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return means


def _find_nearest(
    points: NDArray[np.float64], means: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which mean is nearest to each point, and the squared distance to it."""
    own, nearest = np.empty(len(points), dtype=np.intp), np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        squared = (block**2).sum(axis=1)[:, None] - 2 * block @ means.T + (means**2).sum(axis=1)
        own[start : start + BLOCK] = squared.argmin(axis=1)
        nearest[start : start + BLOCK] = np.maximum(squared.min(axis=1), 0.0)
    return own, nearest


def _means(points: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The mean of the points of each value that occurs, and which mean belongs to each labelled point."""
    known = labels >= 0
    _, own, counts = np.unique(labels[known], return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), points.shape[1]))
    np.add.at(sums, own, points[known])
    return sums / counts[:, None], own


def _spread(points: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Variance around the means of the values; infinite without more labelled points than values."""
    means, own = _means(points, labels)
    if len(own) <= len(means):
        return float("inf")
    return float(((points[labels >= 0] - means[own]) ** 2).sum() / (len(own) - len(means)))


def _whiten(points: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centre, and the projection on at most RANK main components that makes the spread around the means round.

    Components come in the order in which they tell points apart, those that the means differ most in first.
    """
    centre = points.mean(axis=0)
    centred = points - centre
    powers, axes = np.linalg.eigh(centred.T @ centred / len(points))
    main = axes[:, np.argsort(-powers)[:RANK]][:, : max(1, int((powers > 1e-6 * powers.max()).sum()))]
    means, own = _means(centred, labels)
    within = (centred - means[own]) @ main
    powers, axes = np.linalg.eigh(within.T @ within / len(within))
    whitening = main @ axes / np.sqrt(np.maximum(powers, max(1e-6 * powers.max(), LEAST_SPREAD)))
    _, turn = np.linalg.eigh(whitening.T @ (centred.T @ centred / len(points)) @ whitening)
    return centre, whitening @ turn[:, ::-1]


def _encode(array: NDArray[np.float16]) -> str:
    return base64.b64encode(array.astype("<f2").tobytes()).decode("ascii")


def _decode(text: str) -> NDArray[np.float16]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float16)
