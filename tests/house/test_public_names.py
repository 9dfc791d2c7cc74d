"""The names that other people's code may rely on."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import backbones

ROOT = Path(__file__).parents[2]
CLI = ROOT / "src" / "backbones" / "cli"


def test_every_public_name_exists_and_is_documented() -> None:
    for name in backbones.__all__:
        value = getattr(backbones, name)
        assert name == "__version__" or value.__doc__, name


def test_no_part_hides_a_public_name() -> None:
    """Once imported, a package `backbones/memory` would stand where `backbones.memory` was."""
    source = Path(backbones.__file__).parent
    parts = {path.stem for path in source.iterdir() if path.suffix in ("", ".py")}
    assert not parts & set(backbones.__all__)


def test_version_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert backbones.__version__ == project["version"]
    assert f"[{backbones.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {backbones.__version__}" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, backbones; dir(backbones); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# What the command line needs beside the public names: to run as a program (errors, signals, launch,
# files), to read and print (text, units, progress), and the tables and pages that it prints.
MAY_IMPORT = {
    "cli",
    "errors",
    "signals",
    "launch",
    "files",
    "text",
    "language",
    "units",
    "progress",
} | {
    *("report", "catalog", "labels", "ledger"),
}


def _private_imports(path: Path) -> list[str]:
    """What a file of the command line runs that Python users have no public name for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in for_types or not node.module:
            continue
        first, *rest = node.module.split(".")
        if first == "backbones":
            names = rest[:1] or [alias.name for alias in node.names]
            known = MAY_IMPORT if rest else MAY_IMPORT | set(backbones.__all__)
            found += [name for name in names if name not in known]
    return found


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_what_the_command_line_can_do_python_can(path: Path) -> None:
    found = _private_imports(path)
    assert found == [], f"{path.name}: export what it calls, or call what is exported"
