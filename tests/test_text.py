"""Text comes in from any system and goes out to any other."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backbones.errors import BackbonesError, BadData, NotFound, RecipeError, WrongUse
from backbones.text import (
    decoded,
    name_bytes,
    parse,
    raw_bytes,
    read_document,
    read_text,
    same_name,
    shown,
    spelled,
    to_json,
)

ODD = ("plain", "猫", "caf\udce9", "half \ud800", "\x1b[31m", "é", "e\u0301", "")


def test_names_leave_in_every_form() -> None:
    for text in ODD:
        spelled(text).encode()
        raw_bytes(text)
        json.loads(to_json({text: [text]}).encode())
    assert raw_bytes("caf\udce9") == b"caf\xe9"
    assert len({name_bytes(text) for text in ODD}) == len(ODD)
    assert same_name("e\u0301") == same_name("é")


def test_json_gives_back_what_it_was_given() -> None:
    value = {"path": "猫/caf\udce9", "\udce9": 1}
    assert json.loads(to_json(value)) == value
    assert "猫" in to_json(value)


def test_json_never_says_nan() -> None:
    nan, infinite = float("nan"), float("-inf")
    text = to_json({"a": nan, "b": [1.5, (infinite, "NaN")], "c": {"d": nan}}, indent=2)
    assert json.loads(text) == {"a": None, "b": [1.5, [None, "NaN"]], "c": {"d": None}}


def test_nothing_reaches_a_terminal_that_it_would_obey() -> None:
    assert shown("\x1b]0;title\x07\r\x9b2J\u202e猫\n") == (
        "\\x1b]0;title\\x07\\r\\x9b2J\\u202e猫\\n"
    )
    assert shown("a\tb\nc", keep="\n\t") == "a\tb\nc"


@pytest.mark.parametrize(
    "data",
    [
        "猫,1\n".encode(),
        "猫,1\n".encode("utf-8-sig"),
        "猫,1\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "猫,1\n".encode("utf-16-be"),
        "猫,1\n".encode("utf-16-le"),
        "猫,1\n".encode("utf-16-be"),
        "猫,1\n".encode("utf-32"),
    ],
)
def test_what_is_sure_is_read(data: bytes) -> None:
    assert decoded(data, "labels.csv") == "猫,1\n"


def test_what_is_not_sure_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "path,label\n1.jpg,狗\n".encode("gbk")
    with pytest.raises(BadData, match="BACKBONES_ENCODING") as raised:
        decoded(data, "labels.csv")
    assert "gbk reads '1.jpg,狗'" in str(raised.value)
    assert "cp1252 reads '1.jpg,¹·'" in str(raised.value)
    monkeypatch.setenv("BACKBONES_ENCODING", "gbk")
    assert decoded(data, "labels.csv").endswith("狗\n")
    assert decoded("猫".encode("gbk"), "labels.csv") == "猫"  # which could be UTF-8 as well
    assert decoded("猫".encode("utf-8-sig"), "labels.csv") == "猫"
    monkeypatch.setenv("BACKBONES_ENCODING", "ascii")
    with pytest.raises(BadData, match="not ascii text"):
        decoded(data, "labels.csv")
    monkeypatch.setenv("BACKBONES_ENCODING", "klingon")
    with pytest.raises(WrongUse, match="no encoding"):
        decoded(data, "labels.csv")


MONSTERS = {
    "deep.json": "[" * 60_000,
    "deeper.json": "[" * 500 + "]" * 500,
    "digits.json": "9" * 5000,
    "large.json": "9" * 400,
    "half.json": r'{"name": "\ud800"}',
    "cut.json": '{"a": ',
    "deep.toml": "a = " + "[" * 60_000 + "]" * 60_000,
    "digits.toml": "a = " + "9" * 5000,
    "deep.yaml": "a: " + "[" * 5000 + "]" * 5000,
    "laughs.yaml": "a: &a [x, x]\n"
    + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "itself.yaml": "&a [*a]",
    "tag.yaml": "!!int",
    "python.yaml": "!!python/object/apply:os.getpid []",
}


@pytest.mark.parametrize("name", MONSTERS)
def test_what_no_program_can_work_with_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(MONSTERS[name])
    with pytest.raises(RecipeError, match=name) as raised:
        read_document(tmp_path / name, RecipeError)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_plain_documents_are_read(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"a": [1]}'), ("a.toml", "a = [1]"), ("a.yml", "a: [1]")):
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text.encode())
        assert read_document(tmp_path / name) == {"a": [1]}
    assert parse(r'"\udce9"', "json", "here") == "\udce9"  # a byte of a file name


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.json"):
        read_text(tmp_path / "none.json")
    with pytest.raises(BadData, match="directory"):
        read_text(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"caf\xe9": 1}')
    with pytest.raises(BadData, match=r"latin\.json is not UTF-8"):
        read_document(tmp_path / "latin.json")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(BadData, match="/dev/zero"):
        read_text(Path("/dev/zero"))


@pytest.mark.skipif(os.name != "posix", reason="homes of POSIX users")
def test_a_home_that_is_nowhere_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    from backbones.data.sets import open_data
    from backbones.download import cache_folder

    def nobody(*_: object) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("BACKBONES_CACHE", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    asked: tuple[Callable[[], object], ...] = (cache_folder, lambda: open_data("~nosuchuser/x"))
    for ask in asked:
        with pytest.raises(BackbonesError, match="home folder"):
            ask()
    monkeypatch.setenv("BACKBONES_CACHE", "~nosuchuser")
    with pytest.raises(WrongUse, match="~nosuchuser"):
        cache_folder()
