"""The network: a backbone that sees, and heads that answer, one per attribute."""

from vestiary.training.model.classifier import Classifier, to_pixels

__all__ = ["Classifier", "to_pixels"]
