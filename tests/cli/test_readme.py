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


def test_both_readmes_fit_a_few_screens_and_show_three_pictures() -> None:
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 120
        shown = re.findall(r"!\[[^]]+\]\((docs/pictures/[^)]+)\)", text)
        assert len(shown) == 3
        assert all((ROOT / path).is_file() for path in shown)
        for path in re.findall(r"\]\(([^):]+)\)", text):
            assert (ROOT / path).exists(), path


def test_the_commands_of_the_readme_run(backbones, photos, trained, tmp_path, monkeypatch) -> None:
    """As printed, but offline: a tiny network's weights in place of public ones; with `--smoke`."""
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "disc" / "broken.jpg").unlink()
    monkeypatch.chdir(tmp_path)
    ran = 0
    for command in commands("README.md"):
        if command[0] != "backbones" or command[1] == "serve":  # see tests/serving
            continue
        arguments = command[1:]
        if {"finetune", "probe"} & set(arguments):
            arguments += ["--weights", str(trained)]
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments.append("--smoke")
        answer = backbones(*arguments)
        assert answer.code == 0, (command, answer.err)
        ran += 1
    assert ran >= 15
    assert (tmp_path / "runs/photos/answers/index.html").is_file()
    assert (tmp_path / "runs/photos/why/index.html").is_file()


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
    error, *fields = capsys.readouterr().out.splitlines()
    assert 0 <= float(error) <= 100
    assert any("r = 1 + (3-1)*1 = 3" in line for line in fields)


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


@pytest.mark.parametrize("readme", READMES)
def test_ratios_to_others_were_measured(readme: str) -> None:
    pages = [ROOT / "docs" / "en" / page for page in ("why/results.md", "do/serving.md")]
    measured = "".join(page.read_text(encoding="utf-8") for page in pages)
    text = (ROOT / readme).read_text(encoding="utf-8")
    compared = text[text.index("| torchvision |") : text.index("coming-from.md")]
    ratios = re.findall(r"\d\.\d+(?![.\d])", compared.replace("Apache-2.0", ""))
    assert len(ratios) == 5
    for ratio in ratios:
        assert ratio in measured, ratio


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
    assert f"by {len(PROTOCOLS)} protocols" in english
    assert f"{len(PROTOCOLS)} 种评估协议" in chinese
    assert f"holds {len(table.rows())} checkpoints" in english
    assert f"公开的 {len(table.rows())} 份权重" in chinese


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
