"""Open a data set: a name, a folder or a file; the layout is told apart by looking.

A folder is tried against these layouts in this order, and the first that fits is used:

    1. IDX files              train-images-idx3-ubyte[.gz] and its labels
    2. CIFAR                  data_batch_1.bin, train.bin, or the binary version's .tar.gz
    3. ImageNet               train/n01440764/*.JPEG, val/ in folders or flat with its label file
    4. Parquet                train-00000-of-00002.parquet with the images in it
    5. tar                    train-000000.tar with 17.jpg and 17.cls (or .json) in it
    6. manifest               tables that name the images: labels.csv, train/_classes.csv, ...
    7. splits in classes      cat/train/ cat/val/ dog/train/ dog/val/
    8. class folders          train/ (val/ test/) holding class folders; or only class folders
    9. ImageNet names         n01440764_tench.JPEG: images that begin with their WordNet id
   10. flat folder            cat.0.jpg, dog_12.jpg; or train/ (val/ test/) holding such

Shards may also be named by a pattern (`train-{000..127}.tar`) or lie at an address (`s3://`).

The stronger evidence comes first: a table that names the images, then folders, then file names.
A table that says what the class folders around the images say is a description of them. Where
two readings fit, or names say nothing, that is an error which says how to choose: by the name of
a layout, or by a pattern for the part of the path that is the class.
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
    pattern,
    sharded,
)
from backbones.data.sets.listing import count_of, has_image, look, some, walk_images
from backbones.data.sets.named import SETS, fetch
from backbones.data.sets.splitting import Holdout
from backbones.data.sets.tables import SUFFIXES
from backbones.data.shards.finding import is_pattern
from backbones.data.source import DataSource
from backbones.data.stores import is_address, plain
from backbones.errors import BadData, NotFound, WrongUse, nearest, nearest_file
from backbones.files import expanded
from backbones.progress import Downloading

NAMES = ("digits", *(row.name for row in SETS))


def _sure(folder: Path) -> str:
    return ""


@dataclass(frozen=True)
class Layout:
    """One row of the table above.

    Args:
        name: what it is called where it is asked for.
        looks_like: how to recognise it, for people.
        recognise: whether a folder is laid out so.
        read: opens such a folder.
        doubt: what is doubtful about a folder that was recognised; nothing where all is well.
    """

    name: str
    looks_like: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, Holdout], DataSource]
    doubt: Callable[[Path], str] = _sure


LAYOUTS = (
    Layout("idx", idx.LOOKS_LIKE, idx.recognise, idx.read),
    Layout("cifar", cifar.LOOKS_LIKE, cifar.recognise, cifar.read),
    Layout("imagenet", imagenet.LOOKS_LIKE, imagenet.recognise, imagenet.read),
    Layout("parquet", sharded.LOOKS_LIKE_PARQUET, sharded.recognise_parquet, sharded.read_parquet),
    Layout("tar", sharded.LOOKS_LIKE_TAR, sharded.recognise_tar, sharded.read_tar),
    Layout("manifest", manifest.LOOKS_LIKE, manifest.recognise, manifest.read),
    Layout(
        "splits-in-classes",
        "class folders that hold train/ and val/ each",
        class_folders.recognise_inner_splits,
        class_folders.read_inner_splits,
    ),
    Layout(
        "split-folders",
        "train/ and val/ holding class folders",
        class_folders.recognise_splits,
        class_folders.read_splits,
        class_folders.doubt,
    ),
    Layout(
        "class-folders",
        "class folders (cat/ dog/)",
        class_folders.recognise,
        class_folders.read,
        class_folders.doubt,
    ),
    Layout(
        "imagenet-names", imagenet_names.LOOKS_LIKE, imagenet_names.recognise, imagenet_names.read
    ),
    Layout(
        "flat-folder",
        flat_folder.LOOKS_LIKE,
        flat_folder.recognise,
        flat_folder.read,
        flat_folder.doubt,
    ),
)


def open_data(
    where: str | Path,
    *,
    val_fraction: float = 0.1,
    seed: int = 0,
    layout: str | None = None,
    label_pattern: str | None = None,
    progress: Downloading | None = None,
) -> DataSource:
    """Open a data set.

    Args:
        where: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, or the path of a folder,
            a manifest, a shard or a CIFAR archive; or a pattern or an address of shards. A name is
            a name: a folder called so is `./mnist`.
        val_fraction: the share of each class that is held out as "val" where the set has no
            held-out part of its own; 0 to below 1, and 0 holds nothing out.
        seed: which images those are.
        layout: how a folder is to be read, by the name of a row of `LAYOUTS`, where looking at it
            does not tell; None looks.
        label_pattern: a regular expression that is looked for in each image's path below the
            folder; its first group is the class.
        progress: called with (file name, bytes done, total or None) while a set is downloaded.

    Raises:
        NotFound: no such name, path or layout.
        BadData: what is there cannot be used; says what was seen and what would be understood.
        DownloadFailed: the files of a named set cannot be fetched.
        WrongUse: a share or a pattern that is none.

    Example:
        >>> source = open_data("digits")
        >>> source.kind, {name: len(split) for name, split in source.splits.items()}
        ('digits', {'train': 1438, 'test': 359})
    """
    if not 0 <= val_fraction < 1:
        raise WrongUse(f"val_fraction is {val_fraction:g}; expected 0 to below 1")
    holdout = Holdout(val_fraction, seed)
    read = _said(layout, label_pattern)
    if is_address(where) or (is_pattern(str(where)) and not Path(where).exists()):
        if read is not None:
            raise WrongUse(f"{plain(where)}: a layout or a label pattern is for folders of files")
        return sharded.read_shards(where, holdout, progress)
    path = expanded(where)
    table = layout is not None and _layout(layout).name == "manifest"
    if read is not None and not table and (where in NAMES or path.is_file()):
        raise WrongUse(f"{where} is no folder: a layout or a label pattern is for folders")
    if where == "digits":
        return digits.read(holdout)
    for row in SETS:
        if where == row.name:
            return fetch(row, holdout, progress)
    if not path.exists():
        raise _not_found(path)
    try:
        if path.is_dir():
            return read(path, holdout) if read is not None else _open_folder(path, holdout)
        if not path.is_file():
            raise BadData(f"{path} is a pipe or a device; expected a folder or a regular file")
        return _open_file(path, holdout)
    except OSError as error:
        raise BadData(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error


def _said(
    layout: str | None, label_pattern: str | None
) -> Callable[[Path, Holdout], DataSource] | None:
    """What reads a folder, where that is said."""
    if layout and label_pattern:
        raise WrongUse("a layout and a label pattern both say what the classes are; give one")
    if label_pattern:
        return pattern.reader(label_pattern)
    return _layout(layout).read if layout else None


def _layout(name: str) -> Layout:
    wanted = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    for layout in LAYOUTS:
        if layout.name == wanted:
            return layout
    names = [layout.name for layout in LAYOUTS]
    raise NotFound(f"no layout {name!r}; there are {', '.join(names)}." + nearest(wanted, names))


def _open_folder(folder: Path, holdout: Holdout) -> DataSource:
    for layout in LAYOUTS:
        if layout.recognise(folder):
            if doubt := layout.doubt(folder):
                raise BadData(f"{folder}: {doubt}")
            return layout.read(folder, holdout)
    if manifest.looks_like_one(folder):
        return manifest.read(folder, holdout)
    if inner := _inside(folder):
        raise BadData(f"{folder} holds {_seen(folder)}, where {inner} is a data set; open that one")
    raise BadData(
        f"{folder} holds {_seen(folder)}, which is no layout that is understood; expected one of:"
        f" {'; '.join(layout.looks_like for layout in LAYOUTS)}"
    )


def _inside(folder: Path) -> Path | None:
    """The one folder in a folder, where that is a data set and nothing else lies beside it."""
    held = look(folder)
    if len(held.folders) != 1 or held.images:
        return None
    inner = folder / held.folders[0]
    try:
        return inner if any(layout.recognise(inner) for layout in LAYOUTS) else _inside(inner)
    except BadData:  # a set that wants a decision
        return inner


def _open_file(path: Path, holdout: Holdout) -> DataSource:
    name = path.name.lower()
    if name.endswith((".parquet", ".tar")) and sharded.holds_images(path):
        return sharded.read_shards(path, holdout)
    if name.endswith((*SUFFIXES, ".txt")):
        return manifest.read_manifest(path, holdout)
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return cifar.read_archive(path, holdout)
    advice = " (give the folder that it is in)" if "ubyte" in name else ""
    if name.endswith((".zip", ".7z", ".rar", ".gz", ".xz", ".bz2")) and not advice:
        advice = " (unpack it, and give the folder)"
    raise BadData(
        f"{path} is a file of no kind that is understood{advice}; expected a folder, a manifest"
        f" ({', '.join(SUFFIXES)}) or CIFAR's binary .tar.gz"
    )


def _seen(folder: Path) -> str:
    """What lies in a folder, for a person who wonders why it is not understood."""
    held = look(folder)
    said = []
    if held.folders:
        said.append(f"{count_of(len(held.folders), 'folder')} ({some(held.folders)})")
        if not has_image(folder) and (others := walk_images(folder)[1] - len(held.others)):
            said[-1] += (
                f" with {count_of(others, 'file')} of which none has the extension of an image"
                " (.jpg, .png, ...): rename them, or list them in a table"
            )
    if held.images:
        said.append(f"{count_of(len(held.images), 'image')} ({some(held.images)})")
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
