"""The whole way from a bundle to a proven file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backbones.data.finish import normalised
from backbones.errors import BadWeights, WrongUse
from backbones.exporting.description import Description
from backbones.exporting.difference import first_layer_that_differs
from backbones.exporting.form import Deployable, Form
from backbones.exporting.parity import Parity, Proof, batch_of, logits_of, synthetic_batches
from backbones.exporting.program import program_of
from backbones.exporting.session import Array, Session
from backbones.exporting.targets import Model, Target, find_target, read_exported
from backbones.nn.evaluating import evaluating
from backbones.spec import InputSpec
from backbones.units import aligned
from backbones.weights.bundle import Bundle
from backbones.weights.sealed import tensors_sha256

Named = tuple[str, Array]
"""What messages call an image, and its pixels, uint8 (H, W, C), of as many channels as the network
takes."""


@dataclass(frozen=True)
class Exported:
    """A file that gives the same answers, and the proof.

    Args:
        file: the file or folder.
        target: its format.
        bytes: its size.
        description: what it says about itself.
        parity: what the proof found.
    """

    file: Path
    target: str
    bytes: int
    description: Description
    parity: Parity

    def to_json(self) -> dict[str, Any]:
        """`file`, `target`, `bytes`, `max_abs_diff`, `same_first_class`, `images` and more."""
        found = self.parity.to_json()
        del found["logits"]
        return {
            "file": str(self.file),
            "target": self.target,
            "bytes": self.bytes,
            "max_abs_diff": self.parity.max_abs_diff,
            "same_first_class": self.parity.same_first_class,
            "images": self.parity.images,
            "variant": self.description.bundle.variant,
            "precision": self.description.precision,
            **self.description.form.to_json(),
            **found,
            **({"quantization": card} if (card := self.description.quantization) else {}),
        }

    def to_text(self) -> str:
        """The same in lines of text, for people."""
        rows = [
            (
                each.runtime,
                f"{each.max_abs_diff:.1e}",
                f"{each.max_relative_diff:.1e}",
                str(each.max_pixel_diff),
                f"{each.same_first_class} of {self.parity.images}",
            )
            for each in self.parity.runtimes
        ]
        headings = ("runtime", "logits", "relative", "grey levels", "same first class")
        title = f"{self.file}: {self.description.bundle.variant} as {self.target},"
        how = "the same answers as PyTorch"
        if self.description.precision != "fp32":
            how = f"in {self.description.precision}, held against PyTorch"
        return "\n".join(
            [
                f"{title} {how} on {self.parity.images} images",
                "(largest differences)",
                *aligned(headings, rows, headings[1:]),
                *self._loss(),
            ]
        )

    def _loss(self) -> list[str]:
        """What int8 costs, as its card has it."""
        card = self.description.quantization
        if not card:
            return []
        low, high = card["top1_loss_interval_points"]
        return [
            f"on {card['num_images']:,} images of {card['judged_on']}: top-1 accuracy"
            f" {card['top1_accuracy']:.4f}, {card['top1_loss_points']:.2f} points less than in fp32"
            f" ({low:.2f} to {high:.2f}); the same first class on {card['agreement']:.2%}"
        ]


def export_bundle(
    bundle: Bundle, target: Target, form: Form, out: Path, images: Sequence[Named] = ()
) -> Exported:
    """Write a bundle as a file of another runtime, once every runtime here agrees with PyTorch.

    Args:
        bundle: with its tensors.
        target: the format.
        form: what the graph takes.
        out: the file, or for OpenVINO the folder; what is there is replaced.
        images: more of the proof, beside the synthetic ones.

    Raises:
        ExportMismatch: a runtime differs; nothing is written.
        MissingExtra: a library is absent.
        WrongUse: the network does not suit the form or the format.
        NotFinite: the network itself answers what is no number.
        OSError: `out` cannot be written.
    """
    network = Deployable(bundle.build(), bundle.spec, form).eval()
    model = target.make(program_of(network, bundle.spec), form)
    parity = proof_of(network, bundle.spec, lambda: model, images).hold(model.sessions())
    description = replace(Description.of(bundle, form, target.name), parity=parity.to_json())
    model.describe(description)
    return Exported(out, target.name, model.save(out), description, parity)


def verify_exported(
    path: Path,
    against: Bundle | None = None,
    images: Sequence[Named] = (),
    *,
    trusted: bool = False,
) -> Exported:
    """Hold an exported file to PyTorch's answers again, in the runtimes that are here now.

    Args:
        path: the file or folder.
        against: the bundle that it was made from: PyTorch computes anew. Where None, the answers
            count that PyTorch gave at the export, which the file holds.
        images: more of the proof, which only a bundle has answers to.
        trusted: whether an archive of PyTorch may be read, which can run code.

    Raises:
        ExportMismatch: a runtime differs.
        MissingExtra, BadWeights, NotFound: as `targets.read_exported`.
        WrongUse: the bundle is another network, or an archive that is not trusted.
    """
    model, description = read_exported(path)
    spec, form, target = description.bundle.spec, description.form, find_target(description.target)
    if target.runs_code and not trusted:
        raise WrongUse(
            f"{path} is an archive of PyTorch, and reading one can run code that somebody has put"
            " into it; say --trust if it is yours"
        )
    if against is None:
        proof = _proof_by_record(path, description)
    else:
        _refuse_other(against, description)
        network = Deployable(against.build(), spec, form).eval()
        proof = proof_of(
            network, spec, lambda: target.make(program_of(network, spec), form), images
        )
    proof = replace(proof, exact=description.precision == "fp32")
    size = sum(each.stat().st_size for each in ([path] if path.is_file() else path.iterdir()))
    return Exported(path, target.name, size, description, proof.hold(model.sessions()))


def proof_of(
    network: Deployable,
    spec: InputSpec,
    translated: Callable[[], Model],
    images: Sequence[Named] = (),
) -> Proof:
    """What a network's translations are held to.

    Args:
        network: what is exported.
        spec: of its input.
        translated: gives the translation, which knows the layers by name.
        images: beside the synthetic ones.
    """

    def answers(pixels: Array) -> Array:
        with evaluating(network.network) as score:
            logits: Array = score(normalised(pixels, spec)).numpy()
        return logits

    def first_layer(session: Session, fed: Array) -> str | None:
        return first_layer_that_differs(session, network, translated().layers(network), fed)

    own = [
        batch_of((name,), pixels[None], spec, network.form, synthetic=False)
        for name, pixels in images
    ]
    batches = (*synthetic_batches(spec, network.form), *own)
    logits = tuple(answers(each.pixels) for each in batches)
    return Proof(spec, network.form, batches, logits, answers, first_layer)


def _proof_by_record(path: Path, description: Description) -> Proof:
    spec, form = description.bundle.spec, description.form
    batches, logits = synthetic_batches(spec, form), logits_of(description.parity)
    if [len(each) for each in logits] != [len(each.names) for each in batches]:
        raise BadWeights(f"{path} holds answers to other images; export it again")
    return Proof(spec, form, batches, logits)


def _refuse_other(bundle: Bundle, description: Description) -> None:
    if tensors_sha256(bundle.state) != description.weights_sha256:
        raise WrongUse(
            f"the file was made from other weights than these of {bundle.variant}; name the bundle"
            " that it was exported from"
        )
