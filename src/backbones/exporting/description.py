"""What an exported file says about itself: everything that a person or a server has to know.

Each entry is a text under a name of its own, so that whoever reads ONNX `metadata_props` or
OpenVINO's `rt_info` needs nothing of this package; lists and tables are JSON.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import backbones
from backbones.errors import BadWeights, WrongUse
from backbones.exporting.form import Form
from backbones.labels import shown
from backbones.text import parse, to_json
from backbones.weights.bundle import Bundle, header_from_json, header_to_json
from backbones.weights.sealed import tensors_sha256

FORMAT = "1"
ENTRIES_FILE = "backbones.json"
"""What a format that is a ZIP archive, or ends in one, keeps the entries in."""

PROTOCOL = "single"
"""What a graph computes of an image: one central view; see `backbones evaluate --protocol list`."""


@dataclass(frozen=True)
class Description:
    """An exported file's account of itself.

    Args:
        bundle: what was exported, without its tensors.
        form: what the graph takes.
        weights_sha256: of the bundle's tensors.
        parity: what the proof found, as `parity.Parity.to_json` says it; empty before.
        target: the format.
        precision: of the arithmetic.
        quantization: the card of a network in int8, as `Card.to_json` says it; else empty.
        version: of this package, that exported it.
    """

    bundle: Bundle
    form: Form
    weights_sha256: str
    target: str
    parity: dict[str, Any] = field(default_factory=dict)
    precision: Literal["fp32", "int8"] = "fp32"
    quantization: dict[str, Any] = field(default_factory=dict)
    version: str = backbones.__version__

    @classmethod
    def of(cls, bundle: Bundle, form: Form, target: str) -> Description:
        """Of a bundle with its tensors."""
        return cls(replace(bundle, state={}), form, tensors_sha256(bundle.state), target)

    @property
    def licence(self) -> str:
        """Of the weights; empty where nobody said."""
        return str((self.bundle.provenance or {}).get("licence") or "")

    def to_entries(self) -> dict[str, str]:
        """Names and texts, as files hold them."""
        bundle = self.bundle
        return {
            "format": FORMAT,
            "target": self.target,
            "variant": bundle.variant,
            "class_ids": to_json(list(bundle.classes)),
            "class_names_en": to_json(list(shown(bundle.classes, "en"))),
            "class_names_zh": to_json(list(shown(bundle.classes, "zh"))),
            "input_spec": to_json(bundle.spec.to_json()),
            "form": to_json(self.form.to_json()),
            "precision": self.precision,
            "protocol": PROTOCOL,
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
            "backbones_version": self.version,
            "bundle": to_json(header_to_json(bundle)),
            "parity": to_json(self.parity),
            "quantization": to_json(self.quantization),
        }

    def model_api_entries(self) -> dict[str, str]:
        """The same in the words of OpenVINO's Model API, for `rt_info/model_info`.

        Where the graph prepares images, Model API is told to do nothing. Else its own resize, which
        has no antialiasing, makes pixels that differ from ours.
        """
        spec, names = self.bundle.spec, shown(self.bundle.classes, "en")
        entries = {
            "model_type": "Classification",
            "labels": " ".join("_".join(name.split()) for name in names),
            "multilabel": "False",
            "hierarchical": "False",
            "reverse_input_channels": "False",
            "embedded_processing": str(self.form.layout == "image"),
        }
        if self.form.dtype == "float32":
            entries["mean_values"] = " ".join(f"{255 * value:.6g}" for value in spec.mean)
            entries["scale_values"] = " ".join(f"{255 * value:.6g}" for value in spec.std)
        return entries

    @classmethod
    def from_entries(cls, entries: Mapping[str, str], path: Path) -> Description:
        """Read what `to_entries` wrote.

        Args:
            entries: of a file.
            path: of the file, for messages.

        Raises:
            BadWeights: the file was not exported by this package, or by another version.
        """
        if "bundle" not in entries or "form" not in entries:
            raise BadWeights(
                f"{path} says nothing about its classes and its input: it was not written by"
                " backbones export, and cannot be used without that"
            )
        if entries.get("format") != FORMAT:
            raise BadWeights(
                f"{path} has the format {entries.get('format')!r}, expected {FORMAT!r}: it was"
                " written by another version; export it again"
            )
        try:
            return cls(
                header_from_json(json.loads(entries["bundle"])),
                Form(**json.loads(entries["form"])),
                entries["weights_sha256"],
                entries["target"],
                json.loads(entries["parity"]),
                cast(Literal["fp32", "int8"], entries.get("precision", "fp32")),
                json.loads(entries.get("quantization", "{}")),
                entries["backbones_version"],
            )
        except (BadWeights, WrongUse, ValueError, TypeError, KeyError) as error:
            raise BadWeights(f"{path}: its description is damaged ({error})") from error


def archived_entries(data: bytes) -> dict[str, str]:
    """The entries in a file that is a ZIP archive, or ends in one; none where there are none.

    Nothing in it is run.

    Raises:
        BadWeights: it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [each for each in archive.namelist() if each.endswith(ENTRIES_FILE)]
            text = archive.read(inside[0]).decode() if inside else "{}"
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise BadWeights(f"{ENTRIES_FILE} in the file is damaged ({error})") from error
    found: dict[str, str] = parse(text, "json", ENTRIES_FILE)
    return found
