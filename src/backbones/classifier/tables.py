"""Images in the rows of a Parquet table, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backbones.classifier.archives import Waiting
from backbones.data.shards.parquet import encoded_bytes, image_column
from backbones.errors import BadData, BadImage

SUFFIX = ".parquet"
_ROWS_AT_ONCE = 64  # so that a table of any length takes little memory


def images_in_table(path: Path) -> Iterator[Waiting]:
    """Every image of a table, called `table#row`; what cannot be read says so when it is."""
    from pyarrow import ArrowException, parquet

    row = 0
    try:
        column = image_column(path)
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[column]):
                for cell in batch.column(0):
                    yield _image(f"{path}#{row}", cell.as_py())
                    row += 1
    except (ArrowException, OSError, BadData) as error:
        reason = " ".join(str(error).split())[:200]
        yield Waiting(str(path), _refusing(f"the table cannot be read: {reason}"))


def count_in_table(path: Path) -> int:
    """How many rows a table has; one that is damaged counts as 1."""
    from pyarrow import ArrowException, parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except (ArrowException, OSError):
        return 1


def nothing_in_table(path: Path) -> str:
    """Why a table is of no use, or nothing; one that is damaged is told when it is read.

    Raises:
        MissingExtra: without pyarrow.
    """
    try:
        return "" if image_column(path) else "is a table without a column of images"
    except BadData:
        return ""


def _image(name: str, cell: Any) -> Waiting:
    try:
        data = encoded_bytes(cell)
    except BadImage as error:
        return Waiting(name, _refusing(str(error)))
    return Waiting(name, lambda: data, len(data))


def _refusing(reason: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise BadImage(reason)

    return read
