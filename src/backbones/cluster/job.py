"""What a folder of parts is about: everything that decides its rows, and the list of shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from backbones.classifier.classifier import Classifier
from backbones.classifier.inputs import Inputs
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictor import Predictor
from backbones.cluster.store import Store
from backbones.data.stores import is_address
from backbones.errors import BadData, WrongUse
from backbones.exporting.opened import ExportedNetwork
from backbones.labels import Lang
from backbones.protocols.row import Protocol
from backbones.records import record_bytes, record_of
from backbones.text import name_bytes, to_json
from backbones.weights.sealed import tensors_sha256

NAME = "job.json"
FORMATS = {"parquet": "parquet", "csv": "csv", "jsonl": "jsonl", "json": "jsonl"}
"""What `--format` may be, and the extension of a part."""

IMAGES_IN_A_SHARD = 1024
"""Of images that lie in files of their own, one after the other in their order."""


@dataclass(frozen=True)
class Asked:
    """What is said of every image, and how.

    Args:
        format: a key of `FORMATS`.
        protocol: the views of an image that are averaged.
        top: answers an image.
        lang: of the names.
        batch_size: images at a time; None takes as many as suit their size.

    Raises:
        WrongUse: no such format for parts.
    """

    format: str
    protocol: Protocol
    top: int = 5
    lang: Lang = "en"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise WrongUse(
                f"parts are parquet, csv or jsonl, not {self.format}; choose one with --format,"
                " or name a file with --out"
            )


@dataclass(frozen=True)
class Job:
    """A classifier, what is asked of it, and the shards.

    Args:
        classifier: who answers.
        asked: what.
        shards: in the order of their parts.
    """

    classifier: Classifier
    asked: Asked
    shards: tuple[Inputs, ...]

    @cached_property
    def options(self) -> InferenceOptions:
        """How the networks are shown images, with the engine chosen for many of them."""
        options = InferenceOptions(
            self.asked.protocol, self.asked.batch_size, self.classifier.compute
        )
        return options.settled(self.classifier.members)

    @cached_property
    def predictor(self) -> Predictor:
        """The networks on their device; built where it is first needed."""
        return Predictor(
            self.classifier.members, self.options, top=self.asked.top, lang=self.asked.lang
        )

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The file of each shard's part."""
        suffix = FORMATS[self.asked.format]
        return tuple(f"part-{number:05d}.{suffix}" for number in range(len(self.shards)))

    def refuse_lost(self, number: int) -> None:
        """A file that cannot be opened is no reason for a part that says so for ever.

        Args:
            number: of the shard.

        Raises:
            BadData: it is an archive or a table that is gone, or that nobody may read.
        """
        names = self.shards[number].names
        if len(names) > 1 or is_address(names[0]):
            return  # files, of which each that cannot be read has its row; or a store says so
        try:
            Path(names[0]).open("rb").close()
        except OSError as error:
            raise BadData(
                f"{names[0]} was there when the work began, and now it cannot be read"
                f" ({error.strerror}); put it back and give the same command again"
            ) from None

    def facts(self) -> dict[str, Any]:
        """What decides the rows, by the names that messages use."""
        compute, asked = self.options.compute, self.asked
        return {
            "weights": _digest(self.classifier),
            "protocol": _deciding(asked.protocol),
            "engine": compute.engine,
            "precision": compute.precision,
            "faster precision": compute.faster,
            "agree": compute.agree,
            "top": asked.top,
            "language": asked.lang,
            "batch size": asked.batch_size,
            "format": FORMATS[asked.format],
            "number of shards": len(self.shards),
            "list of shards": _hash(each.names for each in self.shards),
        }

    def begin(self, store: Store) -> None:
        """Write down what the folder is about, or see that it is about the same.

        Raises:
            WrongUse: it holds the parts of another command.
            BadData: what it says was changed.
        """
        facts = self.facts()
        if store.create(NAME, record_bytes(facts)):
            return
        where = f"{store.place}/{NAME}"
        there: Mapping[str, Any] = record_of(store.read(NAME) or b"", dict[str, Any], where)
        for name, now in facts.items():
            if there.get(name) != now:
                raise WrongUse(
                    f"{store.place} holds the parts of another command: its {name} is"
                    f" {_shown(there.get(name))}, and now {_shown(now)}; name another folder"
                    " with --out, or give the command that began there"
                )


def _shown(fact: Any) -> str:
    text = "none" if fact is None else fact if isinstance(fact, str) else to_json(fact)
    return text[:12] if len(text) == 64 else text  # a hash


def _deciding(protocol: Protocol) -> dict[str, Any]:
    """The fields of a protocol that decide an answer, as JSON has them."""
    about = ("summary", "citation", "readings", "printed", "metric")
    plain = asdict(replace(protocol, printed=(), readings=()))
    said = {each.name: plain[each.name] for each in fields(protocol) if each.name not in about}
    return said | {"resize": [dict(side) for side in said["resize"]]}


def _digest(classifier: Classifier) -> str:
    """One hash over the networks, with all that decides what they say."""
    networks = []
    for member, bundle in zip(classifier.members, classifier.bundles, strict=True):
        built = member.build()
        if isinstance(built, ExportedNetwork):
            weights = f"{built.description.weights_sha256} {built.description.target}"
        else:
            weights = tensors_sha256(bundle.state)
        networks.append([weights, bundle.row, list(bundle.classes), bundle.spec.to_json()])
    return _hash([to_json(each)] for each in networks)


def _hash(lists: Iterable[Sequence[str]]) -> str:
    """One hash over lists of texts."""
    digest = hashlib.sha256()
    for each in lists:
        digest.update(name_bytes(to_json(list(each))) + b"\n")
    return digest.hexdigest()
