"""Which picture an id means: a file's name or its path, with or without the extension."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath


class Places:
    """Finds pictures by what tables call them.

    Args:
        paths: of all pictures that can be meant.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in paths:
            plain = PurePosixPath(path.replace("\\", "/"))
            self._by_name.setdefault(plain.name, []).append(path)
            self._by_stem.setdefault(plain.stem, []).append(path)

    def find(self, id_: str) -> list[str]:
        """The paths of the pictures: one where all is well.

        An id with slashes is the end of a path; the file's own name comes before its stem.

        Example:
            >>> Places(["a/1.jpg", "b/2.jpg"]).find("2"), Places(["a/1.jpg", "b/1.jpg"]).find("b/1")
            (['b/2.jpg'], ['b/1.jpg'])
        """
        last = PurePosixPath(id_).name
        exact, stems = self._by_name.get(last, []), self._by_stem.get(last, [])
        if "/" not in id_:
            return exact or stems
        tail = "/" + id_.removeprefix("./").lstrip("/")
        return [path for path in exact if _plain(path).endswith(tail)] or [
            path for path in stems if _plain(path).rpartition(".")[0].endswith(tail)
        ]


def _plain(path: str) -> str:
    return "/" + path.replace("\\", "/").lstrip("/")
