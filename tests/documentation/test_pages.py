"""What the pages tell a reader to type is understood, their Python runs, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from backbones import catalog, protocol_names, recipe_names
from backbones.cli.app import VERBS, app_for

DOCS = Path(__file__).parents[2] / "docs"
GENERATED = re.compile(r"know/(networks|recipes|protocols|commands|python)/")


def committed(lang: str) -> list[Path]:
    """The pages of a tree that are not written at each build."""
    found = sorted((DOCS / lang).rglob("*.md"))
    return [path for path in found if not GENERATED.search(path.as_posix())]


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_every_command_is_understood() -> None:
    from typer.main import get_command

    understood = 0
    for path in committed("en"):
        for line in "".join(blocks(path, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["backbones"]:
                continue
            (verb, *rest), command = words[1:], get_command(app_for(words[1:]))
            command = command.commands[verb]
            if hasattr(command, "commands"):
                command, rest = command.commands[rest[0]], rest[1:]
            command.make_context(verb, list(rest))  # raises where an option is not known
            understood += 1
    assert understood > 40


def test_the_python_of_your_own_training_code_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(DOCS / "en" / "do" / "training-loop.md", "python"))
    exec(compile(code, "training-loop.md", "exec"), {})
    assert (tmp_path / "mine.svg").stat().st_size > 1000


def test_the_protocol_of_ones_own_is_one(tmp_path) -> None:
    from backbones import load_protocol

    (text,) = blocks(DOCS / "en" / "do" / "protocols.md", "text")
    file = tmp_path / "three_scales.yaml"
    file.write_text(text, encoding="utf-8")
    assert [str(side) for side in load_protocol(file).resize] == ["256", "320", "384"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_links_inside_the_tree_lead_to_a_page(lang: str) -> None:
    """Sphinx looks at each of them with its anchor, at every build; this is quicker."""
    made = {
        "networks": set(catalog.names()),
        "recipes": set(recipe_names()),
        "protocols": {name.replace("/", "-") for name in protocol_names()},
        "commands": {verb for verbs in VERBS.values() for verb in verbs},
    }
    seen = 0
    for path in committed(lang):
        for address in re.findall(r"\]\(([^)\s:#]+\.md)(?:#[^)\s]*)?\)", path.read_text("utf-8")):
            target = (path.parent / address).resolve()
            generated = GENERATED.search(target.as_posix())
            known = generated and target.stem in {"index", *made.get(generated[1], ())}
            assert known or target.is_file() or target.stem == "records", f"{path}: {address}"
            seen += 1
    assert seen > 30
