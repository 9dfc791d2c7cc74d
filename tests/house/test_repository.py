"""What goes into the repository, and what must not."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_path_of_a_machine() -> None:
    forbidden = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+)/")
    for path in tracked_files():
        if path.suffix in (".png", ".safetensors", ".svg", ".otf") or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not forbidden.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_nothing_large_and_no_photos() -> None:
    for path in tracked_files():
        assert path.stat().st_size < 1_000_000, path
        assert path.suffix.lower() not in (".jpg", ".jpeg", ".gif", ".pth", ".pt"), path


def test_few_tests_need_what_a_fresh_clone_lacks() -> None:
    """Each is skipped without `BACKBONES_TEST_DATA`: what can be made is made in the test."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "test_data" in text else ():
            if not isinstance(node, ast.FunctionDef):
                continue
            if "test_data" not in [each.arg for each in node.args.args]:
                continue
            place = f"{path.relative_to(ROOT)}::{node.name}"
            assert node.name.startswith("test_"), f"{place}: all tests that take it would skip"
            assert not node.decorator_list, f"{place}: one skip a case; write a loop"
            found.append(place)
    assert 0 < len(found) < 10, found


def test_tests_lie_where_the_part_has_its_name() -> None:
    """`tests/data` tests `src/backbones/data`; a few suites go across all parts."""
    parts = {path.name for path in (ROOT / "src" / "backbones").iterdir()}
    across = {"browser", "contract", "documentation", "golden", "gpu", "house", "parity"}
    tests = [path.relative_to(ROOT / "tests") for path in tracked_files() if "tests" in path.parts]
    folders = {path.parts[0] for path in tests if len(path.parts) > 1}
    assert folders <= parts | across, sorted(folders - parts - across)


def test_the_papers_a_newcomer_needs_are_there() -> None:
    for name in (
        "README.md",
        "README.zh-CN.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "CITATION.cff",
        "Makefile",
        "constraints.txt",
        ".ci/run",
    ):
        assert (ROOT / name).is_file(), name
        assert (ROOT / name).stat().st_size > 100, name
