"""Whether what comes in now still looks like what a bundle was fitted on: arrays and counts in, no database."""

from vestiary.drift.pictures import FEATURES, measure_background, measure_brightness, pack_features, unpack_features
from vestiary.drift.reference import FALSE_ALARMS, LEAST_GROUPS, LEAST_WINDOW, Reference, fit_reference
from vestiary.drift.report import DriftReport, Figure, Window, compare_window
from vestiary.drift.sums import Sighting

__all__ = [
    "FALSE_ALARMS",
    "FEATURES",
    "LEAST_GROUPS",
    "LEAST_WINDOW",
    "DriftReport",
    "Figure",
    "Reference",
    "Sighting",
    "Window",
    "compare_window",
    "fit_reference",
    "measure_background",
    "measure_brightness",
    "pack_features",
    "unpack_features",
]
