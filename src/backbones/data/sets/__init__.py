"""Open a data set: a name, a folder or a file; the layout is told apart by looking.

A folder is tried against these layouts in this order, and the first that fits is used:

    1. IDX files              train-images-idx3-ubyte[.gz] and its labels
    2. CIFAR                  data_batch_1.bin, train.bin, or the binary version's .tar.gz
    3. ImageNet               train/n01440764/*.JPEG, val/ in folders or flat with its label file
    4. class folders          train/ (val/ test/) holding class folders; or only class folders
    5. manifest               exactly one .csv, .tsv or .parquet with path and label columns
    6. ImageNet names         n01440764_tench.JPEG: pictures that begin with their WordNet id
    7. flat folder            cat.0.jpg, dog_12.jpg; or train/ (val/ test/) holding such

The particular comes before the general: ImageNet is also class folders, and a table beside class
folders is taken for a description of them. A folder can always be overruled by naming the
manifest file itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backbones.data.sets import (
    cifar,
    class_folders,
    digits,
    flat_folder,
    idx,
    imagenet,
    imagenet_names,
    manifest,
)
from backbones.data.sets.listing import count_of, look, some
from backbones.data.sets.named import SETS, Progress, fetch
from backbones.data.sets.splitting import Holdout
from backbones.data.source import DataSource
from backbones.errors import BadData, NotFound, WrongUse, nearest, nearest_file

NAMES = ("digits", *(row.name for row in SETS))


@dataclass(frozen=True)
class Layout:
    """One row of the table above.

    Args:
        kind: what `DataSource.kind` says.
        looks_like: how to recognise it, for people.
        recognise: whether a folder is laid out so.
        read: opens such a folder.
    """

    kind: str
    looks_like: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, Holdout], DataSource]


LAYOUTS = (
    Layout("idx", idx.LOOKS_LIKE, idx.recognise, idx.read),
    Layout("cifar", cifar.LOOKS_LIKE, cifar.recognise, cifar.read),
    Layout("imagenet", imagenet.LOOKS_LIKE, imagenet.recognise, imagenet.read),
    Layout("class folders", class_folders.LOOKS_LIKE, class_folders.recognise, class_folders.read),
    Layout("manifest", manifest.LOOKS_LIKE, manifest.recognise, manifest.read),
    Layout(
        "imagenet names", imagenet_names.LOOKS_LIKE, imagenet_names.recognise, imagenet_names.read
    ),
    Layout("flat folder", flat_folder.LOOKS_LIKE, flat_folder.recognise, flat_folder.read),
)


def open_data(
    where: str | Path,
    *,
    val_fraction: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> DataSource:
    """Open a data set.

    Args:
        where: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, or the path of a folder,
            a manifest or a CIFAR archive. A name is a name: a folder called so is `./mnist`.
        val_fraction: the share of each class that is held out as "val" where the set has no
            held-out part of its own; 0 to below 1, and 0 holds nothing out.
        seed: which pictures those are.
        progress: called with (file name, bytes done, total or None) while a set is downloaded.

    Raises:
        NotFound: no such name or path.
        BadData: what is there cannot be used; says what was seen and what would be understood.
        DownloadFailed: the files of a named set cannot be fetched.

    Example:
        >>> source = open_data("digits")
        >>> source.kind, {name: len(split) for name, split in source.splits.items()}
        ('digits', {'train': 1438, 'test': 359})
    """
    if not 0 <= val_fraction < 1:
        raise WrongUse(f"val_fraction is {val_fraction:g}; expected 0 to below 1")
    holdout = Holdout(val_fraction, seed)
    if where == "digits":
        return digits.read(holdout)
    for row in SETS:
        if where == row.name:
            return fetch(row, holdout, progress)
    path = Path(where).expanduser()
    if not path.exists():
        raise _not_found(path)
    try:
        if path.is_dir():
            return _open_folder(path, holdout)
        if not path.is_file():
            raise BadData(f"{path} is a pipe or a device; expected a folder or a regular file")
        return _open_file(path, holdout)
    except OSError as error:
        raise BadData(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error


def _open_folder(folder: Path, holdout: Holdout) -> DataSource:
    for layout in LAYOUTS:
        if layout.recognise(folder):
            return layout.read(folder, holdout)
    raise BadData(
        f"{folder} holds {_seen(folder)}, which is no layout that is understood; expected one of:"
        f" {'; '.join(layout.looks_like for layout in LAYOUTS)}"
    )


def _open_file(path: Path, holdout: Holdout) -> DataSource:
    name = path.name.lower()
    if name.endswith(manifest.SUFFIXES):
        return manifest.read_manifest(path, holdout)
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return cifar.read_archive(path, holdout)
    advice = " (give the folder that it is in)" if "ubyte" in name else ""
    raise BadData(
        f"{path} is a file of no kind that is understood{advice}; expected a folder, a manifest"
        f" ({', '.join(manifest.SUFFIXES)}) or CIFAR's binary .tar.gz"
    )


def _seen(folder: Path) -> str:
    """What lies in a folder, for a person who wonders why it is not understood."""
    held = look(folder)
    said = []
    if held.folders:
        said.append(f"{count_of(len(held.folders), 'folder')} ({some(held.folders)})")
    if held.pictures:
        said.append(f"{count_of(len(held.pictures), 'picture')} ({some(held.pictures)})")
    if held.others:
        said.append(f"{count_of(len(held.others), 'other file')} ({some(held.others)})")
    return " and ".join(said) or "nothing"


def _not_found(path: Path) -> NotFound:
    siblings: list[str] = []
    if path.parent.is_dir():
        held = look(path.parent)
        siblings = [*held.folders, *held.others]
    return NotFound(
        f"{path} does not exist, and is not one of the sets {', '.join(NAMES)}."
        + (nearest(str(path), NAMES) or nearest_file(path.name, siblings))
    )
