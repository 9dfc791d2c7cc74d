"""The calls of NNCF, which neither print nor report anything to anybody."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from backbones.errors import BackbonesError, MissingExtra, QuantizationRefused
from backbones.exporting.session import Array
from backbones.quantization.images import FedImages

_REPORTER = "openvino_telemetry"
_ASYMMETRIC = {"Swish", "HSwish", "Sigmoid", "Tanh", "Gelu", "Elu", "PRelu"}
_MOST_RANKED = 300  # images that accuracy control orders the layers by


@dataclass(frozen=True)
class Calibration:
    """What a graph is quantised with.

    Args:
        images: to calibrate on.
        left_out: names of operations that are no part of the network.
    """

    images: FedImages
    left_out: Sequence[str]


@dataclass(frozen=True)
class Control:
    """What accuracy control may do.

    Args:
        images: to judge on.
        max_loss_points: of top-1 accuracy.
        most_layers: that go back to higher precision.
    """

    images: FedImages
    max_loss_points: float
    most_layers: int


def require_nncf() -> None:
    """Tell before any work that NNCF is missing.

    Raises:
        MissingExtra: it is.
    """
    if find_spec("nncf") is None:
        raise MissingExtra("nncf", "quantize", "quantization")


def quantized(graph: Any, calibration: Calibration, control: Control | None = None) -> Any:
    """A graph in int8: weights by channel, activations by tensor, biases corrected in full.

    Weights of the first layer keep to 7 of their 8 bits, for processors without VNNI add pairs of
    products in 16 bits, which overflow: MobileNet v1 0.75 lost 17 points of top-1 accuracy on AVX2
    without that. Activations are symmetric where ReLU and its kin make them, else they have a zero
    point of their own, as NNCF advises.

    Args:
        graph: folded; it is left as it is.
        calibration: the images.
        control: where given, layers go back to higher precision, the worst first, until the loss
            is allowed or there are `most_layers` of them.

    Raises:
        QuantizationRefused: NNCF cannot do this network.
    """
    with _silent() as nncf:
        settings = {
            "preset": _preset(graph, nncf.QuantizationPreset),
            "fast_bias_correction": False,
            "subset_size": len(calibration.images),
            "ignored_scope": nncf.IgnoredScope(names=list(calibration.left_out), validate=False),
        }
        fix = nncf.OverflowFix.FIRST_LAYER
        advanced = nncf.AdvancedQuantizationParameters(overflow_fix=fix)
        given = graph.clone(), nncf.Dataset(calibration.images, _image)
        try:
            if control is None:
                return nncf.quantize(*given, advanced_parameters=advanced, **settings)
            return nncf.quantize_with_accuracy_control(
                *given,
                nncf.Dataset(control.images, _image),
                _top1_accuracy,
                advanced_quantization_parameters=advanced,
                **_limits(nncf, control),
                **settings,
            )
        except (BackbonesError, MemoryError, OSError):
            raise
        except Exception as error:  # NNCF and OpenVINO have errors of many kinds
            raise QuantizationRefused(
                f"NNCF cannot quantise this network ({' '.join(str(error).split())[:200]});"
                " use it in fp32 or bf16"
            ) from error


def _image(item: tuple[Array, int]) -> Array:
    return item[0]


def _limits(nncf: Any, control: Control) -> dict[str, Any]:
    return {
        "max_drop": control.max_loss_points / 100 + 1e-9,  # what is just allowed is
        "drop_type": nncf.DropType.ABSOLUTE,
        "advanced_accuracy_restorer_parameters": nncf.AdvancedAccuracyRestorerParameters(
            max_num_iterations=control.most_layers,
            ranking_subset_size=min(_MOST_RANKED, len(control.images)),
            num_ranking_workers=1,
        ),
    }


def _preset(graph: Any, presets: Any) -> Any:
    kinds = {node.get_type_name() for node in graph.get_ops()}
    return presets.MIXED if kinds & _ASYMMETRIC else presets.PERFORMANCE


def _top1_accuracy(
    compiled: Any, items: Iterable[tuple[Array, int]]
) -> tuple[float, list[list[Array]]]:
    """Of a compiled graph, with the logits of each image, by which layers are ordered."""
    logits, right = [], []
    for image, label in items:
        found = compiled([image])[0]
        logits.append([found])
        right.append(int(found.argmax()) == label)
    return float(np.mean(right)), logits


class _ReportsNothing:
    """In the place of what NNCF reports to its makers with."""

    def start_session(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    send_event = end_session = start_session


@contextmanager
def _silent() -> Iterator[Any]:
    """NNCF, which else prints bars, notes and warnings, and reports every call."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        nncf = _imported()
        level = nncf.nncf_logger.level
        nncf.set_log_level(logging.ERROR)
        try:
            yield nncf
        finally:
            nncf.set_log_level(level)


def _imported() -> Any:
    """NNCF without the means to report: it begins with that when it is imported."""
    reporter = sys.modules.get(_REPORTER)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import nncf
        from nncf.telemetry import decorator
    finally:
        del sys.modules[_REPORTER]
        if reporter is not None:
            sys.modules[_REPORTER] = reporter
    decorator.telemetry = _ReportsNothing()  # where somebody else had imported it before
    return nncf
