"""What is installed with the package: named, pinned, and without known holes."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Extras for environments of their own: a benchmark's, and a converter that wants older packages.
ALONE = {"summaries", "litert"}

# The first release without a hole that a user's file can reach, and the last such hole before it.
MENDED = {
    "torch": ("2.10", "CVE-2026-24747: memory corruption through weights_only"),
    "pillow": ("12.3", "CVE-2026-25990: a PSD writes out of bounds, and five more"),
    "filelock": ("3.20.3", "CVE-2025-68146: a link in the place of a lock is truncated"),
    "pyarrow": ("23.0.1", "CVE-2026-25087: use after free"),
    "scikit-learn": ("1.5", "CVE-2024-5206"),
    "pyyaml": ("5.4", "CVE-2020-14343"),
    "python-multipart": ("0.0.18", "CVE-2024-53981: a form that never begins holds the server"),
}


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras for development included."""
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(line for name, lines in extras.items() if name not in ALONE for line in lines),
    ]
    found = [Requirement(line) for line in wanted]
    return [each for each in found if each.name != PROJECT["name"]]


def test_the_name_is_not_somebody_elses() -> None:
    """`pip install backbones` installs a stranger's code."""
    assert PROJECT["name"] == "classic-backbones"
    assert set(PROJECT["scripts"]) == {"backbones"}
    old = re.compile(r"(install|uv add|pipx)[^\n]*[ \t'\"]backbones(\[|['\"`]|\s|$)")
    for folder in ("src", "docs", "benchmarks", "."):
        paths = (ROOT / folder).glob("*") if folder == "." else (ROOT / folder).rglob("*")
        for path in paths:
            if path.suffix in (".py", ".md", ".toml", ".json", ".cff") or path.name == "Makefile":
                assert not old.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("name", MENDED)
def test_floors_are_above_known_holes(name: str) -> None:
    floor, hole = MENDED[name]
    (wanted,) = [each for each in declared() if canonicalize_name(each.name) == name]
    floors = [Version(s.version) for s in wanted.specifier if s.operator == ">="]
    assert floors, f"{wanted} has no floor"
    assert max(floors) >= Version(floor), f"{wanted} lets {hole} in"
    assert pins()[name] >= Version(floor)


def test_the_pins_resolve_down_to_the_last_dependency() -> None:
    """Each package that the extras reach is pinned, and its pin suits whoever asks for it."""
    pinned, seen = pins(), set()
    waiting = [(requirement, PROJECT["name"]) for requirement in declared()]
    while waiting:
        requirement, asker = waiting.pop()
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{asker} needs {name}, which constraints.txt does not pin"
        assert requirement.specifier.contains(pinned[name], prereleases=True), (
            f"{asker} needs {requirement}, and constraints.txt pins {pinned[name]}"
        )
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        if name == "torchvision":  # its wheels name one build of torch each
            continue
        waiting += [(each, name) for each in needs(requirement)]
    assert len(seen) > 40


def needs(requirement: Requirement) -> list[Requirement]:
    """What an installed package asks for in this environment; nothing where it is not there."""
    try:
        lines = metadata.requires(requirement.name) or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    extras = requirement.extras or {""}
    return [
        each
        for each in found
        if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras)
    ]
