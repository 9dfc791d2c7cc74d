"""Name what is in pictures, wherever they lie, and write the answers down."""

from backbones.prediction.inputs import find_inputs
from backbones.prediction.run import Guess, Prediction, predict
from backbones.prediction.writers import FORMATS, Submission, Written, write_predictions

__all__ = [
    "FORMATS",
    "Guess",
    "Prediction",
    "Submission",
    "Written",
    "find_inputs",
    "predict",
    "write_predictions",
]
