"""One self-describing file: the weights, and everything needed to use them.

A bundle is a safetensors file whose header carries, as JSON, the variant and its whole row, the
classes, how images are prepared, the recipe and the metrics. Both the JSON and the tensors have
their SHA-256 stored, and both are checked on reading.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import backbones
from backbones import catalog
from backbones.errors import BadWeights, NotFound, WrongUse
from backbones.models import make
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec
from backbones.weights.numbers import NON_FINITE, in_single_precision, refuse_non_finite
from backbones.weights.rows import row_from_json, row_to_json
from backbones.weights.sealed import begins_as, read_sealed, write_sealed

FORMAT = 1
_HEADER = "backbones"


@dataclass(frozen=True)
class Bundle:
    """A trained network with all that belongs to it.

    Args:
        family: file in `models/` that has the network.
        variant: the row's name.
        row: the whole row, as plain values.
        num_classes, in_channels: that the network was built with.
        classes: names, in the order of the logits.
        spec: how an image becomes the network's input.
        recipe: the resolved recipe that trained it, or None.
        metrics: by name, as measured after the training.
        trained_on: fingerprint of the training images ("num_pictures", "sha256") and digest of
            those that chose these weights ("chosen_by", None where none did), by which an
            evaluation knows whether it has to hold some of them out; or None.
        versions: of backbones, torch and Python that wrote it.
        provenance: where the weights come from ("weights", "file", "sha256", "url", "licence"),
            where they were not trained here; or None.
        state: the tensors by name; empty where only the header was read.
    """

    family: str
    variant: str
    row: dict[str, Any]
    num_classes: int
    in_channels: int
    classes: tuple[str, ...]
    spec: InputSpec
    recipe: dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    trained_on: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] | None = None
    state: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode.

        Raises:
            BadWeights: only the header was read, or the weights do not fit the row.
        """
        if not self.state:
            raise BadWeights(f"only the header of {self.variant} was read; use read_bundle")
        network = _network_on_meta(self)
        _check_state(self, network)
        network.load_state_dict(self.state, assign=True)
        return network.eval()


def bundle_of(
    model: nn.Module,
    *,
    classes: Sequence[str],
    spec: InputSpec,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    trained_on: Mapping[str, Any] | None = None,
) -> Bundle:
    """Bundle a network of this package. The tensors are shared with it, not copied.

    Args:
        model: the network; one wrapped by `torch.compile` or for several processes is unwrapped.
        classes: names, in the order of the logits.
        spec: how an image becomes its input.
        recipe: the resolved recipe, of plain values.
        metrics: of plain values.
        trained_on: fingerprint of the training images, of plain values.

    Raises:
        WrongUse: a network of another package, or classes or channels that do not fit it.
    """
    plain: Any = _unwrapped(model)
    if len(classes) != plain.num_classes:
        raise WrongUse(
            f"{len(classes)} class names for a network with {plain.num_classes} classes;"
            " give one name for each"
        )
    if spec.channels != plain.in_channels:
        raise WrongUse(
            f"the input spec gives {spec.channels} channels to a network built for"
            f" {plain.in_channels}"
        )
    return Bundle(
        family=type(plain).__module__.rpartition(".")[2],
        variant=plain.row.name,
        row=row_to_json(plain.row),
        num_classes=plain.num_classes,
        in_channels=plain.in_channels,
        classes=tuple(classes),
        spec=spec,
        recipe=None if recipe is None else dict(recipe),
        metrics=dict(metrics or {}),
        trained_on=None if trained_on is None else dict(trained_on),
        versions={
            "backbones": backbones.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        state={name: tensor.detach() for name, tensor in plain.state_dict().items()},
    )


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside `torch.compile` and parallel wrappers, which prefix its tensors' names."""
    parts = dict(model.named_children())
    for wrapper in ("_orig_mod", "module"):
        if wrapper in parts:
            return _unwrapped(parts[wrapper])
    if not hasattr(model, "row"):
        raise WrongUse(f"{type(model).__name__} is not a network of backbones: it has no row")
    return model


def write_bundle(path: str | Path, bundle: Bundle) -> None:
    """Write a bundle; a file that is there is replaced in one step or not at all.

    Raises:
        BadWeights: the bundle has no tensors.
        OSError: the disk is full or the folder cannot be written.
    """
    if not bundle.state:
        raise BadWeights(f"the bundle of {bundle.variant} has no tensors; read it with read_bundle")
    write_sealed(Path(path), _HEADER, header_to_json(bundle), bundle.state)


def header_to_json(bundle: Bundle) -> dict[str, Any]:
    """What a bundle says about itself, as plain values; `header_from_json` reads it back."""
    values = {f.name: getattr(bundle, f.name) for f in fields(bundle) if f.name != "state"}
    return values | {"format": FORMAT, "spec": bundle.spec.to_json()}


def is_bundle(path: Path) -> bool:
    """Whether a file begins as a bundle does, be it whole or not; other weight files do not.

    Raises:
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"there is no bundle {path}")
    return begins_as(path, _HEADER)


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check it: hashes, row, names and shapes of the tensors.

    Raises:
        NotFound: there is no such file.
        BadWeights: the file is truncated, was changed, or is something else; or its numbers are
            not finite, and were not allowed to be.
    """
    with _named(path):
        values, state = _read(Path(path), with_tensors=True)
        bundle = replace(header_from_json(values), state=state)
        network = _network_on_meta(bundle)
        _check_state(bundle, network)
        state, _ = in_single_precision(state, network.state_dict())
        if NON_FINITE not in (bundle.provenance or {}):
            refuse_non_finite(state)
        return replace(bundle, state=state)


def read_bundle_header(path: str | Path) -> Bundle:
    """Read what a bundle says about itself, without its tensors.

    Raises:
        NotFound: there is no such file.
        BadWeights: the file is not a bundle, or its header was changed.
    """
    with _named(path):
        values, _ = _read(Path(path), with_tensors=False)
        return header_from_json(values)


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except BadWeights as error:
        raise BadWeights(f"{path}: {error}") from error


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON of the header, checked against its hash, and the tensors."""
    if not path.is_file():
        raise NotFound(f"there is no bundle {path}")
    values, state = read_sealed(path, _HEADER, with_tensors=with_tensors)
    if values.get("format") != FORMAT:
        raise BadWeights(f"not a bundle of format {FORMAT}; written by another version")
    return values, state


def header_from_json(values: Mapping[str, Any]) -> Bundle:
    """A bundle without tensors, its fields checked.

    Raises:
        BadWeights: a field is missing, unknown or of another type, or two do not fit.
    """
    fields_only = {k: v for k, v in values.items() if k != "format"}
    # A bundle of version 0.1 has no provenance.
    bundle: Bundle = row_from_json(Bundle, {"provenance": None} | fields_only | {"state": {}})
    if len(bundle.classes) != bundle.num_classes:
        raise BadWeights(f"{len(bundle.classes)} class names for {bundle.num_classes} classes")
    if bundle.spec.channels != bundle.in_channels:
        raise BadWeights(
            f"the input spec has {bundle.spec.channels} channels, the network {bundle.in_channels}"
        )
    return bundle


def _network_on_meta(bundle: Bundle) -> nn.Module:
    """The network that the header describes, shapes without numbers."""
    known = {family.name: family for family in catalog.families()}
    if bundle.family not in known:
        raise BadWeights(f"the family {bundle.family!r} is unknown to this version")
    module = importlib.import_module(known[bundle.family].module)
    row = row_from_json(type(module.ROWS[0]), bundle.row)
    try:
        with ShapesOnly():
            return make(module.NETWORK, row, bundle.num_classes, bundle.in_channels)
    except Exception as error:  # a row from outside can break a constructor in any way
        raise BadWeights(f"{bundle.variant} cannot be built from its row ({error})") from error


def _check_state(bundle: Bundle, network: nn.Module) -> None:
    """Names, shapes and types must be those of the network, to the last one."""
    expected = network.state_dict()
    missing, extra = sorted(expected.keys() - bundle.state), sorted(bundle.state.keys() - expected)
    if missing or extra:
        raise BadWeights(
            f"the tensors do not fit {bundle.variant}: missing {missing[:3]}, unknown {extra[:3]}"
        )
    for name, tensor in expected.items():
        found = bundle.state[name]
        if found.shape != tensor.shape:
            raise BadWeights(
                f"{name} has the shape {tuple(found.shape)}, {bundle.variant} expects"
                f" {tuple(tensor.shape)}"
            )
