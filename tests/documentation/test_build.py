"""A site of a few pages is built without a warning, and the notebooks' cells run.

`make docs` builds all of it, which takes minutes: here is one page of each generated kind, in both
languages, through Sphinx with the site's own settings, but no HTML is written. Of the notebooks all
cells run in this process, the trainings in them shortened.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
NOTEBOOKS = sorted(
    path.stem for path in (DOCS / "en" / "learn").glob("*.md") if path.stem != "index"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One page of each kind, of a tiny network and of what is quick to draw."""
    from generators import commands, networks, protocols, recipes, records
    from generators.language import LANGS

    docs = tmp_path_factory.mktemp("docs")
    for lang in LANGS:
        for folder in ("networks", "recipes", "protocols", "commands"):
            (docs / lang / "know" / folder).mkdir(parents=True)
        commands.write(docs, lang)
        records.write(docs, lang)
        networks.write_index(docs, lang, ["googlenet_tiny"])
        recipes.write_index(docs, lang, ["probe"])
        protocols.write_index(docs, lang, ["googlenet/144_crop"])
        lists = ["networks/index", "recipes/index", "protocols/index", "commands/index", "records"]
        contents = "\n".join(f"know/{name}" for name in lists)
        (docs / lang / "index.md").write_text(f"# x\n\n```{{toctree}}\n{contents}\n```\n")
    networks.write_page(docs, "googlenet_tiny")
    recipes.write_page(docs, "probe")
    for name in protocols.names():
        if name.startswith("googlenet/"):
            protocols.write_page(docs, name)
    return docs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_generated_pages_are_read_without_a_warning(written: Path, lang: str, tmp_path) -> None:
    from sphinx.application import Sphinx

    said, warned = io.StringIO(), io.StringIO()
    app = Sphinx(
        written / lang, DOCS, tmp_path / "out", tmp_path / "trees", "dummy",
        {"language": {"en": "en", "zh": "zh_CN"}[lang], "nb_execution_mode": "off"},
        status=said, warning=warned, freshenv=True,
    )  # fmt: skip
    app.build()
    assert not [line for line in warned.getvalue().splitlines() if str(written) in line]
    assert {"know/networks/googlenet_tiny", "know/recipes/probe"} <= app.env.found_docs


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_network_s_page_has_what_a_reader_looks_for(written: Path, lang: str) -> None:
    page = (written / lang / "know" / "networks" / "googlenet_tiny.md").read_text("utf-8")
    assert "8,598" in page
    assert "1*1*" in page
    assert "r = 1 + (" in page
    assert "author = {Szegedy" in page
    assert ("测试用" in page) == (lang == "zh")
    assert (written / "_build/figures/networks/googlenet_tiny.svg").stat().st_size > 1000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cells_of_a_notebook_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    text = (DOCS / "en" / "learn" / f"{name}.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(cells) >= 5
    code = re.sub(r"steps: int = \d+", "steps: int = 1", "\n".join(cells))
    code = code.replace("for layers in (4, 36)", "for layers in (4,)")
    threads = torch.get_num_threads()
    try:
        exec(compile(code, f"{name}.md", "exec"), {"__name__": "__main__"})
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out
