"""IDX files, the format of MNIST and Fashion-MNIST: plain or .gz, images and labels in pairs.

The format is the one on the MNIST page: four bytes of magic (0, 0, type, dimensions), one
big-endian 32-bit size a dimension, then the values, the last dimension fastest.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backbones.data.sets.listing import look
from backbones.data.sets.splitting import Holdout
from backbones.data.source import ArrayImages, DataSource, Split
from backbones.errors import BadData

LOOKS_LIKE = "IDX files as MNIST's (train-images-idx3-ubyte[.gz] and its labels)"

FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

_NAME = re.compile(
    r"(?P<part>train|t10k|test|val)[-_.](?P<what>images?|labels?)[-_.]idx[13][-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)
# Folders can be renamed; these are the hashes of Fashion-MNIST's labels, the header included.
_FASHION_LABELS = {
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_LARGEST_BYTES = 8 * 2**30


def recognise(folder: Path) -> bool:
    """Whether any file is called as MNIST's are, also in a folder `raw`."""
    return bool(_files(folder))


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read IDX files as uint8 (N, H, W, 1).

    Raises:
        BadData: a file that is missing, cut off or corrupt, or labels that don't fit.
    """
    files = _files(folder)
    splits: dict[str, tuple[ArrayImages, npt.NDArray[np.int64]]] = {}
    fashion = False
    for split in ("train", "val", "test"):
        images, labels = files.get((split, "image")), files.get((split, "label"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            lacking, present = ("labels", images) if images else ("images", labels)
            raise BadData(f"{folder} has {present and present.name} but not the {lacking} to it")
        array, raw = read_idx(images, 3), read_idx(labels, 1)
        if len(array) != len(raw):
            raise BadData(
                f"{images} holds {len(array):,} images and {labels.name} {len(raw):,} labels;"
                " expected as many"
            )
        fashion = fashion or _digest(raw) in _FASHION_LABELS
        origin = images.name.removesuffix(".gz")
        splits[split] = (ArrayImages(array[..., None], origin), raw.astype(np.int64))
    count = 1 + max(int(labels.max(initial=0)) for _, labels in splits.values())
    classes = FASHION_CLASSES if fashion and count == 10 else tuple(map(str, range(count)))
    parts = {name: Split(name, classes, y, x) for name, (x, y) in splits.items()}
    notes = ["class names of Fashion-MNIST, known by its labels"] if fashion else []
    if list(parts) == ["train"] and holdout.val_fraction > 0:
        parts = holdout.split(parts["train"], [str(i) for i in range(len(parts["train"]))])
        notes.append(holdout.describe(parts))
    return DataSource("idx", str(folder), classes, parts, tuple(notes))


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file; gzipped where its content says so.
        dimensions: how many it must have: 3 for images, 1 for labels.

    Raises:
        BadData: cut off, corrupt, too long, or not such a file.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            head = stream.read(4 + 4 * dimensions)
            shape = [int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4)]
            if head[:4] != bytes((0, 0, 8, dimensions)) or len(shape) != dimensions:
                raise BadData(
                    f"{path} starts with {head[:4].hex() or 'nothing'}; expected an IDX file of"
                    f" unsigned bytes in {dimensions} dimensions (0000080{dimensions})"
                )
            size = int(np.prod([float(side) for side in shape]))
            if size > _LARGEST_BYTES or 0 in shape:
                raise BadData(f"{path} claims the shape {tuple(shape)}, which cannot be right")
            values = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} is cut off or corrupt ({error}); fetch it again") from error
    if len(values) != size:
        held = "more" if len(values) > size else f"{len(values):,}"
        raise BadData(
            f"{path} claims {size:,} values in the shape {tuple(shape)} and holds {held};"
            " fetch it again"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _digest(labels: npt.NDArray[np.uint8]) -> str:
    head = bytes((0, 0, 8, 1)) + len(labels).to_bytes(4, "big")
    return hashlib.sha256(head + labels.tobytes()).hexdigest()


def _files(folder: Path) -> dict[tuple[str, str], Path]:
    """The IDX files of a folder, or of `raw` or `MNIST/raw` below it, by split and content."""
    for place in (folder, folder / "raw", folder / "MNIST" / "raw", folder / "FashionMNIST/raw"):
        if not place.is_dir():
            continue
        found: dict[tuple[str, str], Path] = {}
        for name in look(place).others:
            if match := _NAME.fullmatch(name):
                part = match["part"].lower()
                split = "test" if part == "t10k" else part
                # of a file and its .gz, the plain one, which sorts first
                found.setdefault((split, match["what"].lower().rstrip("s")), place / name)
        if found:
            return found
    return {}
