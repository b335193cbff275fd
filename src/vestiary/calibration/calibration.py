"""Everything that is fitted on validation products, and how it is applied: the one way from logits to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestiary.calibration.candidates import SET_COVERAGE, find_candidates, fit_limit
from vestiary.calibration.curves import Curve, fit_curve, fit_shift
from vestiary.calibration.hierarchy import Hierarchy
from vestiary.calibration.temperatures import Floats, Labels, fit_joint_temperatures, fit_temperature, softmax
from vestiary.calibration.thresholds import TARGET_PRECISION, fit_threshold
from vestiary.taxonomy import MISSING, Taxonomy


@dataclass(frozen=True)
class Calibration:
    """Per attribute name: a temperature that logits are divided by, and the least confidence that is accepted.

    A threshold of None means that no threshold reached the target precision, so a person always looks. ``limits`` are
    the least probabilities of a candidate, for sets that hold the true value in ``set_coverage`` of the cases; a
    calibration without them tells no candidates. ``curves`` move the confidences of attributes whose temperature does
    not make them true; thresholds and limits hold for what is told then. ``joint`` says that temperatures and
    thresholds are meant for attributes answered together (see Hierarchy); without it each is answered on its own.
    """

    temperatures: Mapping[str, float]
    thresholds: Mapping[str, float | None]
    target_precision: float = TARGET_PRECISION
    joint: bool = False
    limits: Mapping[str, float] | None = None
    set_coverage: float = SET_COVERAGE
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @classmethod
    def neutral(cls, names: tuple[str, ...]) -> Calibration:
        """Temperature 1, nothing accepted: what a model has before it is calibrated."""
        return cls(dict.fromkeys(names, 1.0), dict.fromkeys(names))

    def probabilities(self, logits: Mapping[str, Floats], hierarchy: Hierarchy) -> dict[str, NDArray[np.float64]]:
        """Calibrated probabilities ``float64 [n, values]`` of logits ``float [n, values]``, decoded by the hierarchy.

        All attributes that the hierarchy ties together must be there.
        """
        found = hierarchy.decode({name: softmax(own, self.temperatures[name]) for name, own in logits.items()})
        return found | {name: curve.apply(found[name]) for name, curve in self.curves.items() if name in found}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        plain: dict[str, Any] = {
            "temperatures": dict(self.temperatures),
            "thresholds": dict(self.thresholds),
            "target_precision": self.target_precision,
        }
        if self.joint:
            plain["joint"] = True
        if self.limits is not None:
            plain["sets"] = {"coverage": self.set_coverage, "limits": dict(self.limits)}
        if self.curves:
            plain["curves"] = {name: asdict(curve) for name, curve in self.curves.items()}
        return plain

    def describe_curves(self, names: Sequence[str]) -> str:
        """Which of the attributes ``names``, in their order, follow a curve, for people."""
        bent = ", ".join(name for name in names if name in self.curves)
        return f"The confidences of {bent} follow a curve besides the temperature."

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Calibration:
        """Read what ``to_dict`` wrote."""
        sets = plain.get("sets")
        return cls(
            temperatures={name: float(value) for name, value in plain["temperatures"].items()},
            thresholds={name: None if value is None else float(value) for name, value in plain["thresholds"].items()},
            target_precision=float(plain["target_precision"]),
            joint=bool(plain.get("joint", False)),
            limits={name: float(value) for name, value in sets["limits"].items()} if sets else None,
            set_coverage=float(sets["coverage"]) if sets else SET_COVERAGE,
            curves={name: Curve.from_dict(own) for name, own in plain.get("curves", {}).items()},
        )


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said of ``n`` pictures for one attribute.

    ``probabilities`` ``float64 [n, values]`` are calibrated and decoded: the best of a row is the answer, its
    probability the confidence. ``accepted`` ``bool [n]`` tells which answers need no person's eye, ``candidates``
    ``bool [n, values]`` the conformal sets (None for a calibration without them).
    """

    probabilities: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    candidates: NDArray[np.bool_] | None

    @property
    def indices(self) -> NDArray[np.int64]:
        """The answers as output indices, ``int64 [n]``."""
        indices: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return indices

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The confidence of the answers, ``float64 [n]``, 0..1."""
        confidence: NDArray[np.float64] = self.probabilities.max(axis=1)
        return confidence


def answer(
    logits: Mapping[str, Floats],
    calibration: Calibration,
    hierarchy: Hierarchy,
    *,
    unfamiliar: NDArray[np.bool_] | None = None,
) -> dict[str, Answers]:
    """What a user gets, per attribute, from logits ``float [n, values]`` of every attribute of the taxonomy.

    An answer is accepted when its confidence reaches the threshold of its attribute, and never where ``unfamiliar``
    (``bool [n]``) says so or without a threshold.
    """
    found = {}
    for name, own in calibration.probabilities(logits, hierarchy).items():
        threshold = calibration.thresholds[name]
        accepted = own.max(axis=1) >= threshold if threshold is not None else np.zeros(len(own), dtype=bool)
        if unfamiliar is not None:
            accepted &= ~unfamiliar
        limits = calibration.limits
        found[name] = Answers(own, accepted, None if limits is None else find_candidates(own, limits[name]))
    return found


def calibrate(
    logits: Mapping[str, Floats],
    labels: Labels,
    taxonomy: Taxonomy,
    *,
    target_precision: float = TARGET_PRECISION,
    set_coverage: float = SET_COVERAGE,
    groups: NDArray[np.int64] | None = None,
) -> Calibration:
    """All of it for every attribute, from validation logits and labels (shapes as above).

    ``groups`` (``int64 [n]``, from 0 on) tells products that are no independent evidence of each other.
    An attribute without any label gets the temperature 1, no threshold, and every value as a candidate.
    """
    hierarchy = Hierarchy.of(taxonomy)
    temperatures = {name: fit_temperature(logits[name], labels[name]) for name in taxonomy.names}
    for group in hierarchy.groups:
        temperatures |= fit_joint_temperatures(group, logits, labels)
    plain = Calibration(temperatures, dict.fromkeys(temperatures))
    found = plain.probabilities(logits, hierarchy)
    curves = _fit_curves(found, labels, groups, hierarchy)
    found = replace(plain, curves=curves).probabilities(logits, hierarchy)
    return Calibration(
        temperatures=temperatures,
        curves=curves,
        thresholds={
            name: fit_threshold(own, labels[name], target_precision=target_precision, groups=groups)
            for name, own in found.items()
        },
        target_precision=target_precision,
        joint=bool(hierarchy.groups),
        limits={name: fit_limit(own, labels[name], coverage=set_coverage) for name, own in found.items()},
        set_coverage=set_coverage,
    )


def _fit_curves(
    found: Mapping[str, NDArray[np.float64]], labels: Labels, groups: NDArray[np.int64] | None, hierarchy: Hierarchy
) -> dict[str, Curve]:
    """The curves of the attributes that need one.

    Those that are answered together have temperatures that make labels likeliest, which promises no mean. So they are
    shifted until the mean is true: all of a group alike, since no answer may become surer than the parents it implies.
    """
    answers = {}
    for name, own in found.items():
        known = labels[name] != MISSING
        right = own.argmax(axis=1) == labels[name]
        answers[name] = (own.max(axis=1)[known], right[known], None if groups is None else groups[known])
    fitted = {name: fit_curve(*own) for name, own in answers.items()}
    curves = {name: curve for name, curve in fitted.items() if curve is not None}
    for group in hierarchy.groups:
        plain = [name for name in group.names if name not in curves]
        sure, right = (np.concatenate([np.empty(0), *(answers[name][part] for name in plain)]) for part in (0, 1))
        if len(right):
            curves |= dict.fromkeys(plain, fit_shift(sure, right.astype(bool)))
    return curves
