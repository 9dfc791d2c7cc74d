"""Bundles of weight files: of published ones, told by their hash, and of anybody's."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from backbones.download import checksum_of
from backbones.errors import BadWeights, WrongUse
from backbones.labels import label_set
from backbones.models import find_row
from backbones.spec import InputSpec
from backbones.weights import store
from backbones.weights.bundle import Bundle
from backbones.weights.convert import bundle_from
from backbones.weights.files import read_state
from backbones.weights.fit import shapes_of
from backbones.weights.nearest import nearest_variants, say_nearest
from backbones.weights.sealed import GRAPH_KEY, begins_as
from backbones.weights.table import WeightsRow

_PHOTO_MARGIN = 256 / 224


@dataclass(frozen=True)
class Given:
    """What the caller says of a weight file, beyond what is known of it.

    Args:
        variant: the network.
        entry: which of several networks in the file, such as "model_ema".
        allow_non_finite: take infinities and what is not a number.
    """

    variant: str | None = None
    entry: str = ""
    allow_non_finite: bool = False


def class_ids(labels: str, num_classes: int) -> tuple[str, ...]:
    """What the outputs of published weights stand for, in order.

    Args:
        labels: the name of a label set, whose ids these are: for ImageNet the WordNet ids.
        num_classes: outputs; their numbers are given where the set is of another length.
    """
    ids = tuple(label.id for label in label_set(labels).labels)
    return ids if len(ids) == num_classes else tuple(map(str, range(num_classes)))


def bundle_of_row(row: WeightsRow, path: Path, given: Given = Given()) -> Bundle:
    """The bundle of a published file."""
    bundle = bundle_from(
        read_state(path, entry=given.entry),
        given.variant or row.variant,
        spec=row.spec,
        keymap=row.keymap,
        provenance={
            "weights": row.id,
            "file": row.file,
            "sha256": checksum_of(path),
            "url": row.url,
            "licence": row.licence,
            "note": row.notes,
        },
        allow_non_finite=given.allow_non_finite,
    )
    bundle = replace(bundle, classes=class_ids(row.labels, bundle.num_classes))
    if bundle.variant == row.variant:
        return bundle
    return _changed(bundle, f"published as weights of {row.variant}, and taken for {given.variant}")


def bundle_of_file(path: Path, given: Given) -> Bundle:
    """The bundle of anybody's file, published or not."""
    sha256 = store.sha256_of(path)
    row = store.recognise(sha256)
    if row is not None:
        return bundle_of_row(row, path, given)
    state = read_state(path, entry=given.entry)
    if given.variant is None:
        raise WrongUse(
            f"{path} is no published file, so its weights need a network, --model NAME"
            + say_nearest(shapes_of(state))
        )
    bundle = bundle_from(
        state,
        given.variant,
        spec=_usual_spec(given.variant),
        provenance={"file": path.name, "sha256": sha256},
        allow_non_finite=given.allow_non_finite,
    )
    others = [n for n in nearest_variants(shapes_of(state)).variants if n != given.variant]
    if others:
        bundle = _changed(
            bundle,
            f"names and shapes fit {' and '.join(others)} as well, which computes something else:"
            f" that these weights are {given.variant}'s is your word alone",
        )
    return _changed(bundle, _say_usual(bundle.spec))


def _changed(bundle: Bundle, sentence: str) -> Bundle:
    """The same bundle, whose provenance says one thing more."""
    known = dict(bundle.provenance or {})
    return replace(bundle, provenance={**known, "changes": [*known.get("changes", []), sentence]})


def _say_usual(spec: InputSpec) -> str:
    return (
        "the file does not say how images become its input nor what its classes are called: the"
        f" usual is taken ({spec.size} px of {spec.resize}, mean {spec.mean}, std {spec.std}), and"
        " classes are numbers"
    )


def recognised(path: Path) -> WeightsRow | None:
    """The row whose file this is, by its hash."""
    return store.recognise(store.sha256_of(path))


def unknown_network(path: Path) -> BadWeights:
    """Weights alone, of a network that nobody named: what makes a bundle of them."""
    if begins_as(path, GRAPH_KEY):
        return BadWeights(
            f"{path} is a network in int8, which answers (predict, evaluate, serve) and holds no"
            " weights to look into or to train; name the bundle that it was made from"
        )
    nearest = nearest_variants(shapes_of(read_state(path)))
    variant = nearest.variants[0] if len(nearest.variants) == 1 else "NAME"
    several = f" (NAME is {' or '.join(nearest.variants)})" if len(nearest.variants) > 1 else ""
    bundle = f"{path.stem}{'-bundle' * (path.suffix == '.safetensors')}.safetensors"
    file, out = shlex.quote(str(path)), shlex.quote(bundle)
    return BadWeights(
        f"{path} holds weights alone, which no published hash tells the network of: `backbones"
        f" weights convert {file} --model {variant} -o {out}` makes a bundle of them{several}"
    )


def _usual_spec(variant: str) -> InputSpec:
    """The photo convention, for files that say nothing: 256 of 224, ImageNet's colours."""
    _, row = find_row(variant)
    resize = round(row.input_px * _PHOTO_MARGIN)
    if row.in_channels == 1:
        return InputSpec(row.input_px, row.input_px, 1, (0.5,), (0.5,))
    return InputSpec(row.input_px, resize)
