"""Data sets that have a name: what they consist of, where they come from, how they are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from backbones.data.sets import cifar, idx
from backbones.data.sets.splitting import Holdout
from backbones.data.source import DataSource
from backbones.download import Checksum, cache_folder, download, mirror
from backbones.progress import Downloading


@dataclass(frozen=True)
class NamedSet:
    """One set that can be fetched.

    Args:
        name: what it is called; also its folder in the cache.
        base: the address that its files are below; `BACKBONES_MIRROR` replaces it.
        files: file name to the publisher's MD5.
        read: reads the folder that the files were fetched to.
    """

    name: str
    base: str
    files: dict[str, str]
    read: Callable[[Path, Holdout], DataSource]


SETS = (
    NamedSet(
        "mnist",
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        idx.read,
    ),
    NamedSet(
        "fashion-mnist",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        idx.read,
    ),
    NamedSet(
        "cifar10",
        "https://www.cs.toronto.edu/~kriz",
        {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        cifar.read,
    ),
    NamedSet(
        "cifar100",
        "https://www.cs.toronto.edu/~kriz",
        {"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
        cifar.read,
    ),
)


def fetch(row: NamedSet, holdout: Holdout, progress: Downloading | None) -> DataSource:
    """Open a named set; files that are not in the cache yet are fetched into it.

    `BACKBONES_MIRROR` names another base address: `MIRROR/NAME/FILE` is fetched then.

    Raises:
        DownloadFailed: a file cannot be fetched, or is not what its checksum says.
    """
    mirrored = mirror()
    base = f"{mirrored}/{row.name}" if mirrored else row.base
    folder = cache_folder() / "data" / row.name
    for name, md5 in row.files.items():
        tell = None if progress is None else partial(progress, name)
        download(f"{base}/{name}", folder / name, checksum=Checksum("md5", md5), progress=tell)
    return replace(row.read(folder, holdout), where=row.name)
