"""Write all generated pages of both trees, in as many processes as there are processors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from generators import commands, networks, protocols, python_api, recipes, records
from generators.language import LANGS, Lang

Write = Callable[[Path, str], None]
FOLDERS = ("networks", "recipes", "protocols", "commands", "python")


def write_pages(docs: Path, only: str | None = None) -> int:
    """Write the pages under "Know" that come from the package.

    Args:
        docs: the folder with the trees `en` and `zh`.
        only: a word: of networks and recipes only those with it in their names.

    Returns:
        how many pages there are in one tree.
    """
    for lang in LANGS:
        for folder in FOLDERS:
            shutil.rmtree(docs / lang / "know" / folder, ignore_errors=True)
            (docs / lang / "know" / folder).mkdir(parents=True)
    work: list[tuple[Write, str]] = []
    for kind in (networks, recipes, protocols):
        every = kind is protocols or only is None
        chosen = [name for name in kind.names() if every or only in name]
        work += [(kind.write_page, name) for name in chosen]
        for lang in LANGS:
            kind.write_index(docs, lang, chosen)
    with ProcessPoolExecutor(os.cpu_count(), initializer=_one_thread) as pool:
        done = [pool.submit(write, docs, name) for write, name in work]
        for lang in LANGS:
            _write_rest(docs, lang)
        for each in done:
            each.result()
    return sum(1 for _ in (docs / "en").rglob("*.md"))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _write_rest(docs: Path, lang: Lang) -> None:
    commands.write(docs, lang)
    records.write(docs, lang)
    python_api.write(docs, lang)
