"""Whether what comes in now still looks like what a bundle was fitted on: arrays and counts in, no database."""

from vestiary.drift.pictures import FEATURES, measure_background, measure_brightness, pack_features, unpack_features

__all__ = ["FEATURES", "measure_background", "measure_brightness", "pack_features", "unpack_features"]
