"""The classic image-classification networks, built as their papers print them.

The verbs, as on the command line; `help(backbones.train)` tells more of each:

    look     names, show, inspect, memory, compare, draw
    train    open_data, check_data, train, resume, train_folds, tune, find_learning_rate, reproduce
    use      open, predict, evaluate, explain, extract_features, stylize, dense, tap, as_backbone
    ship     quantize, export, serve, write_playground, list_engines
    manage   published_weights, get_weights, verify_weights, load_recipe, view_recipe

They act on tables of variants, weights, recipes and protocols. Each name is loaded when it is
first used, so that `import backbones` is instant.

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
    from backbones.api.engines import list_engines
    from backbones.api.evaluation import evaluate
    from backbones.api.explanation import (
        Occluder,
        explain,
        filters_image,
        write_explanations,
    )
    from backbones.api.export import export, verify_export, write_export_report
    from backbones.api.features import extract_features, features_to_file
    from backbones.api.inspection import (
        inspect,
        inspect_with_memory,
        memory,
        paint_field,
    )
    from backbones.api.networks import create, read_bundle, show
    from backbones.api.opening import Classifier, open
    from backbones.api.planning import Hardware, plan
    from backbones.api.playground import write_playground
    from backbones.api.prediction import Submission, predict, predict_files, predict_parts
    from backbones.api.quantization import quantize
    from backbones.api.recipes import compare_recipes, dump_recipe, view_recipe
    from backbones.api.reproduction import reproduce
    from backbones.api.serving import serve
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
    from backbones.classifier.evaluation_files import write_evaluation
    from backbones.compute import choose_compute
    from backbones.data.check import check_data
    from backbones.data.pack import pack_data
    from backbones.data.sets import open_data
    from backbones.download import cache_folder
    from backbones.errors import BackbonesError
    from backbones.features.dense import dense
    from backbones.features.losses import perceptual_loss
    from backbones.features.pyramid import FeaturePyramid, as_backbone
    from backbones.features.style import StyleSettings
    from backbones.features.taps import tap
    from backbones.language import speaking
    from backbones.protocols.describing import show_protocol
    from backbones.protocols.own import load_protocol
    from backbones.protocols.table import find_protocol, protocol_names
    from backbones.serving.options import ServerOptions
    from backbones.spec import Citation, Claim, InputSpec
    from backbones.speed import keep_large_buffers
    from backbones.training.record import (
        EndRecord,
        EpochRecord,
        EvaluationRecord,
        StartRecord,
        StepRecord,
    )
    from backbones.training.settings import load_recipe, recipe_names
    from backbones.weights.managing import convert_weights, import_weights, verify_weights
    from backbones.weights.opening import get_weights, holds_folds
    from backbones.weights.table import published_weights, shipped_weights
    from backbones.workflows.data_page import write_data_page
    from backbones.workflows.demonstration import predict_demo, start_demo
    from backbones.workflows.fold_figures import FoldsFinished
    from backbones.workflows.folds import FoldsTraining
    from backbones.workflows.rates import FoundRate
    from backbones.workflows.run import TrainingRun
    from backbones.workflows.tuning.book import TrialRow
    from backbones.workflows.tuning.run import TuningRun
    from backbones.workflows.tuning.trial import TrialProgress

_NAMES = {
    "catalog": "names",
    "api.networks": "create show read_bundle",
    "api.inspection": "inspect memory inspect_with_memory paint_field",
    "api.planning": "plan Hardware",
    "api.comparison": "compare",
    "api.drawing": "draw",
    "data.sets": "open_data",
    "data.check": "check_data",
    "data.pack": "pack_data",
    "training.settings": "recipe_names load_recipe",
    "api.recipes": "view_recipe compare_recipes dump_recipe",
    "api.training": "choose_recipe find_learning_rate train resume train_folds resume_folds",
    "weights.opening": "holds_folds get_weights",
    "api.tuning": "tune resume_tuning",
    "api.reproduction": "reproduce",
    "protocols.table": "protocol_names find_protocol",
    "protocols.own": "load_protocol",
    "protocols.describing": "show_protocol",
    "api.opening": "open Classifier",
    "api.engines": "list_engines",
    "api.evaluation": "evaluate",
    "language": "speaking",
    "classifier.evaluation_files": "write_evaluation",
    "api.prediction": "predict predict_files predict_parts Submission",
    "api.explanation": "explain write_explanations filters_image Occluder",
    "api.features": "extract_features features_to_file",
    "api.export": "export verify_export write_export_report",
    "api.quantization": "quantize",
    "api.serving": "serve",
    "serving.options": "ServerOptions",
    "features.dense": "dense",
    "features.losses": "perceptual_loss",
    "features.taps": "tap",
    "features.pyramid": "as_backbone FeaturePyramid",
    "api.stylization": "stylize",
    "workflows.data_page": "write_data_page",
    "workflows.demonstration": "start_demo predict_demo",
    "api.playground": "write_playground",
    "weights.table": "published_weights shipped_weights",
    "weights.managing": "verify_weights import_weights convert_weights",
    "compute": "choose_compute",
    "speed": "keep_large_buffers",
    "download": "cache_folder",
    "features.style": "StyleSettings",
    "workflows.run": "TrainingRun",
    "training.record": "StartRecord StepRecord EpochRecord EvaluationRecord EndRecord",
    "workflows.folds": "FoldsTraining",
    "workflows.fold_figures": "FoldsFinished",
    "workflows.rates": "FoundRate",
    "workflows.tuning.run": "TuningRun",
    "workflows.tuning.trial": "TrialProgress",
    "workflows.tuning.book": "TrialRow",
    "errors": "BackbonesError",
    "spec": "Citation Claim InputSpec",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [  # noqa: RUF022 - in the order of a working life
    "names",
    "speaking",
    "create",
    "show",
    "read_bundle",
    "inspect",
    "memory",
    "inspect_with_memory",
    "paint_field",
    "plan",
    "compare",
    "draw",
    "open_data",
    "check_data",
    "pack_data",
    "recipe_names",
    "load_recipe",
    "view_recipe",
    "compare_recipes",
    "dump_recipe",
    "choose_recipe",
    "find_learning_rate",
    "train",
    "resume",
    "train_folds",
    "resume_folds",
    "holds_folds",
    "tune",
    "resume_tuning",
    "reproduce",
    "protocol_names",
    "find_protocol",
    "load_protocol",
    "show_protocol",
    "open",
    "Classifier",
    "list_engines",
    "evaluate",
    "write_data_page",
    "write_evaluation",
    "predict",
    "predict_files",
    "predict_parts",
    "explain",
    "write_explanations",
    "filters_image",
    "extract_features",
    "features_to_file",
    "serve",
    "dense",
    "perceptual_loss",
    "tap",
    "as_backbone",
    "stylize",
    "quantize",
    "export",
    "verify_export",
    "write_export_report",
    "start_demo",
    "predict_demo",
    "write_playground",
    "published_weights",
    "shipped_weights",
    "get_weights",
    "verify_weights",
    "import_weights",
    "convert_weights",
    "choose_compute",
    "keep_large_buffers",
    "cache_folder",
    "FeaturePyramid",
    "Hardware",
    "Occluder",
    "StyleSettings",
    "Submission",
    "ServerOptions",
    "TrainingRun",
    "StartRecord",
    "StepRecord",
    "EpochRecord",
    "EvaluationRecord",
    "EndRecord",
    "FoldsTraining",
    "FoldsFinished",
    "FoundRate",
    "TuningRun",
    "TrialProgress",
    "TrialRow",
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
