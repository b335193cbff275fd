"""From raw model scores to confidences that mean something, and to the decision whether a person must look.

temperatures   probabilities from logits
curves         confidences moved where a temperature alone does not make them true
hierarchy      attributes tied by parent rules are answered together
thresholds     which answers need no person's eye
candidates     conformal sets
familiarity    pictures unlike those of the training split
calibration    all that is fitted, and ``answer``: the one way from logits to what a user gets
"""

from vestiary.calibration.calibration import Answers, Calibration, answer, calibrate
from vestiary.calibration.candidates import SET_COVERAGE, find_candidates, fit_limit
from vestiary.calibration.curves import Curve, fit_curve
from vestiary.calibration.familiarity import FALSE_ALARMS, Familiarity, fit_familiarity
from vestiary.calibration.hierarchy import MAX_COMBINATIONS, Combinations, Hierarchy
from vestiary.calibration.temperatures import fit_joint_temperatures, fit_temperature, softmax
from vestiary.calibration.thresholds import (
    ASSURANCE,
    MIN_ACCEPTED,
    TARGET_PRECISION,
    fit_threshold,
    wilson_lower,
)

__all__ = [
    "ASSURANCE",
    "FALSE_ALARMS",
    "MAX_COMBINATIONS",
    "MIN_ACCEPTED",
    "SET_COVERAGE",
    "TARGET_PRECISION",
    "Answers",
    "Calibration",
    "Combinations",
    "Curve",
    "Familiarity",
    "Hierarchy",
    "answer",
    "calibrate",
    "find_candidates",
    "fit_curve",
    "fit_familiarity",
    "fit_joint_temperatures",
    "fit_limit",
    "fit_temperature",
    "fit_threshold",
    "softmax",
    "wilson_lower",
]
