"""A mistake in the words of a command is told in one line, with what was meant; and the help."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from backbones.cli.app import VERBS, app_for
from backbones.cli.command import PANELS


def leaves() -> Iterator[tuple[str, ...]]:
    """Every verb, and the verbs of verbs."""
    for verb in (verb for verbs in VERBS.values() for verb in verbs):
        root: Any = typer.main.get_command(app_for([verb]))
        inner = getattr(root.commands[verb], "commands", None)
        yield from [(verb, name) for name in inner] if inner else [(verb,)]


EVERY = list(leaves())


def command(*verb: str) -> Any:
    found: Any = typer.main.get_command(app_for(verb))
    for name in verb:
        found = found.commands[name]
    return found


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_an_option_that_does_not_exist_is_one_line(backbones, verb: tuple[str, ...]) -> None:
    answer = backbones(*verb, "--jsno")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: `backbones {' '.join(verb)}` has no option --jsno.")
    assert len(answer.err.splitlines()) == 1
    names = [name for each in command(*verb).params for name in each.opts]
    assert ("--json" in answer.err) == ("--json" in names)


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_a_wrong_value_is_one_line_without_names_of_libraries(backbones, verb) -> None:
    for option in command(*verb).params:
        if option.param_type_name == "argument" or option.is_flag:
            continue
        name = max(option.opts, key=len)
        answers = [backbones(*verb, name)]
        assert f"error: {name} needs a value: expected {name} " in answers[0].err
        if option.type_descriptor.is_choice or option.type_descriptor.annotation in (int, float):
            answers.append(backbones(*verb, name, "wrong"))
            assert f"error: {name} is 'wrong', expected " in answers[1].err
        for answer in answers:
            assert answer.code == 2
            assert len(answer.err.splitlines()) == 1
            assert not any(word in answer.err for word in ("Input should", "Value error", "Usage"))


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_an_argument_that_is_missing_or_too_much_is_one_line(backbones, verb) -> None:
    parameters = command(*verb).params
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    if any(each.required for each in parameters):
        answer = backbones(*verb)
        assert answer.code == 2
        needed = [each.metavar or "" for each in arguments] + ["--out"]
        said = answer.err.removeprefix(f"error: `backbones {' '.join(verb)}` needs ")
        assert said.partition(":")[0] in [each.rstrip(".") for each in needed]
        assert len(answer.err.splitlines()) == 1
    if all(each.nargs == 1 for each in arguments):
        wanted = ["--out", "x"] if any("--out" in each.opts for each in parameters) else []
        answer = backbones(*verb, *wanted, *["x"] * (len(arguments) + 1))
        assert answer.code == 2
        assert "error: unexpected argument 'x': expected backbones" in answer.err
        assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "there is no `backbones trian`. Did you mean train?"),
        ("val", "Did you mean backbones evaluate?"),
        ("frobnicate", "`backbones -h` lists all"),
        ("weights fetch", "Did you mean backbones weights get?"),
        ("weights verfy", "Did you mean verify?"),
        ("--verison", "`backbones` has no option --verison. Did you mean --version?"),
        ("train photos --fold 3", "Did you mean --folds"),
        ("train photos --pretrained", "--recipe finetune starts from public weights"),
        ("train photos --amp", "--precision bf16"),
        ("train photos --workers 4", "--set workers=N"),
        ("train photos save=True", "the run folder keeps the best and the last weights"),
        ("train photos model=vgg16", "unexpected argument 'model=vgg16': write --model vgg16"),
        ("train photos momentum=0.9", "--set optimizer.momentum=X"),
        ("train data=photos", "'data=photos' has a name before it: write photos"),
        ("train photos ema=0.9", "write --set ema=0.9"),
        ("predict a b --workers 4", "`backbones predict -h` lists all"),
        ("inspect vgg16 --depth 0", "--depth is '0', expected 1 or more"),
        ("predict a b --lang e", "--lang is 'e', expected en, zh or both. Did you mean en?"),
        ("inspect vgg16 --json=yes", "--json takes no value: expected --json alone"),
    ],
)
def test_a_mistake_names_what_was_meant(backbones, words: str, said: str) -> None:
    answer = backbones(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("predict a b --weights c", "predict a b --also c"),
        ("features a b --tap relu1", "features a b --layer relu1"),
        ("weights convert a --variant vgg16 -o b", "weights convert a --model vgg16 -o b"),
        ("stylize a b --network vgg16 -o c", "stylize a b --model vgg16 -o c"),
        ("inspect a --batch=3", "inspect a --batch-size 3"),
        ("train a --imgsz 64 --learning-rate 0.1", "train a --image-size 64 --lr 0.1"),
        ("train a --batch 8 --output runs/a", "train a -b 8 -o runs/a"),
    ],
)
def test_what_options_were_called_and_are_called_elsewhere(old: str, new: str) -> None:
    def read(line: str) -> dict[str, Any]:
        words = line.split()
        verb = words[:2] if words[0] == "weights" else words[:1]
        return command(*verb).make_context(verb[-1], words[len(verb) :]).params

    assert read(old) == read(new)


def test_every_verb_has_the_options_that_it_should() -> None:
    """One thing is called one thing: the same letters and the same words everywhere."""
    prints_no_result = {("draw",), ("recipe", "dump"), ("serve",), ("playground",)}
    for verb in EVERY:
        options = {name: each for each in command(*verb).params for name in each.opts}
        assert ("-o" in options) == ("--out" in options), verb
        assert ("-b" in options) == ("--batch-size" in options), verb
        assert ("-q" in options) == ("--quiet" in options), verb
        assert ("--json" in options) != (verb in prints_no_result), verb
        assert not {"--network", "--variant", "--tap", "--batch"} & set(options), verb


def test_quiet_leaves_results_and_errors(backbones, photos, trained) -> None:
    loud = backbones("predict", trained, photos)
    for words in (("predict", trained, photos, "-q"), ("-q", "predict", trained, photos)):
        quiet = backbones(*words)
        assert quiet.out == loud.out
        assert "1 of 81 images could not be read" in quiet.err
    assert backbones("recipe", "diff", "vgg", "vgg").err == "vgg and vgg are the same\n"
    assert backbones("-q", "recipe", "diff", "vgg", "vgg").err == ""


def test_results_are_one_json_document(backbones, photos, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ("--epochs", "1", "--lr", "0.01", "-b", "8", "--image-size", "32", "--seed", "3")
    common = (photos, "--model", "vgg_tiny", "--recipe", "scratch", *short, "-q", "--json")
    answer = backbones("train", *common, "--init-from", trained, "-o", "run")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert (found["folder"], found["split"]) == ("run", "test")
    assert 0 <= found["evaluation"]["top1_error_percent"] <= 100
    kept = json.loads((tmp_path / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert (kept["length"], kept["batch_size"], kept["seed"]) == ("1epochs", 8, 3)
    assert (kept["optimizer"]["lr"], kept["input"]["size"]) == (0.01, 32)
    folds = json.loads(backbones("train", *common, "--folds", "2", "-o", "folds").out)
    assert folds["out_of_fold"]["num_samples"] == 80
    image = photos / "disc" / "00.jpg"
    (row,) = backbones("predict", trained, image, "--json").out.splitlines()
    assert json.loads(row)["predictions"]
    assert json.loads(backbones("features", trained, image, "--json").out)["rows"] == 1
    (row,) = json.loads(backbones("explain", trained, image, "--json").out)
    assert row["maps"]
    wanted = (image, image, "--weights", trained, "--size", "48", "--steps", "1", "-o", "a.png")
    answer = backbones("stylize", *wanted, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["out"] == "a.png"
    assert json.loads(backbones("recipe", "show", "vgg", "--json").out)["name"] == "vgg"


def test_no_words_at_all_get_the_help_and_are_wrong_use(backbones) -> None:
    for words in ((), ("weights",), ("data",)):
        answer = backbones(*words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == backbones(*words, "-h").out


@pytest.mark.parametrize("words", ["-V", "--version"])
def test_the_version_has_a_short_name(backbones, words: str) -> None:
    from backbones import __version__

    assert backbones(words).out == f"backbones {__version__}\n"


def test_the_table_of_verbs_says_what_their_modules_say() -> None:
    for verbs in VERBS.values():
        for verb, said in verbs.items():
            assert command(verb).get_short_help_str(200) == said


def test_the_help_groups_every_verb_and_says_what_each_does(backbones, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = backbones("--help").out
    assert [line[:-1] for line in shown.splitlines() if line[:1].isalpha() and line[-1] == ":"] == [
        *PANELS,
        "Options",
    ]
    for verbs in VERBS.values():
        for verb in verbs:
            (line,) = [line for line in shown.splitlines() if line.split()[:1] == [verb]]
            assert line.endswith("."), "the summary is cut or takes two lines"
    assert backbones("help", "train").out == backbones("train", "--help").out


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_help_fits_a_terminal_and_its_examples_can_be_copied(backbones, monkeypatch, verb) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = backbones(*verb, "-h").out
    assert max(map(len, shown.splitlines())) <= 80
    assert "Options:" in shown
    for line in shown.partition("\nExamples:\n")[2].splitlines():
        words = shlex.split(line, comments=True)
        assert words[: len(verb) + 1] == ["backbones", *verb]
        words = words[: words.index(">")] if ">" in words else words
        command(*verb).make_context(verb[-1], words[len(verb) + 1 :])


def test_shells_complete_verbs_options_and_choices() -> None:
    def completed(line: str) -> list[str]:
        asked = {
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
            "_BACKBONES_COMPLETE": "complete_bash",
        }
        done = subprocess.run(
            [sys.executable, "-m", "backbones"],
            env={**os.environ, **asked}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()

    assert sorted(completed("backbones e")) == ["engines", "evaluate", "explain", "export"]
    assert completed("backbones weights v") == ["verify"]
    assert completed("backbones train --fo") == ["--folds"]
    assert completed("backbones predict --lang ") == ["en", "zh", "both"]
    assert completed("backbones predict a b --protocol vgg/dense_m") == [
        *("vgg/dense_multiscale", "vgg/dense_multiscale_fixed")
    ]
    assert completed("backbones inspect vgg16_1") == ["vgg16_1x1", "vgg16_1x1_bn"]
    assert completed("backbones train a --recipe cats") == ["cats_dogs", "cats_dogs_frozen"]
    assert completed("backbones predict lenet5.d") == ["lenet5.digits"]
    done = subprocess.run(
        [sys.executable, "-m", "backbones", "--show-completion", "bash"],
        # whatever shell the tests were started from
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "complete -o default -F _backbones_completion backbones" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("module", ["backbones.cli.main", "typer", "backbones.cli.app"])
def test_ctrl_c_while_everything_is_imported_is_one_line(module: str) -> None:
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shut off where this runs with "&"
class Asks:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Asks())
import backbones.__main__
sys.argv = ["backbones", "--help"]
backbones.__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
