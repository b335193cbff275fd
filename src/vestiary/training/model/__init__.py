"""The network: a backbone that sees, and heads that answer, one per attribute."""

from vestiary.training.model.backbone import build_backbone
from vestiary.training.model.classifier import Classifier, to_pixels
from vestiary.training.model.maps import map_classes

__all__ = ["Classifier", "build_backbone", "map_classes", "to_pixels"]
