"""Published weights: list, fetch, verify, import, convert; and open any trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from backbones.api.data import Downloading
from backbones.api.weight_files import (
    Told,
    bare,
    bundle_of_file,
    bundle_of_row,
    class_ids,
    recognised,
)
from backbones.download import Progress, checksum_of
from backbones.errors import BadWeights, NotFound, WrongUse, nearest
from backbones.files import expanded
from backbones.spec import InputSpec
from backbones.training.folds import FoldsFolder
from backbones.units import human_bytes
from backbones.weights import store, table
from backbones.weights.bundle import (
    Bundle,
    is_bundle,
    read_bundle,
    read_bundle_header,
    write_bundle,
)
from backbones.weights.files import read_state
from backbones.weights.table import WeightsRow

__all__ = [
    "Verified",
    "all_networks",
    "class_ids",
    "convert",
    "find_bundle",
    "get_weights",
    "header_of",
    "import_weights",
    "is_id",
    "open_bundle",
    "open_state",
    "spec_of",
    "variant_of",
    "verify_weights",
]

_RUN_BUNDLES = ("best.safetensors", "last.safetensors")


@dataclass(frozen=True)
class Verified:
    """What became of one file in the store.

    Args:
        id: of the weights.
        path: of the file.
        problem: what is wrong with it; empty where nothing is.
        sha256: its whole hash where it is right.
    """

    id: str
    path: str
    problem: str = ""
    sha256: str = ""


def get_weights(name: str, *, downloading: Downloading | None = None) -> Path:
    """The verified file of published weights, fetched first where it is not here.

    Args:
        name: id of the weights.
        downloading: hears of a download.

    Raises:
        NotFound: no such weights, or no public address.
        DownloadFailed: they cannot be fetched.
        BadWeights: the file that is here is not what was published.
    """
    if name in table.shipped():
        return table.shipped()[name]
    row = table.find(name)
    return store.fetch(row, _progress(row, downloading))


def verify_weights(name: str | None = None) -> Iterator[Verified]:
    """Check the files in the store, or the one of an id; a shipped one only where it is named.

    Yields:
        one result a file, bad ones too.

    Raises:
        NotFound: no such weights, or not here.
    """
    if name in table.shipped():
        file = table.shipped()[name]
        try:
            read_bundle(file)
            yield Verified(name, str(file), sha256=checksum_of(file))
        except BadWeights as error:
            yield Verified(name, str(file), problem=str(error))
        return
    rows = store.stored() if name is None else (table.find(name),)
    for row in rows:
        path = str(store.path_of(row))
        try:
            yield Verified(row.id, path, sha256=store.check(row))
        except BadWeights as error:
            yield Verified(row.id, path, problem=str(error))


def import_weights(
    file: str | Path, *, name: str | None = None, allow_non_finite: bool = False
) -> tuple[str, Path]:
    """Put a copy of a published file into the store, recognised by its hash.

    Args:
        file: the file, under any name.
        name: id of the weights that it is; needed where no hash was published.
        allow_non_finite: take infinities and what is not a number.

    Returns:
        the id, and where the copy is.

    Raises:
        NotFound: no such file or weights, or nothing published has this hash.
        BadWeights: it is not what was published under that id, or its numbers are not finite.
    """
    path = expanded(file)
    if name is not None:
        row = table.find(name)
    else:
        found = store.sha256_of(path)
        recognised = store.recognise(found)
        if recognised is None:
            raise NotFound(
                f"no published weights have the SHA-256 of {path} ({found}): name them with --as,"
                " or make a bundle with `backbones weights convert`"
            )
        row = recognised
    return row.id, store.put(row, path, allow_non_finite=allow_non_finite)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    variant: str | None = None,
    entry: str = "",
    allow_non_finite: bool = False,
    downloading: Downloading | None = None,
) -> Bundle:
    """Make a bundle of published weights, or of a weight file of anybody.

    What had to be changed on the way stands in the bundle's `provenance` under "changes".

    Args:
        source: id of weights, or a file.
        out: the bundle's path.
        variant: the network; needed for a file that is not recognised by its hash.
        entry: what in the file is meant, where it holds several networks: "model_ema".
        allow_non_finite: take infinities and what is not a number.
        downloading: hears of a download.

    Raises:
        NotFound: no such weights, file or network.
        WrongUse: the network, or which of several in the file is meant, has to be named.
        BadWeights: the file cannot be trusted, or does not fit the network.
    """
    told = Told(variant, entry, allow_non_finite)
    if is_id(source):
        bundle = _open_id(str(source), told, downloading)
    else:
        bundle = bundle_of_file(expanded(source), told)
    write_bundle(out, bundle)
    return bundle


def open_bundle(where: str | Path | Bundle, *, downloading: Downloading | None = None) -> Bundle:
    """A trained network with all that belongs to it.

    Args:
        where: a bundle, its path, a run folder, the id of weights, or a file that its hash tells to
            be published weights.
        downloading: hears of a download.

    Raises:
        NotFound: there is nothing of that name.
        DownloadFailed: the weights cannot be fetched.
        BadWeights: the file cannot be trusted.
    """
    if isinstance(where, Bundle):
        return where
    if is_id(where):
        return _open_id(str(where), Told(), downloading)
    path = find_bundle(where)
    if is_bundle(path):
        return read_bundle(path)
    row = recognised(path)
    if row is None:
        raise bare(path)
    return bundle_of_row(row, path, Told())


def all_networks(
    where: str | Path | Bundle | Sequence[str | Path | Bundle],
) -> list[str | Path | Bundle]:
    """Every network that is named; the folder of folds stands for the runs of all of them.

    Args:
        where: one or several: a bundle, its path, a run folder, the folder of `train --folds`, or
            the id of weights.

    Raises:
        NotFound: a fold is not finished.
        WrongUse: none is named.
    """
    named = [where] if isinstance(where, str | Path | Bundle) else list(where)
    if not named:
        raise WrongUse("no network was named; expected a run, a bundle or an id of weights")
    found: list[str | Path | Bundle] = []
    for each in named:
        path = None if isinstance(each, Bundle) else expanded(each)
        if path is not None and FoldsFolder.is_there(path):
            found.extend(FoldsFolder.open(path).finished_runs())
        else:
            found.append(each)
    return found


def open_state(
    where: str | Path, *, downloading: Downloading | None = None
) -> tuple[dict[str, Tensor], str, str]:
    """The tensors of any weights, under the file's own names.

    Args:
        where: a bundle, run folder, weight file, or the id of weights.
        downloading: hears of a download.

    Returns:
        the tensors by name, the name of the key map (empty where it has to be found), and what
        to call these weights in a message.

    Raises:
        NotFound, DownloadFailed, BadWeights: as `open_bundle`.
    """
    if not is_id(where):
        path = find_bundle(where)
        row = None if is_bundle(path) else recognised(path)
        return read_state(path), row.keymap if row else "", str(path)
    keymap = table.find(str(where)).keymap if table.is_known(str(where)) else ""
    return read_state(get_weights(str(where), downloading=downloading)), keymap, str(where)


def header_of(where: str | Path) -> Bundle | WeightsRow:
    """What is known of trained weights without their numbers: a bundle's header, or a row.

    Args:
        where: as `open_bundle`.

    Raises:
        NotFound: there is nothing of that name.
        BadWeights: a file that is no bundle, and no published weights.
    """
    if is_id(where) and table.is_known(str(where)):
        return table.find(str(where))
    path = find_bundle(where)
    if is_bundle(path):
        return read_bundle_header(path)
    row = recognised(path)
    if row is None:
        raise bare(path)
    return row


def spec_of(where: str | Path) -> InputSpec | None:
    """How the weights want their pictures; None where a bare weight file does not say.

    Raises:
        NotFound: there is nothing of that name.
    """
    try:
        return header_of(where).spec
    except BadWeights:
        return None  # a bare weight file; reading it will say if it is broken


def variant_of(where: str | Path) -> str | None:
    """The network that the weights are of; None where a bare weight file does not say.

    Raises:
        NotFound: there is nothing of that name.
    """
    try:
        return header_of(where).variant
    except BadWeights:
        return None


def is_id(where: str | Path) -> bool:
    """Whether this names published or shipped weights, and no file or folder."""
    return not expanded(where).exists() and str(where) in table.known_ids()


def find_bundle(where: str | Path) -> Path:
    """A weight file: the path itself, a run folder's best (else last) bundle, a shipped bundle.

    Raises:
        NotFound: there is no such file, or the folder holds no bundle.
    """
    path = expanded(where)
    if path.is_dir():
        FoldsFolder.refuse_as_run(path)
        for name in _RUN_BUNDLES:
            if (path / name).is_file():
                return path / name
        raise NotFound(
            f"{path} holds no bundle ({' or '.join(_RUN_BUNDLES)}); expected a run"
            " folder, or the path of a bundle"
        )
    if path.is_file():
        return path
    if str(where) in table.shipped():
        return table.shipped()[str(where)]
    hint = nearest(str(where), table.known_ids()) if len(path.parts) == 1 else ""
    raise NotFound(
        f"there is no bundle {path}; expected a run folder or a .safetensors file, as `backbones"
        f" train` leaves them, or an id of `backbones weights list`.{hint}"
    )


def _open_id(name: str, told: Told, downloading: Downloading | None) -> Bundle:
    path = get_weights(name, downloading=downloading)
    if name in table.shipped():
        return read_bundle(path)
    return bundle_of_row(table.find(name), path, told)


def _progress(row: WeightsRow, downloading: Downloading | None) -> Progress | None:
    if downloading is None:
        return None
    hear, size = downloading, row.num_bytes or (row.mib or 0) * 2**20
    said = ", ".join([*([human_bytes(size)] if size else []), f"licence {row.licence}"])
    return lambda done, total: hear(f"{row.stored_as} ({said})", done, total)
