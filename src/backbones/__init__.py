"""The classic image-classification networks, built as their papers print them.

Four tables (variants, weights, recipes, protocols) and the verbs that act on them. Each name is
loaded when it is first used, so that `import backbones` is instant.

Example:
    >>> import backbones
    >>> network = backbones.create("lenet5", num_classes=7)
    >>> network.row.name
    'lenet5'
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

TYPE_CHECKING = False  # as `typing` has it, whose import would take most of the time of this one
if TYPE_CHECKING:
    from typing import Any

    from backbones.api.comparison import compare
    from backbones.api.drawing import draw
    from backbones.api.evaluation import evaluate
    from backbones.api.explanation import explain
    from backbones.api.features import extract_features
    from backbones.api.inspection import inspect, memory
    from backbones.api.networks import create, read_bundle, show
    from backbones.api.prediction import predict
    from backbones.api.reproduction import reproduce
    from backbones.api.stylization import stylize
    from backbones.api.training import (
        choose_recipe,
        find_learning_rate,
        resume,
        resume_folds,
        train,
        train_folds,
    )
    from backbones.api.tuning import resume_tuning, tune
    from backbones.catalog import names
    from backbones.data.check import check_data
    from backbones.data.sets import open_data
    from backbones.errors import BackbonesError
    from backbones.features.dense import dense
    from backbones.features.losses import perceptual_loss
    from backbones.features.pyramid import FeaturePyramid, as_backbone
    from backbones.features.style import StyleSettings
    from backbones.features.taps import tap
    from backbones.spec import Citation, Claim, InputSpec
    from backbones.weights.opening import holds_folds
    from backbones.workflows.fold_figures import FoldsFinished
    from backbones.workflows.folds import FoldsTraining
    from backbones.workflows.rates import FoundRate
    from backbones.workflows.run import TrainingRun
    from backbones.workflows.tuning.book import TrialRow
    from backbones.workflows.tuning.run import TuningRun
    from backbones.workflows.tuning.trial import TrialProgress

_HOME = {
    "create": "api.networks",
    "show": "api.networks",
    "inspect": "api.inspection",
    "compare": "api.comparison",
    "memory": "api.inspection",
    "draw": "api.drawing",
    "open_data": "data.sets",
    "check_data": "data.check",
    "train": "api.training",
    "resume": "api.training",
    "train_folds": "api.training",
    "holds_folds": "weights.opening",
    "choose_recipe": "api.training",
    "find_learning_rate": "api.training",
    "resume_folds": "api.training",
    "tune": "api.tuning",
    "resume_tuning": "api.tuning",
    "evaluate": "api.evaluation",
    "reproduce": "api.reproduction",
    "predict": "api.prediction",
    "explain": "api.explanation",
    "read_bundle": "api.networks",
    "extract_features": "api.features",
    "dense": "features.dense",
    "perceptual_loss": "features.losses",
    "stylize": "api.stylization",
    "StyleSettings": "features.style",
    "TrainingRun": "workflows.run",
    "FoldsTraining": "workflows.folds",
    "FoldsFinished": "workflows.fold_figures",
    "TuningRun": "workflows.tuning.run",
    "TrialRow": "workflows.tuning.book",
    "TrialProgress": "workflows.tuning.trial",
    "FoundRate": "workflows.rates",
    "tap": "features.taps",
    "as_backbone": "features.pyramid",
    "FeaturePyramid": "features.pyramid",
    "names": "catalog",
    "BackbonesError": "errors",
    "Citation": "spec",
    "Claim": "spec",
    "InputSpec": "spec",
}

__all__ = [  # noqa: RUF022 - in the order of a working life
    "names",
    "create",
    "show",
    "inspect",
    "compare",
    "memory",
    "draw",
    "open_data",
    "check_data",
    "train",
    "resume",
    "train_folds",
    "resume_folds",
    "holds_folds",
    "choose_recipe",
    "find_learning_rate",
    "tune",
    "resume_tuning",
    "evaluate",
    "reproduce",
    "predict",
    "explain",
    "read_bundle",
    "extract_features",
    "dense",
    "perceptual_loss",
    "stylize",
    "StyleSettings",
    "tap",
    "as_backbone",
    "FeaturePyramid",
    "TrainingRun",
    "FoldsTraining",
    "FoldsFinished",
    "TuningRun",
    "TrialRow",
    "TrialProgress",
    "FoundRate",
    "BackbonesError",
    "Citation",
    "Claim",
    "InputSpec",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backbones' has no attribute {name!r}")
    return getattr(import_module(f"backbones.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
