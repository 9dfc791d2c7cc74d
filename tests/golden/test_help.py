"""The shipped `--help` is typer's. BACKBONES_REGENERATE=1 writes it anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from backbones.cli import main


def typers(columns: int) -> str:
    from backbones.cli.app import app

    found = CliRunner().invoke(
        app,
        ["--help"],
        prog_name="backbones",
        env={"COLUMNS": str(columns)},
        catch_exceptions=False,
    )
    return found.output


def test_the_shipped_help_is_typers() -> None:
    text = typers(80)
    if os.environ.get("BACKBONES_REGENERATE"):
        main.HELP.write_text(text, encoding="utf-8")
    assert main.HELP.read_text(encoding="utf-8") == text == typers(200), (
        "a verb changed: BACKBONES_REGENERATE=1 pytest tests/golden"
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_a_wide_terminal_gets_it_without_typer(flag: str) -> None:
    code = (
        "import sys\nfrom backbones.cli.main import run\n"
        f"run([{flag!r}])\nsys.exit('typer' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.decode()) == (0, main.HELP.read_text(encoding="utf-8"))


def test_a_narrow_terminal_gets_typers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = subprocess.run(
        [sys.executable, "-m", "backbones", "--help"], capture_output=True, text=True, check=True
    )
    assert max(len(line) for line in done.stdout.splitlines()) <= 60
    assert "Commands:" in done.stdout
