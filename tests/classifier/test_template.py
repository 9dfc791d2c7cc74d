"""A competition's template is filled row by row, or the message says what is missing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from backbones.classifier.predictions import Guess, Prediction
from backbones.classifier.template import fill, read_template, submission_for, write_filled
from backbones.classifier.writers import Submission
from backbones.errors import BadData, NotFound, WrongUse

CLASSES = ("cat", "dog")


def said(path: str, dog: float) -> Prediction:
    best = [Guess("dog", dog), Guess("cat", 1 - dog)]
    return Prediction(path, tuple(sorted(best, key=lambda guess: -guess.probability)))


UNDECIDED = Submission()
ANSWERS = (said("test/1.jpg", 0.75), said("test/2.jpg", 0.25), said("test/3.jpg", 1.0))


@pytest.fixture
def template(tmp_path: Path):
    def write(text: str):
        path = tmp_path / "sample.csv"
        path.write_bytes(text.encode())
        return read_template(path)

    return write


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(text.splitlines(), delimiter=delimiter))


def filled(template, wanted: Submission = UNDECIDED, classes=CLASSES, answers=ANSWERS):
    return rows(fill(template, submission_for(template, classes, wanted), answers).text)


# --- what the columns want ----------------------------------------------------------------------


def test_fractions_with_the_class_named(template) -> None:
    sample = template("id,label\n3,0.5\n1,0.5\n")
    wanted = Submission("probability", "dog", clip=0.005)
    assert filled(sample, wanted) == [["id", "label"], ["3", "0.995"], ["1", "0.75"]]


def test_a_column_called_as_a_class(template) -> None:
    assert filled(template("id,dog\n1,0\n2,0\n")) == [["id", "dog"], ["1", "0.75"], ["2", "0.25"]]


def test_a_column_a_class_in_the_template_s_order(template) -> None:
    sample = template("image,dog,cat\n2.jpg,0,0\n1.jpg,0,0\n")
    assert filled(sample) == [
        ["image", "dog", "cat"],
        ["2.jpg", "0.25", "0.75"],
        ["1.jpg", "0.75", "0.25"],
    ]


def test_class_names(template) -> None:
    assert filled(template("id,label\n2,dog\n1,dog\n"))[1:] == [["2", "cat"], ["1", "dog"]]


def test_class_numbers_of_three_classes(template) -> None:
    three = ("ant", "cat", "dog")
    assert filled(template("id,label\n2,0\n1,0\n"), classes=three)[1:] == [["2", "1"], ["1", "2"]]


def test_options_decide(template) -> None:
    sample = template("id,label\n1,0\n")
    assert filled(sample, Submission(class_as="number"))[1] == ["1", "1"]
    assert filled(sample, Submission(class_as="name"))[1] == ["1", "dog"]
    assert filled(sample, Submission("probability", "cat"))[1] == ["1", "0.25"]


def test_names_that_are_their_own_numbers_are_no_riddle(template) -> None:
    digits = tuple(map(str, range(3)))
    answers = [Prediction("a.png", (Guess("2", 0.9), Guess("0", 0.1), Guess("1", 0.0)))]
    sample = template("id,label\na,0\n")
    assert filled(sample, classes=digits, answers=answers)[1] == ["a", "2"]


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("id,label\n1,0.5\n", CLASSES, r"not said; decide with --probability-of cat or dog\."),
        ("id,label\n1,0\n", CLASSES, "class numbers or probabilities; decide with --class-as num"),
        ("id,label\n1,1\n", ("0", "1"), "class names or probabilities"),
        ("id,label\n1,1\n", ("1", "2", "3"), "class names or class numbers"),
        ("id,label\n1,\n", CLASSES, "has nothing: neither"),
        ("id,label\n1,Dog\n", CLASSES, r"'Dog': neither .*Did you mean dog"),
        ("id,label\n1,7\n", CLASSES, "has '7': neither"),
    ],
)
def test_what_wants_a_guess_says_which_option_decides(template, text, classes, message) -> None:
    with pytest.raises(WrongUse, match=message):
        submission_for(template(text), classes, Submission())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,cat,dgo\n1,0,0\n", "'dgo' of .* is no class of the network.* Did you mean dog"),
        ("id,cat,cat\n1,0,0\n", "two columns 'cat'"),
    ],
)
def test_columns_that_are_no_classes(template, text, message) -> None:
    with pytest.raises(BadData, match=message):
        submission_for(template(text), CLASSES, Submission())


def test_a_class_without_a_column(template) -> None:
    with pytest.raises(BadData, match="no column for class 'dog'"):
        submission_for(template("id,ant,cat\n1,0,0\n"), ("ant", "cat", "dog"), Submission())


def test_options_that_do_not_go_together(template) -> None:
    many, one = template("id,cat,dog\n1,0,0\n"), Submission("probability", "dog")
    with pytest.raises(WrongUse, match="2 answer columns"):
        submission_for(many, CLASSES, one)
    with pytest.raises(WrongUse, match="--clip is for probabilities"):
        submission_for(template("id,label\n1,dog\n"), CLASSES, Submission(clip=0.1))
    both = Submission("probability", "dog", class_as="name")
    with pytest.raises(WrongUse, match="exclude each other"):
        submission_for(template("id,label\n1,dog\n"), CLASSES, both)


@pytest.mark.parametrize("clip", [0.0, 0.5, -1, 2])
def test_a_clip_that_is_none(clip: float) -> None:
    with pytest.raises(WrongUse, match="expected above 0 and below"):
        Submission(clip=clip)


# --- ids ----------------------------------------------------------------------------------------


def test_ids_match_names_with_and_without_extension_and_paths(template) -> None:
    answers = (said("z.zip/test/a/1.jpg", 0.75), said("z.zip/test/b/1.jpg", 0.25))
    sample = template("id,label\nb/1,dog\ntest/a/1.jpg,dog\n")
    assert filled(sample, answers=answers)[1:] == [["b/1", "cat"], ["test/a/1.jpg", "dog"]]


def test_an_id_with_a_dot_is_no_extension(template) -> None:
    answers = (said("test/cat.1.jpg", 0.75), said("test/cat.2.jpg", 0.25))
    assert filled(template("id,label\ncat.2,dog\n"), answers=answers)[1:] == [["cat.2", "cat"]]


def test_each_row_without_an_answer_has_its_reason_and_the_rest_goes_beside(
    template, tmp_path: Path
) -> None:
    sample = template("id,label\n9,dog\n2,dog\n7,dog\n1,dog\n")
    answers = (
        *(ANSWERS[0], Prediction("test/2.jpg", error="the file is empty"), ANSWERS[2]),
        *(said("a/7.jpg", 0.5), said("b/7.jpg", 0.5)),
    )
    out = tmp_path / "out.csv"
    with pytest.raises(BadData) as caught:
        write_filled(sample, submission_for(sample, CLASSES, Submission()), answers, out)
    message = str(caught.value)
    assert "3 of the 4 rows" in message
    assert "9 (no such image), 2 (the file is empty), 7 (2 images answer to it" in message
    assert "images without a row: 1" in message
    assert not out.exists()
    partial = tmp_path / "out.partial.csv"
    assert rows(partial.read_text()) == [["id", "label"], ["1", "dog"]]
    done = write_filled(template("id,label\n1,dog\n"), Submission(), ANSWERS, out)
    assert done.extra == ("test/2.jpg", "test/3.jpg")
    assert rows(out.read_text()) == [["id", "label"], ["1", "dog"]]
    assert not partial.exists()


# --- the file -----------------------------------------------------------------------------------


def test_semicolons_and_a_byte_order_mark_stay_readable(template) -> None:
    sample = template('\ufeffid;label\n"1";dog\n\n')
    assert sample.header == ("id", "label")
    found = fill(sample, submission_for(sample, CLASSES, Submission()), ANSWERS)
    assert rows(found.text, ";") == [["id", "label"], ["1", "dog"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 columns and 0 rows"),
        ("id,label\n", "2 columns and 0 rows"),
        ("id\n1\n", "1 columns and 1 rows"),
        ("id,label\n1\n", "1 cells in row 2 and 2 in its header"),
        ("id,label\n1,a\n1,a\n", "asks for '1' more than once"),
    ],
)
def test_templates_that_are_none(template, text: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        template(text)


def test_a_template_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        read_template(tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_bytes(b"id,label\n\xff,1\n")
    with pytest.raises(BadData, match="not UTF-8"):
        read_template(tmp_path / "odd.csv")
