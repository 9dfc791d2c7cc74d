"""Files of shards: tar as WebDataset reads it, Parquet as Hugging Face's `datasets` does."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from backbones.data.shards.encoding import EncodedImage
from backbones.data.shards.tar import BLOCK_BYTES
from backbones.errors import MissingExtra
from backbones.text import spelled

TAR_OVERHEAD = 2816
"""Bytes that an image takes in a tar beside its own: three headers, label, facts, full blocks."""


@dataclass(frozen=True)
class Packed:
    """One image to write.

    Args:
        number: in its split, from 0.
        name: what the source calls it.
        label: its class's number.
        image: its file.
    """

    number: int
    name: str
    label: int
    image: EncodedImage


class ShardWriter(Protocol):
    """Writes the images of one shard into an open file."""

    def __call__(self, file: IO[bytes], images: Iterable[Packed], classes: Sequence[str]) -> int:
        """Write them all.

        Returns:
            how many there were.
        """


def write_tar(file: IO[bytes], images: Iterable[Packed], classes: Sequence[str]) -> int:
    """Write `000000017.jpg`, `.cls` (the label) and `.json` (its name, and the image's)."""
    count = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for each in images:
            name = classes[each.label]
            facts = {"label": each.label, "class_name": name, "source": each.name}
            key = f"{each.number:09d}"
            _add(archive, key + each.image.extension, each.image.data)
            _add(archive, f"{key}.cls", str(each.label).encode())
            _add(archive, f"{key}.json", json.dumps(facts).encode())
            count += 1
    return count


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # with times and owners of zero: the same bytes every time
    member.size, member.mode = len(data), 0o644
    archive.addfile(member, io.BytesIO(data))


def write_parquet(file: IO[bytes], images: Iterable[Packed], classes: Sequence[str]) -> int:
    """Write the columns `image` (`bytes`, `path`) and `label`, with the classes in the metadata.

    Raises:
        MissingExtra: without pyarrow.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "writing Parquet tables") from error
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(classes), "_type": "ClassLabel"},
    }
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pyarrow.schema([("image", image), ("label", pyarrow.int64())], about)
    count = 0
    with parquet.ParquetWriter(
        file, schema, compression="none", use_dictionary=False, write_page_checksum=True
    ) as table:
        for group in _groups(images):
            table.write_table(pyarrow.Table.from_pylist(group, schema))
            count += len(group)
    return count


def _groups(images: Iterable[Packed]) -> Iterable[list[dict[str, Any]]]:
    """Rows in groups of about one block, which is what is read together."""
    rows: list[dict[str, Any]] = []
    size = 0
    for each in images:
        image = {"bytes": each.image.data, "path": spelled(each.name)}
        rows.append({"image": image, "label": each.label})
        size += len(each.image.data)
        if size >= BLOCK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
