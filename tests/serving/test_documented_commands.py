"""Every line of the documentation about serving works as it is printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from backbones.cli.app import app_for

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/en/do/serving.md")


def lines(page: str, program: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(program)]


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_curl_are_answered(address, images, tmp_path, page) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    (tmp_path / "photo.jpg").write_bytes(images[1])
    shown = lines(page, "curl ")
    assert shown
    for line in shown:
        words = shlex.split(line.replace("http://127.0.0.1:8000", address))
        done = subprocess.run(
            [*words, "--silent", "--show-error", "--fail"],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        said = json.loads(done.stdout)
        assert "error" not in said
        if "/predict" in line:
            assert len(said["images"]) == line.count("photo.jpg")
            assert ("maps" in said["images"][0]) == ("explain" in line)
            assert ("views" in said["images"][0]) == ("protocol" in line)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_are_understood(page) -> None:
    from typer.main import get_command

    shown = lines(page, "backbones serve ")
    assert shown
    for line in shown:
        words = shlex.split(line, comments=True)[1:]
        command = get_command(app_for(words)).commands["serve"]
        assert command.make_context("serve", words[1:]).params["classifiers"]
