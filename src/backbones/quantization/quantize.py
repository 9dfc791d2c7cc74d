"""The whole way from a bundle to a judged network in int8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

import backbones
from backbones.classifier.held_out import Wanted
from backbones.compute import instruction_set
from backbones.data.source import Split
from backbones.errors import QuantizationRefused
from backbones.exporting.description import Description
from backbones.exporting.export import Exported, proof_of
from backbones.exporting.form import Deployable
from backbones.exporting.opened import ExportedNetwork
from backbones.exporting.openvino_model import OpenVinoModel
from backbones.exporting.program import program_of
from backbones.exporting.sealed_model import SealedModel
from backbones.exporting.targets import find_target
from backbones.progress import Staged
from backbones.quantization.card import Card, named
from backbones.quantization.graph import folded, layers_in_int8, layers_of, preparing_of
from backbones.quantization.images import FedImages, Parts, choose_parts
from backbones.quantization.judging import Judged, Pair
from backbones.quantization.nncf_calls import Calibration, Control, quantized
from backbones.quantization.result import QuantizationOptions, Quantized
from backbones.weights.bundle import Bundle

_KEPT_AT_MOST = 2  # one layer in so many may go back to fp32; with more there is little in int8


@dataclass(frozen=True)
class _Made:
    """A graph in int8, judged; `kept` are the layers that stay in fp32."""

    model: OpenVinoModel
    judged: Judged
    num_layers: int
    kept: tuple[str, ...]
    controlled: bool


def quantize_bundle(
    bundle: Bundle, wanted: Wanted, options: QuantizationOptions, out: Path, staged: Staged
) -> Quantized:
    """Write a bundle in int8, if it loses no more accuracy than it may.

    Args:
        bundle: with its tensors.
        wanted: the data to calibrate and to judge on.
        options: how.
        out: OpenVINO's folder, or a file that ends in .safetensors.
        staged: called as the work goes on.

    Raises:
        QuantizationRefused: it loses too much, or cannot be done; nothing is written.
        NotFound, BadData, WrongUse: the data does not serve; as `images.choose_parts`.
        MissingExtra: a library is absent.
        ExportMismatch: the translation to OpenVINO itself answers otherwise than PyTorch.
    """
    parts = choose_parts(bundle, wanted, options.num_images, options.seed)
    staged("translating", 0, 1)
    network = Deployable(bundle.build(), bundle.spec, options.form).eval()
    model = OpenVinoModel.of(program_of(network, bundle.spec), options.form)
    proof = proof_of(network, bundle.spec, lambda: model)
    proof.hold(model.sessions())
    staged("translating", 1, 1)

    target = find_target("safetensors" if out.suffix == ".safetensors" else "openvino")
    description = replace(Description.of(bundle, options.form, target.name), precision="int8")
    made = _Quantization(model, description, parts, options, staged).best()
    small = made.model if target.name == "openvino" else SealedModel(made.model.graph)
    parity = replace(proof, exact=False).hold(small.sessions())
    card = _card(made, (model, small), description, parts, options)
    description = replace(description, parity=parity.to_json(), quantization=card.to_json())
    small.describe(description)
    if target.name == "openvino":
        small.beside.update(card.to_files())
    return Quantized(Exported(out, target.name, small.save(out), description, parity), card)


class _Quantization:
    """The work between a graph in fp32 and one in int8 that may be written."""

    def __init__(
        self,
        model: OpenVinoModel,
        description: Description,
        parts: Parts,
        options: QuantizationOptions,
        staged: Staged,
    ) -> None:
        self._model, self._parts, self._options, self._staged = model, parts, options, staged
        self._fed = ExportedNetwork(model, description).fed
        self._spec = description.bundle.spec
        self._graph = folded(model.graph)
        self._layers = layers_of(model.graph, self._graph)

    def best(self) -> _Made:
        """The graph in int8; where it loses too much, with the layers that hurt in fp32."""
        made = self._made("calibrating")
        if self._may(made):
            return made
        label = "finding the layers that hurt"
        images = self._images(self._parts.validation, label)
        most = max(1, len(self._layers) // _KEPT_AT_MOST)
        control = Control(images, _allowed(made, self._options), most)
        controlled = self._made(label, control)
        if self._may(controlled):
            return controlled
        loss, hurt = controlled.judged.loss, tuple(sorted({*controlled.kept} - {*made.kept}))
        raise QuantizationRefused(
            f"in int8 {made.judged.loss.points:.2f} points of top-1 accuracy are lost, and"
            f" {loss.points:.2f} with the layers that hurt most in fp32 ({named(hurt)});"
            f" {_allowed(made, self._options):.2g} may be; `backbones quantize --max-loss` allows"
            " more, and more images to calibrate on may help; else use bf16"
        )

    def _made(self, label: str, control: Control | None = None) -> _Made:
        calibration = Calibration(
            self._images(self._parts.calibration, label), preparing_of(self._graph)
        )
        graph = quantized(self._graph, calibration, control)
        small = layers_in_int8(graph)
        if not small & self._layers.keys():
            raise QuantizationRefused("NNCF found no layer of this network to put in int8")
        model = OpenVinoModel(graph)
        judged = Pair(self._model.session, model.session, self._fed).judged(
            self._parts.validation, self._spec, partial(self._staged, "judging")
        )
        kept = tuple(path for name, path in self._layers.items() if name not in small)
        return _Made(model, judged, len(self._layers), kept, control is not None)

    def _images(self, split: Split, label: str) -> FedImages:
        return FedImages(split, self._spec, self._fed, partial(self._staged, label))

    def _may(self, made: _Made) -> bool:
        return made.judged.loss.points <= _allowed(made, self._options) + 1e-9


def _allowed(made: _Made, options: QuantizationOptions) -> float:
    """Points that may be lost; always what one image is worth, for one image shows nothing."""
    most = options.max_loss_points
    return most and max(most, 100 / made.judged.agreement.num_images)


def _card(
    made: _Made,
    models: tuple[OpenVinoModel, OpenVinoModel],
    description: Description,
    parts: Parts,
    options: QuantizationOptions,
) -> Card:
    """The card of a graph, whose fp32 form is the first of `models`."""
    fp32, int8 = models
    pair = Pair(fp32.session, int8.session, ExportedNetwork(fp32, description).fed)
    calibration = parts.calibration
    names = ("openvino", "nncf", "torch")
    return Card(
        variant=description.bundle.variant,
        bytes_fp32=fp32.num_bytes(),
        bytes_int8=int8.num_bytes(),
        speeds=pair.speeds(description.bundle.spec),
        allowed_loss_points=_allowed(made, options),
        judged=made.judged,
        judged_on=parts.validation.name,
        data=parts.data,
        num_layers=made.num_layers,
        layers_kept=made.kept,
        accuracy_control=made.controlled,
        calibration={
            "num_images": len(calibration),
            "seed": options.seed,
            "part": calibration.name,
        },
        made_by={
            "instruction_set": instruction_set(),
            "threads": torch.get_num_threads(),
            "versions": {"backbones": backbones.__version__}
            | {name: version(name) for name in names},
        },
    )
