"""Published weights on this machine: fetched once, and checked every time they are used.

Files lie in `weights/` of the cache, under their ids. Beside each is a receipt in the format of
`sha256sum`: the whole hash that it had when it arrived, for rows that know only its beginning, or
nothing at all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from backbones.download import cache_folder, checksum_of, download, mirror
from backbones.errors import BadWeights, DownloadFailed, NotFound
from backbones.files import copy_atomic, write_atomic
from backbones.progress import ByteProgress
from backbones.weights import table
from backbones.weights.files import read_state
from backbones.weights.numbers import refuse_non_finite
from backbones.weights.table import WeightsRow

_WHOLE = 64  # digits of a SHA-256


def path_of(row: WeightsRow) -> Path:
    """Where the file is, or would be."""
    return cache_folder() / "weights" / row.stored_as


def stored() -> tuple[WeightsRow, ...]:
    """The rows whose files are on this machine."""
    return tuple(row for row in table.rows() if path_of(row).is_file())


def fetch(row: WeightsRow, progress: ByteProgress | None = None) -> Path:
    """The verified file of a row, fetched first where it is not here.

    Addresses are tried in turn: `BACKBONES_MIRROR/weights/ID.suffix` where that is set, then the
    publisher's.

    Args:
        row: of the table.
        progress: called with the bytes that are there and the total or None.

    Raises:
        NotFound: not here, and it has no public address.
        DownloadFailed: no address gave the right file.
        BadWeights: the file that is here is not the one that was published.
    """
    path = path_of(row)
    if not path.is_file():
        _download(row, path, progress)
    check(row)
    return path


def check(row: WeightsRow) -> str:
    """Compare the stored file with what was published, and with what it was when it arrived.

    Returns:
        its whole SHA-256.

    Raises:
        NotFound: it is not here.
        BadWeights: it was changed.
    """
    path = path_of(row)
    if not path.is_file():
        raise NotFound(f"{row.id} is not here; `backbones weights get {row.id}` fetches it")
    found, receipt = checksum_of(path), _receipt(path)
    expected = _expected(receipt, row)
    published_fits = row.checksum is None or row.checksum.fits(found)
    if not published_fits or expected not in ([], [found]):
        wanted = row.sha256 if not published_fits else expected[0]
        raise BadWeights(
            f"{path} is not what was published: its SHA-256 is {found}, expected {wanted};"
            f" remove it, and `backbones weights get {row.id}` fetches it again"
        )
    if not expected:
        write_atomic(receipt, f"{found}  {path.name}\n".encode())
    return found


def recognise(sha256: str) -> WeightsRow | None:
    """The row whose file has this whole hash."""
    return next((row for row in table.rows() if row.checksum and row.checksum.fits(sha256)), None)


def put(row: WeightsRow, file: Path, *, allow_non_finite: bool = False) -> Path:
    """Copy a file into the store as the one of a row.

    Args:
        row: of the table.
        file: wherever it is.
        allow_non_finite: take infinities and what is not a number.

    Raises:
        NotFound: there is no such file.
        BadWeights: it is not what was published, holds no weights, or numbers that are not finite.
        OSError: the disk is full or the store cannot be written.
    """
    found = sha256_of(file)
    if row.checksum is not None and not row.checksum.fits(found):
        raise BadWeights(
            f"{file} is not {row.id}: its SHA-256 is {found}, expected {row.sha256}; without --as"
            " it is recognised by its hash"
        )
    if file.suffix != Path(row.stored_as).suffix:
        raise BadWeights(f"{file} ends in {file.suffix}, {row.id} is a {row.stored_as}")
    state = read_state(file)
    if not allow_non_finite:
        refuse_non_finite(state)
    path = path_of(row)
    _receipt(path).unlink(missing_ok=True)
    copy_atomic(file, path)
    check(row)
    return path


def sha256_of(file: Path) -> str:
    """The whole SHA-256 of a file.

    Raises:
        NotFound: there is no such file.
    """
    if not file.is_file():
        if os.path.lexists(file):
            raise NotFound(f"{file} is no regular file; expected a weight file")
        raise NotFound(f"there is no weight file {file}")
    return checksum_of(file)


def _expected(receipt: Path, row: WeightsRow) -> list[str]:
    """The hash in a receipt; none where there is no receipt, or the publisher's hash is whole."""
    if not receipt.is_file() or len(row.sha256) == _WHOLE:
        return []
    digits = receipt.read_bytes()[: _WHOLE + 1]
    if not re.fullmatch(rb"[0-9a-f]{64}\s", digits):
        raise BadWeights(
            f"{receipt} is damaged: expected a line of sha256sum; remove it and {row.stored_as}"
            f" beside it, and `backbones weights get {row.id}` fetches that again"
        )
    return [digits[:_WHOLE].decode()]


def _receipt(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _download(row: WeightsRow, path: Path, progress: ByteProgress | None) -> None:
    base = mirror()
    mirrored = f"{base}/weights/{row.stored_as}" if base else ""
    addresses = [address for address in (mirrored, row.url) if address]
    if not addresses:
        raise NotFound(
            f"{row.id} has no public address: get {row.file} from somewhere, and"
            " `backbones weights import FILE` puts it in its place"
        )
    reasons = []
    for address in addresses:
        try:
            download(
                address,
                path,
                checksum=row.checksum,
                num_bytes=row.num_bytes,
                at_most=row.at_most_bytes,
                progress=progress,
            )
        except DownloadFailed as error:
            reasons.append(str(error))
        else:
            break
    else:
        raise DownloadFailed("; ".join(reasons))
    if row.checksum is None:  # nobody says what is right, but it has to be whole
        try:
            read_state(path)
        except BadWeights:
            path.unlink()
            raise
