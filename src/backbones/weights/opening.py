"""Open any trained network: a bundle, a run folder, published weights, a weight file."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor, nn

from backbones.errors import BadWeights, NotFound, WrongUse, nearest
from backbones.files import expanded
from backbones.progress import Downloading
from backbones.spec import InputSpec
from backbones.units import human_bytes
from backbones.weights import store, table
from backbones.weights.adapt import load_adapted
from backbones.weights.bundle import Bundle, is_bundle, read_bundle, read_bundle_header
from backbones.weights.files import read_state
from backbones.weights.foreign import bundle_of_row, recognised, unknown_network
from backbones.weights.table import WeightsRow

FOLDS = "folds.json"
"""The file that tells the folder of all folds from the folder of one run."""

_RUN_BUNDLES = ("best.safetensors", "last.safetensors")

logger = logging.getLogger("backbones")


def get_weights(name: str, *, downloading: Downloading | None = None) -> Path:
    """The verified file of published weights, fetched first where it is not here.

    Args:
        name: id of the weights.
        downloading: download progress callback.

    Raises:
        NotFound: no such weights, or no public address.
        DownloadFailed: they cannot be fetched.
        BadWeights: the file that is here is not what was published.
    """
    if name in table.shipped_weights():
        return table.shipped_weights()[name]
    row = table.find(name)
    if downloading is None:
        return store.fetch(row)
    size = row.num_bytes or (row.mib or 0) * 2**20
    facts = ", ".join([*([human_bytes(size)] if size else []), f"licence {row.licence}"])
    called = f"{row.stored_as} ({facts})"
    return store.fetch(row, lambda done, total: downloading(called, done, total))


def open_bundle(where: str | Path | Bundle, *, downloading: Downloading | None = None) -> Bundle:
    """A trained network with all that belongs to it.

    Args:
        where: a bundle, its path, a run folder, the id of weights, or a file that its hash tells to
            be published weights.
        downloading: download progress callback.

    Raises:
        NotFound: there is nothing of that name.
        DownloadFailed: the weights cannot be fetched.
        BadWeights: the file cannot be trusted.
    """
    if isinstance(where, Bundle):
        return where
    if is_id(where):
        name = str(where)
        file = get_weights(name, downloading=downloading)
        if name in table.shipped_weights():
            return read_bundle(file)
        return bundle_of_row(table.find(name), file)
    path = find_bundle(where)
    if is_bundle(path):
        return read_bundle(path)
    row = recognised(path)
    if row is None:
        raise unknown_network(path)
    return bundle_of_row(row, path)


def open_state(
    where: str | Path, *, downloading: Downloading | None = None
) -> tuple[dict[str, Tensor], str, str]:
    """The tensors of any weights, under the file's own names.

    Args:
        where: a bundle, run folder, weight file, or the id of weights.
        downloading: download progress callback.

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


def load_weights(
    network: nn.Module, where: str | Path, *, downloading: Downloading | None = None
) -> None:
    """Give a network trained weights.

    Where its head or first convolution has another width, all other weights are kept, and what
    changed is logged as a warning of the logger "backbones".

    Args:
        network: of this package.
        where: as `open_state`.
        downloading: download progress callback.

    Raises:
        NotFound, DownloadFailed, BadWeights: as `open_state`; the weights do not fit.
    """
    state, keymap, called = open_state(where, downloading=downloading)
    for change in load_adapted(network, state, keymap):
        logger.warning("%s: %s", called, change)


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
        raise unknown_network(path)
    return row


def spec_of(where: str | Path) -> InputSpec | None:
    """How the weights want their images; None where a bare weight file does not say.

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
        refuse_folds(path)
        for name in _RUN_BUNDLES:
            if (path / name).is_file():
                return path / name
        raise NotFound(
            f"{path} holds no bundle ({' or '.join(_RUN_BUNDLES)}); expected a run"
            " folder, or the path of a bundle"
        )
    if path.is_file():
        return path
    if str(where) in table.shipped_weights():
        return table.shipped_weights()[str(where)]
    hint = nearest(str(where), table.known_ids()) if len(path.parts) == 1 else ""
    raise NotFound(
        f"there is no bundle {path}; expected a run folder or a .safetensors file, as `backbones"
        f" train` leaves them, or an id of `backbones weights list`.{hint}"
    )


def holds_folds(path: str | Path) -> bool:
    """Whether a folder holds the runs of all folds, as `train_folds` leaves them."""
    return (expanded(path) / FOLDS).is_file()


def refuse_folds(path: Path) -> None:
    """Refuse the folder of all folds where one run is wanted.

    Raises:
        WrongUse: it is such a folder.
    """
    if holds_folds(path):
        raise WrongUse(f"{path} holds the runs of folds; name one of them: {path / 'fold-1'}")
