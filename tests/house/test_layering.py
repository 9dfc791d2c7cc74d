"""Imports go one way, and heavy libraries stay out of the quick answers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import backbones

SOURCE = Path(__file__).parents[2] / "src" / "backbones"
FILES = sorted(SOURCE.rglob("*.py"))

# Lower numbers know nothing of higher ones; parts on one level do not import each other.
LEVELS = [
    {"errors", "signals", "units", "signatures", "progress", "language", "launch"},
    {"text", "files"},
    {"spec", "download", "records", "labels", "settings", "ray_session", "ranks"},
    {"nn"},
    {"models", "catalog"},
    {
        "weights",
        "inspection",
        "footprint",
        "data",
        "features",
        "compute",
        "speed",
        "metrics",
    },
    {
        "agreement",
        *("protocols", "training", "explanation", "exporting", "engines"),
        *("report", "scaling", "ledger"),
    },
    {"classifier"},
    {"workflows", "cluster", "serving", "playground", "quantization"},
    {"api"},
    {"cli"},
]
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
# `models` is one package; its files must not know each other, nor anything about data or training.
# `catalog` names the modules of `models`, and `models` finds its rows through `catalog`.
WITHIN_LEVEL = {("models", "catalog")}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[str, str]]:
    """Pairs of (importing part, imported part) inside the package."""
    importer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "backbones":
                modules = [f"backbones.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(importer, part_of(m)) for m in modules if m.split(".")[0] == "backbones"]
    return found


def test_contributing_prints_these_levels() -> None:
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^`(cli > .+)`\.$", text, flags=re.MULTILINE)
    there = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}
    assert [set(re.findall(r"\w+", level)) for level in line.split(" > ")] == [
        level & there for level in reversed(LEVELS) if level & there
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    for importer, imported in imports(path):
        if importer in ("__init__", "__main__") or imported in ("", importer, "__version__"):
            continue
        if imported in backbones.__all__:  # `names` and its like, which only the top may use
            assert importer == "cli", f"{path.relative_to(SOURCE)} must not import a public name"
            continue
        assert imported in LEVEL, f"{imported} has no level: give it one in this test"
        allowed = LEVEL[imported] < LEVEL[importer] or (importer, imported) in WITHIN_LEVEL
        assert allowed, f"{path.relative_to(SOURCE)}: {importer} must not import {imported}"


def test_model_files_do_not_know_each_other() -> None:
    families = [path for path in (SOURCE / "models").glob("*.py") if path.stem != "__init__"]
    assert families
    for path in families:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backbones.mod"):
                pytest.fail(f"{path.name} imports {node.module}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_command_line_prints(path: Path) -> None:
    if path.relative_to(SOURCE).parts[0] == "cli":
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert path.stem not in ("utils", "misc", "helpers", "common")
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef):
            assert not node.name.startswith("Base"), node.name
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node, clean=False) or ""
            lines = (node.end_lineno or 0) - node.lineno + 1 - len(doc.splitlines())
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_pickle_is_never_imported() -> None:
    for path in FILES:
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {"pickle", "shelve", "marshal", "dill"} & set(names), path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "--json"],
        ["list", "protocols"],
        ["list", "vgg*", "--columns", "name,params,macs,year,top1,weights", "--sort", "top1"],
        ["list", "labels", "imagenet"],
        ["weights", "list", "vgg"],
    ],
)
def test_quick_answers_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from backbones.cli.main import main\n"
        f"sys.argv = ['backbones', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'matplotlib', 'numpy', 'PIL'}\n"
        "found = heavy & set(sys.modules)\n"
        "sys.exit(f'imported {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
