"""Every command in the READMEs runs; every number in them is one that was measured or counted."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from backbones import catalog

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")


def blocks(readme: str, language: str) -> list[str]:
    """The fenced blocks of a language; "" is a block without one."""
    parts = re.split(r"^```(.*)$", (ROOT / readme).read_text(encoding="utf-8"), flags=re.MULTILINE)
    # text, language, block, "" (the closing fence), text, language, block, ...
    return [
        block.strip("\n")
        for found, block in zip(parts[1::4], parts[2::4], strict=True)
        if found == language
    ]


def commands(readme: str) -> list[list[str]]:
    lines = [line for block in blocks(readme, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def test_both_readmes_show_the_same_code() -> None:
    for language in ("sh", "python", ""):
        ours, theirs = (blocks(readme, language) for readme in READMES)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert [shlex.split(line, comments=True) for line in one.splitlines()] == [
                shlex.split(line, comments=True) for line in other.splitlines()
            ]


def test_the_commands_of_the_readme_run(backbones, photos, trained, tmp_path, monkeypatch) -> None:
    """As printed, but offline: a tiny network's weights and a shipped network in place of public
    ones; with `--smoke`, two trials of 20, and two folds of 5."""
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "disc" / "broken.jpg").unlink()
    shutil.copytree(tmp_path / "photos" / "disc", tmp_path / "test")
    monkeypatch.chdir(tmp_path)
    ran = 0
    for command in commands("README.md"):
        if command[0] != "backbones" or command[1] == "serve":  # see tests/serving
            continue
        offline = {"resnet50.tv_in1k": "lenet5.fashion"}
        arguments = [offline.get(word, word) for word in command[1:]]
        if {"finetune", "probe"} & set(arguments):
            arguments += ["--weights", str(trained)]
        if arguments[0] in ("train", "tune", "reproduce") and "--resume" not in arguments:
            arguments.append("--smoke")
        if arguments[0] == "tune":
            arguments[arguments.index("--trials") + 1] = "2"
        if "--folds" in arguments:
            arguments[arguments.index("--folds") + 1] = "2"
        answer = backbones(*arguments)
        assert answer.code == 0, (command, answer.err)
        ran += 1
    assert ran >= 8
    assert (tmp_path / "runs/photos/answers/index.html").is_file()


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [command[1] for command in commands("README.md") if command[0] == "make"]
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_photos_are_shown_to_networks_for_photos() -> None:
    for readme in READMES:
        for command in commands(readme):
            assert not ("photos" in command and any("lenet5" in word for word in command)), command


def test_the_readme_begins_on_photos_with_public_weights_in_the_environment_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert ".venv" in makefile
    for readme in READMES:
        shown = commands(readme)
        first = next(command for command in shown if command[:2] == ["backbones", "train"])
        assert first[3:5] == ["--recipe", "probe"]
        assert shown.index([".", ".venv/bin/activate"]) < shown.index(first)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("README.md", "python")
    quick = code.replace("vgg16_bn", "vgg_tiny").replace(
        'recipe="digits"', 'recipe="digits", smoke_run=True'
    )
    assert quick.count("smoke_run") == 1
    exec(compile(quick, "README.md", "exec"), {})
    error, prediction, *_ = capsys.readouterr().out.splitlines()
    assert 0 <= float(error) <= 100
    assert prediction.startswith("image 1: ")


def test_the_parameter_counts_of_the_readme_are_the_catalog_s() -> None:
    exact = {catalog.facts(name).params for name in catalog.names()}
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        found = {int(n.replace(",", "")) for n in re.findall(r"\b\d{1,3}(?:,\d{3})+\b", text)}
        assert len(found) >= 5
        assert found <= exact


@pytest.mark.parametrize("readme", READMES)
def test_the_measured_numbers_of_the_readme_are_in_the_results(readme: str) -> None:
    results = (ROOT / "docs" / "en" / "why" / "results.md").read_text(encoding="utf-8")
    (shown,) = [block for block in blocks(readme, "") if "accuracy" in block]
    numbers = re.findall(r"\d+\.\d+", shown)
    assert len(numbers) >= 3
    for number in numbers:
        assert number in results, number


def test_every_network_and_recipe_that_is_named_exists() -> None:
    from backbones.training.settings import recipe_names

    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        for name in re.findall(r"`((?:vgg|nin|lenet)[a-z0-9_]*)`", text):
            assert name in catalog.names(), name
        for name in re.findall(r"--recipe (\w+)", text):
            assert name in recipe_names()


def test_the_readmes_count_what_there_is() -> None:
    from backbones.protocols.table import PROTOCOLS
    from backbones.weights import table

    english, chinese = ((ROOT / readme).read_text(encoding="utf-8") for readme in READMES)
    assert f"and {len(PROTOCOLS) - 2} others put your error" in english
    assert f"等 {len(PROTOCOLS)} 种" in chinese
    assert f"holds {len(table.rows())} checkpoints" in english


def test_every_environment_variable_is_listed_in_one_place() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src" / "backbones").rglob("*.py")
    )
    page = (ROOT / "docs" / "en" / "know" / "environment.md").read_text(encoding="utf-8")
    named = r"BACKBONES_[A-Z]+"
    assert set(re.findall(rf"^\| `({named})`", page, re.MULTILINE)) == set(
        re.findall(named, source)
    )
    for readme, lang in zip(READMES, ("en", "zh"), strict=True):
        text = (ROOT / readme).read_text(encoding="utf-8")
        assert f"docs/{lang}/know/environment.md" in text
