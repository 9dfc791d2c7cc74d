"""Predictions written down: every format reads back."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from backbones.classifier.predictions import Guess, Prediction
from backbones.classifier.writers import FORMATS, Submission, write_predictions
from backbones.errors import BadData, MissingExtra, WrongUse

ANSWERS = (
    Prediction("test/bad.jpg", error="the file is empty"),
    Prediction("test/1.jpg", (Guess("dog", 0.75), Guess("虎斑猫", 0.25))),
    Prediction("test/2, with comma.jpg", (Guess("虎斑猫", 1.0), Guess("dog", 1.5e-9))),
)


def written(format: str, submission: Submission | None = None) -> str:
    stream = io.StringIO()
    write_predictions(ANSWERS, format, stream, submission=submission)
    return stream.getvalue()


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_text_is_for_people() -> None:
    assert written("text") == (
        "test/bad.jpg\n  cannot be read: the file is empty\n"
        "test/1.jpg\n   75.0 %  dog\n   25.0 %  虎斑猫\n"
        "test/2, with comma.jpg\n  100.0 %  虎斑猫\n    0.0 %  dog\n"
    )


def test_json_has_one_object_an_image() -> None:
    bad, first, second = map(json.loads, written("json").splitlines())
    assert bad == {"path": "test/bad.jpg", "error": "the file is empty"}
    assert first == {
        "path": "test/1.jpg",
        "predictions": [
            {"name": "dog", "probability": 0.75},
            {"name": "虎斑猫", "probability": 0.25},
        ],
    }
    assert second["predictions"][1]["probability"] == 1.5e-9


def test_csv_has_one_row_an_image() -> None:
    header, bad, first, second = table(written("csv"))
    assert header == ["path", "error", "name_1", "probability_1", "name_2", "probability_2"]
    assert bad == ["test/bad.jpg", "the file is empty", "", "", "", ""]
    assert first == ["test/1.jpg", "", "dog", "0.75", "虎斑猫", "0.25"]
    assert second[0] == "test/2, with comma.jpg"


def test_csv_without_any_readable_image_still_has_a_header() -> None:
    stream = io.StringIO()
    write_predictions(ANSWERS[:1], "csv", stream)
    assert table(stream.getvalue()) == [
        ["path", "error"],
        ["test/bad.jpg", "the file is empty"],
    ]


def test_parquet_reads_back(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    path = tmp_path / "answers.parquet"
    done = write_predictions(ANSWERS, "parquet", path)
    rows = parquet.read_table(path).to_pylist()
    bad = {"path": "test/bad.jpg", "predictions": [], "error": "the file is empty"}
    assert rows[0] == {**bad, "precision": None}
    assert rows[1]["predictions"][0] == {"name": "dog", "probability": 0.75}
    assert done.num_images == 3


def test_parquet_without_pyarrow_names_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"backbones\[parquet\]"):
        write_predictions(ANSWERS, "parquet", tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def test_submission_of_labels() -> None:
    plain = table(written("submission"))
    assert plain == [["id", "label"], ["1", "dog"], ["2, with comma", "虎斑猫"]]
    coded = Submission(labels=(("dog", "1"), ("虎斑猫", "0")), unreadable="0")
    assert table(written("submission", coded)) == [
        *(["id", "label"], ["1", "1"], ["2, with comma", "0"], ["bad", "0"])
    ]


def test_submission_of_one_class_s_probability() -> None:
    wanted = Submission("probability", class_name="dog", unreadable="0.5")
    assert table(written("submission", wanted)) == [
        *(["id", "label"], ["1", "0.75"], ["2, with comma", "1.5e-09"], ["bad", "0.5"])
    ]
    with pytest.raises(WrongUse, match=r"no probability for 'dgo'.* Did you mean dog"):
        written("submission", Submission("probability", class_name="dgo"))
    with pytest.raises(WrongUse, match="needs the class's name"):
        written("submission", Submission("probability"))


def test_submission_of_all_probabilities() -> None:
    assert table(written("submission", Submission("all", unreadable="0.5"))) == [
        ["id", "dog", "虎斑猫"],
        ["1", "0.75", "0.25"],
        ["2, with comma", "1.5e-09", "1"],
        ["bad", "0.5", "0.5"],
    ]


def test_two_images_of_one_id_are_bad_data() -> None:
    twice = [Prediction(f"{folder}/1.jpg", (Guess("dog", 1.0),)) for folder in "ab"]
    with pytest.raises(BadData, match=r"a/1\.jpg and b/1\.jpg"):
        write_predictions(twice, "submission", io.StringIO())


@pytest.mark.parametrize("format", FORMATS)
def test_failures_are_counted_in_every_format(tmp_path: Path, format: str) -> None:
    done = write_predictions(ANSWERS, format, tmp_path / "out")
    assert done.num_images == 3
    assert done.failures == (("test/bad.jpg", "the file is empty"),)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, format: str) -> None:
    def stopped() -> object:
        yield ANSWERS[1]
        raise KeyboardInterrupt

    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_predictions(stopped(), format, path)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_streams_get_each_answer_as_it_comes() -> None:
    stream = io.StringIO()
    lengths = []

    def watched() -> object:
        for each in ANSWERS:
            lengths.append(len(stream.getvalue()))
            yield each

    write_predictions(watched(), "json", stream)  # type: ignore[arg-type]
    assert lengths == sorted(set(lengths))


def test_a_terminal_of_another_alphabet_is_no_crash() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    write_predictions(ANSWERS, "text", stream)
    assert rb"25.0 %  \u864e" in raw.getvalue()


def test_file_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    odd = Prediction(b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), (Guess("dog", 1.0),))
    for format in FORMATS:
        write_predictions([odd], format, tmp_path / format)
    assert b"caf\xe9.jpg" in (tmp_path / "csv").read_bytes()
    assert json.loads((tmp_path / "json").read_text())["path"] == odd.path


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(WrongUse, match="Did you mean json"):
        written("jsn")
    with pytest.raises(WrongUse, match="name a file"):
        written("parquet")
