"""Files here and at an address: looked at, read in parts, written whole, claimed once.

A place is a path, or an address that fsspec opens: `s3://`, `gs://`, `hf://`, `http(s)://`,
`memory://`. A cut connection, a server's 5xx and its "slow down" are tried again with growing
pauses; what fails all the same is one error that names the address, without its credentials.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backbones.data.stores import code_of, is_address, plain, store_of, tried
from backbones.errors import BadData, NotFound, WrongUse
from backbones.files import copy_atomic, create_atomic, write_atomic

_TAKEN = ("PreconditionFailed", "412")
_TAGS = ("ETag", "etag", "md5Hash", "md5", "blob_id", "mtime", "LastModified", "created")


@dataclass(frozen=True)
class Stored:
    """A file that is there.

    Args:
        place: its path or address.
        size: in bytes.
        tag: differs when the content was changed: the store's, else the time of change.
    """

    place: str
    size: int
    tag: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return plain(self.place).rstrip("/").rpartition("/")[2]


def below(folder: str | Path, name: str) -> str:
    """The place of a file in a folder."""
    if not is_address(folder):
        return str(Path(folder) / name)
    path, mark, query = str(folder).partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def look(place: str | Path) -> Stored:
    """Size and tag of a file.

    Raises:
        NotFound: there is none.
        DownloadFailed: the store gives no answer.
    """
    if not is_address(place):
        return _look_here(Path(place))
    system, path = store_of(str(place))
    return _stored(str(place), tried(str(place), lambda: system.info(path)))


def exists(place: str | Path) -> bool:
    """Whether there is a file.

    Raises:
        DownloadFailed: the store gives no answer.
    """
    try:
        look(place)
    except NotFound:
        return False
    return True


def listed(folder: str | Path) -> list[Stored]:
    """The files that lie in a folder, by name; none where there is no such folder.

    Raises:
        DownloadFailed: the store gives no answer.
    """
    if not is_address(folder):
        return list(_listed_here(Path(folder)))
    entries = _entries(str(folder))
    files = [name for name in sorted(entries) if entries[name]["type"] == "file"]
    places = [(below(folder, name), entries[name]) for name in files]
    # a web server lists names without sizes
    return [
        look(place) if facts.get("size") is None else _stored(place, facts)
        for place, facts in places
    ]


def folders(folder: str | Path) -> list[str]:
    """The names of the folders that lie in a folder, sorted; none where there is no such folder.

    Raises:
        DownloadFailed: the store gives no answer.
    """
    if not is_address(folder):
        here = Path(folder)
        return [name for name in _names_here(here) if (here / name).is_dir()]
    entries = _entries(str(folder))
    return [name for name in sorted(entries) if entries[name]["type"] == "directory"]


def read(place: str | Path, start: int = 0, end: int | None = None) -> bytes:
    """The bytes of a file from `start` to before `end`, or to its end.

    Raises:
        NotFound: there is no such file.
        BadData: it ends before `end`, or its server sends no parts of files.
        DownloadFailed: the store gives no answer.
        OSError: a file here that cannot be read.
    """
    if not is_address(place):
        return _read_here(Path(place), start, end)
    system, path = store_of(str(place))

    def fetch() -> bytes:
        data = bytes(system.cat_file(path, start=start or None, end=end))
        if end is not None and len(data) < end - start:
            raise ConnectionResetError(f"{len(data):,} of {end - start:,} bytes came")
        return data

    data = tried(str(place), fetch)
    if end is not None and len(data) > end - start:
        raise BadData(
            f"{plain(place)}: its server sends the whole file where a part was asked for;"
            " download it first, or use a server that answers range requests"
        )
    return data


def write(place: str | Path, data: bytes) -> None:
    """Put a whole file where it belongs, in one step; another one of its name is replaced.

    Raises:
        DownloadFailed: the store does not take it.
        OSError: the folder here cannot be written.
    """
    if not is_address(place):
        write_atomic(Path(place), data)
        return
    system, path = store_of(str(place))
    tried(str(place), lambda: system.pipe_file(path, data))


def put(file: Path, place: str | Path) -> None:
    """Copy a file of this machine to a place, in one step.

    Raises:
        DownloadFailed: the store does not take it.
        OSError: the folder here cannot be written.
    """
    if not is_address(place):
        copy_atomic(file, Path(place))
        return
    system, path = store_of(str(place))
    tried(str(place), lambda: system.put_file(str(file), path))


def create(place: str | Path, data: bytes) -> bool:
    """Write a file where there is none: of several that try at once, one succeeds.

    Here that is a link that takes a free name; in a store a conditional put (`If-None-Match`).
    `data` must be the caller's alone (a name of its own in it): where the answer to a put is lost,
    the content tells whose it is.

    Returns:
        whether the file is the caller's; False where another one has been there.

    Raises:
        WrongUse: the store knows no conditional put.
        DownloadFailed: it gives no answer.
        OSError: the folder here cannot be written.
    """
    if not is_address(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        return create_atomic(Path(place), data)
    system, path = store_of(str(place))
    if path.startswith(("http://", "https://")):
        raise WrongUse(f"{plain(place)}: a web server makes no file that only one writer gets")

    def attempt() -> bool:
        try:
            system.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError, ValueError) as error:
            raise WrongUse(
                f"{plain(place)}: this kind of store makes no file that only one writer gets"
                f" ({error})"
            ) from error
        except OSError as error:
            if code_of(error) not in _TAKEN:
                raise
            return False
        return True

    return tried(str(place), attempt) or read(place) == data


def delete(place: str | Path) -> None:
    """Remove a file; one that is gone already is fine.

    Raises:
        DownloadFailed: the store gives no answer.
        OSError: it cannot be removed here.
    """
    if not is_address(place):
        Path(place).unlink(missing_ok=True)
        return
    system, path = store_of(str(place))
    with suppress(NotFound):
        tried(str(place), lambda: system.rm_file(path))


# --- at an address ------------------------------------------------------------------------------


def _entries(folder: str) -> dict[str, Any]:
    """What a folder of a store holds, by name."""
    system, path = store_of(folder)
    try:
        found = tried(folder, lambda: system.ls(path, detail=True))
    except NotFound:
        return {}
    names = {str(each["name"]).rstrip("/").rpartition("/")[2]: each for each in found}
    return {name: each for name, each in names.items() if name}


def _stored(place: str, facts: Any) -> Stored:
    if facts.get("type") == "directory":
        raise NotFound(f"{plain(place)} is a folder; expected a file")
    if facts.get("size") is None:
        raise BadData(f"{plain(place)}: its server does not say how large it is")
    tag = next((facts[name] for name in _TAGS if facts.get(name)), "")
    if isinstance(tag, datetime):  # some stores give it so in one answer and not in another
        tag = tag.timestamp()
    return Stored(place, int(facts["size"]), str(tag).strip('"'))


# --- here ---------------------------------------------------------------------------------------


def _names_here(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def _listed_here(folder: Path) -> Iterator[Stored]:
    """What is removed meanwhile is not there."""
    for name in _names_here(folder):
        with suppress(NotFound):
            if (folder / name).is_file():
                yield _look_here(folder / name)


def _look_here(path: Path) -> Stored:
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no file {path}") from None
    return Stored(str(path), facts.st_size, str(facts.st_mtime_ns))


def _read_here(path: Path, start: int, end: int | None) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read(-1 if end is None else end - start)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    if end is not None and len(data) < end - start:
        raise BadData(f"{path} ends before byte {end:,}: it was cut or replaced")
    return data
