"""The names that other people's code may rely on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import backbones

ROOT = Path(__file__).parents[2]


def test_every_public_name_exists_and_is_documented() -> None:
    for name in backbones.__all__:
        value = getattr(backbones, name)
        assert name == "__version__" or value.__doc__, name


def test_version_is_the_package_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert backbones.__version__ == project["version"]
    assert f"[{backbones.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {backbones.__version__}" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, backbones; dir(backbones); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
