"""The weights on this machine: verify them, import a file, convert one to a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backbones.download import checksum_of
from backbones.errors import BadWeights, NotFound
from backbones.files import expanded
from backbones.progress import Downloading
from backbones.weights import store, table
from backbones.weights.bundle import Bundle, read_bundle, write_bundle
from backbones.weights.foreign import Given, bundle_of_file, bundle_of_row
from backbones.weights.opening import get_weights, is_id


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


def verify_weights(name: str | None = None) -> Iterator[Verified]:
    """Check the files in the store, or the one of an id; a shipped one only where it is named.

    Yields:
        one result a file, bad ones too.

    Raises:
        NotFound: no such weights, or not here.
    """
    if name in table.shipped_weights():
        file = table.shipped_weights()[name]
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


def convert_weights(
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
        downloading: download progress callback.

    Raises:
        NotFound: no such weights, file or network.
        WrongUse: the network, or which of several in the file is meant, has to be named.
        BadWeights: the file cannot be trusted, or does not fit the network.
    """
    given = Given(variant, entry, allow_non_finite)
    name = str(source)
    if not is_id(source):
        bundle = bundle_of_file(expanded(source), given)
    elif name in table.shipped_weights():
        bundle = read_bundle(table.shipped_weights()[name])
    else:
        bundle = bundle_of_row(table.find(name), get_weights(name, downloading=downloading), given)
    write_bundle(out, bundle)
    return bundle
