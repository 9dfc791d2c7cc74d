"""Whatever a console can show, and however it is closed: no traceback after the work is done."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import Answer

Run = Callable[..., Answer]


def run_with(
    monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str | Path
) -> tuple[int, bytes, bytes]:
    """The exit code and the bytes on both streams of another encoding."""
    from backbones.cli import console
    from backbones.cli.main import main

    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(sys, "argv", ["backbones", *map(str, arguments)])
    console.err.cache_clear()
    console.out.cache_clear()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    for stream in streams:
        stream.flush()
    monkeypatch.undo()
    console.err.cache_clear()
    console.out.cache_clear()
    out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    return code, out, err


def few(folder: Path, *names: str) -> Path:
    """A class of three images for each name."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk"])
def test_a_console_of_another_alphabet_gets_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    data = few(tmp_path / "data", "猫🐱", "dog")
    for arguments in (
        ("data", "check", data),
        ("list", "labels", "mnist"),
        ("predict", "lenet5.digits", data / "猫🐱", "--lang", "zh"),
        ("predict", "lenet5.digits", data / "猫🐱", "--format", "csv", "--lang", "zh"),
    ):
        code, out, err = run_with(monkeypatch, encoding, *arguments)
        assert code == 0, err
        assert b"Traceback" not in err
        assert rb"\U0001f431" in out + err or encoding == "gbk" or "list" in arguments
    code, out, _ = run_with(monkeypatch, encoding, "data", "check", data, "--json")
    assert code == 0
    json.loads(out.decode(encoding).replace("\\U", "\\\\U"))
    code, _, err = run_with(monkeypatch, encoding, "data", "check", data / "没有")
    assert code == 2
    assert err.startswith(b"error: ")
    assert len(err.splitlines()) == 1


def test_escape_sequences_in_names_do_not_reach_the_terminal(
    tmp_path: Path, backbones: Run
) -> None:
    data = few(tmp_path / "data", "\x1b[2Jred", "dog")
    (data / "dog" / "bad\x1b]0;t\x07.png").write_bytes(b"\x89PNG")
    for arguments in (
        ("data", "check", data),
        ("predict", "lenet5.digits", data),
        ("explain", "lenet5.digits", data, "--out", tmp_path / "why"),
        ("data", "check", data / "\x1b[31mnone"),
    ):
        answer = backbones(*arguments)
        assert "\\x1b" in answer.out + answer.err
        assert "\x1b" not in answer.out + answer.err


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_names_that_are_not_utf8_go_the_whole_way(tmp_path: Path, backbones: Run) -> None:
    """A class folder and images named in another encoding: train, evaluate, predict, explain."""
    rng = np.random.default_rng(0)
    for place, name in enumerate((b"chat_\xe9t\xe9", b"\xb0\xae")):
        folder = tmp_path / "data" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 100 + 150 * place, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / os.fsdecode(b"\xe9%d.png" % number))
    data, run = tmp_path / "data", tmp_path / "run"
    sized = ("--set", "input.size=32", "--set", "input.resize=36", "--set", "workers=0")
    smoked = ("--set", "length=1epochs", "--set", "batch_size=4", "--set", "cache=true")
    asked = ("--model", "resnet_tiny", "--recipe", "scratch", *sized, *smoked, "--out", run)
    answer = backbones("train", data, *asked)
    assert answer.code == 0, answer.err
    assert backbones("train", "--resume", run).code == 0
    answer = backbones("evaluate", run, data, "--out", tmp_path / "found")
    assert answer.code == 0, answer.err
    json.loads((tmp_path / "found" / "evaluation.json").read_text(encoding="utf-8"))
    for format in ("text", "json", "csv", "parquet", "submission"):
        out = tmp_path / f"out.{format}"
        answer = backbones(
            *("predict", run, data / os.fsdecode(b"\xb0\xae"), "--format", format, "--out", out),
            *("--pictures", tmp_path / format),
        )
        assert answer.code == 0, answer.err
        assert os.fsdecode(b"\xe90.jpg") in os.listdir(tmp_path / format)
        (tmp_path / format / "index.html").read_text(encoding="utf-8")
    assert b"\xe90.png" in (tmp_path / "out.csv").read_bytes()
    first = json.loads((tmp_path / "out.json").read_text(encoding="utf-8").splitlines()[0])
    assert Path(first["path"]).is_file()
    answer = backbones("explain", run, data, "--out", tmp_path / "why")
    assert answer.code == 0, answer.err
    answer = backbones("features", run, data, "--out", tmp_path / "features.npz")
    assert answer.code == 0, answer.err


def test_a_name_of_255_bytes_does_not_stop_the_others(tmp_path: Path, backbones: Run) -> None:
    (tmp_path / "data").mkdir()
    for name in ("猫" * 83 + "aa.png", "猫" * 83 + "bb.png", "short.png"):
        Image.new("L", (28, 28)).save(tmp_path / "data" / name)
    for verb in ("predict", "explain"):
        option = "--pictures" if verb == "predict" else "--out"
        answer = backbones(verb, "lenet5.digits", tmp_path / "data", option, tmp_path / verb)
        assert answer.code == 0, answer.err
        drawn = [file for file in (tmp_path / verb).iterdir() if file.suffix in (".jpg", ".png")]
        assert len(drawn) == 3


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `backbones memory` raise."""
    from backbones.api import inspection

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(inspection, "inspect", fail)


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), RecursionError("too deep"), UnicodeError("no"), RuntimeError("a\nb" * 500)],
)
def test_what_nobody_expected_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backbones: Run, error: Exception
) -> None:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path))
    failing(monkeypatch, error)
    answer = backbones("inspect", "lenet5")
    assert answer.code == 1
    assert answer.err.startswith(f"error: internal error ({type(error).__name__}")
    assert len(answer.err.splitlines()) == 1
    (file,) = (tmp_path / "errors").iterdir()
    assert str(file) in answer.err
    told = file.read_text(encoding="utf-8")
    assert "Traceback" in told
    assert "backbones 'inspect' 'lenet5'" in told
    monkeypatch.setenv("BACKBONES_TRACEBACK", "1")
    with pytest.raises(type(error)):
        backbones("inspect", "lenet5")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:113] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_too_little_memory_is_called_so(
    monkeypatch: pytest.MonkeyPatch, backbones: Run, error: Exception
) -> None:
    failing(monkeypatch, error)
    answer = backbones("inspect", "lenet5")
    assert answer.code == 1
    assert "more memory than there is" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, backbones: Run) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    answer = backbones("inspect", "lenet5")
    assert answer.code == 130


@pytest.mark.skipif(os.name != "posix", reason="pipes that break")
@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "labels", "imagenet"),
        ("weights", "list"),
        ("recipe", "dump", "vgg"),
        ("list", "--json"),
    ],
)
def test_a_reader_that_goes_away_is_no_failure(arguments: tuple[str, ...]) -> None:
    code = "from backbones.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    code = "from backbones.cli.main import main; main()"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "list", "recipes"],
            stdout=full, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize(
    ("verb", "names"),
    [
        (("list", "ledger"), "resnet/cifar_degradation"),
        (("evaluate", "--protocol", "list"), "vgg/dense_multiscale_fixed"),
        (("weights", "list", "mobilenet"), "mobilenet_v1_075.keras_in1k 0.9082"),
        (("list", "vgg*"), "vgg11_bn_nobias 132,866,088"),
    ],
)
def test_a_narrow_terminal_cuts_no_name_and_no_number(backbones: Run, width, verb, names) -> None:
    """Whole columns give way instead, and are named."""
    from rich.console import Console

    from backbones.cli.console import table_for

    lines = backbones(*verb).out.splitlines()
    cells = [line.split("\t") for line in lines if "\t" in line]
    columns = cells[0]
    rows = [row for row in cells if row != columns and len(row) == len(columns)]
    table, hidden = table_for(columns, rows, (), width)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    for name in names.split()[: 2 if width > 60 else 1]:
        assert name in shown
    assert len(hidden) + len(table.columns) == len(columns)
    assert not hidden or width < 140


@pytest.mark.parametrize("quiet", [False, True])
def test_a_verb_without_a_bar_for_it_says_what_it_downloads(
    quiet: bool, site: Any, tmp_path: Path
) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "backbones", *["-q"] * quiet, "data", "check", "mnist"],
        env={**os.environ, "BACKBONES_MIRROR": site.base, "BACKBONES_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    lines = said.stderr.splitlines()
    note = f"downloading train-images-idx3-ubyte.gz from {site.base}/mnist/train-images"
    assert lines[0].startswith("error: " if quiet else note)
    assert lines[-1].startswith(f"error: {site.base}/mnist/train-images-idx3-ubyte.gz cannot be")
