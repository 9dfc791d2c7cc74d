"""Open trained networks, whatever holds them, as a classifier."""

from backbones.classifier.classifier import Classifier
from backbones.classifier.opening import open_classifier as open

__all__ = ["Classifier", "open"]
