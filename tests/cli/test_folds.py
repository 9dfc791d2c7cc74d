"""`train --folds`: K runs, one table, answers out of fold; and all K as one network."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backbones.api.prediction import predict
from backbones.api.training import resume_folds, train, train_folds
from backbones.classifier.evaluation import evaluate as evaluate_split
from backbones.errors import BadData, WrongUse
from backbones.training.data import folds_for
from backbones.training.folds import FoldsFolder
from backbones.weights.opening import open_bundle
from backbones.workflows.folds import FoldsTraining

SETTINGS = ("model=lenet5_tiny", "optimizer.lr=0.02", "checkpoint_every=1steps")


def begin(out: Path, **options) -> FoldsTraining:
    return train_folds("digits", folds=3, settings=SETTINGS, smoke_run=True, out=out, **options)


def start(training: FoldsTraining) -> None:
    """Make the folder, and train nothing."""
    runs = iter(training)
    next(runs)
    runs.close()


def finish(training: FoldsTraining) -> None:
    for run in training:
        for _ in run:
            pass


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished folds of the digits."""
    out = tmp_path_factory.mktemp("folds") / "three"
    finish(begin(out))
    return out


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Path]:
    """A few digits as files, 1.png to 5.png, and one that is broken."""
    from PIL import Image

    from backbones.data.sets import open_data

    array = open_data("digits").splits["test"].images.array  # type: ignore[union-attr]
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 6):
        Image.fromarray(array[number, :, :, 0]).save(folder / f"{number}.png")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_fold_is_a_run_and_the_table_is_whole(folds: Path) -> None:
    facts = json.loads((folds / "folds.json").read_text())
    assert [each["fold"] for each in facts["folds"]] == [1, 2, 3]
    for fold in (1, 2, 3):
        assert (folds / f"fold-{fold}" / "best.safetensors").is_file()
        recipe = open_bundle(folds / f"fold-{fold}").recipe
        assert recipe is not None
        assert (recipe["folds"], recipe["fold"]) == (3, fold)
    errors = [each["top1_error_percent"] for each in facts["folds"]]
    assert facts["mean_top1_error_percent"] == pytest.approx(np.mean(errors))
    assert facts["sd_top1_error_percent"] == pytest.approx(np.std(errors, ddof=1))
    assert facts["out_of_fold"]["num_samples"] == 24
    assert facts["out_of_fold"]["top1_error_percent"] == pytest.approx(np.mean(errors))
    assert facts["test"]["num_samples"] == 24


def test_out_of_fold_answers_are_those_of_the_network_that_never_saw_the_image(
    folds: Path,
) -> None:
    rows = table(folds / "out_of_fold.csv")
    folds_made = folds_for(FoldsFolder.open(folds).recipe, "digits")
    names = [folds_made.pool.images.name(place) for place in range(len(folds_made.pool))]
    assert [row["path"] for row in rows] == names
    assert [int(row["fold"]) for row in rows] == folds_made.numbers.tolist()
    losses = []
    for fold in (1, 2, 3):
        kept = open_bundle(folds / f"fold-{fold}")
        held_out = folds_made.held_out(fold).splits["val"]
        found = evaluate_split(kept.build(), held_out, kept.spec, classes=kept.classes)
        own = [row for row in rows if int(row["fold"]) == fold]
        assert len(own) == len(held_out) == found.report.num_samples
        wrong = sum(row["predicted"] != row["label"] for row in own)
        assert 100 * wrong / len(own) == pytest.approx(found.report.top1_error_percent)
        loss = [-math.log(float(row[f"probability_{row['label']}"])) for row in own]
        assert np.mean(loss) == pytest.approx(found.report.loss, rel=1e-6)
        losses += loss
    facts = json.loads((folds / "folds.json").read_text())
    assert facts["out_of_fold"]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    shares = [[float(row[f"probability_{digit}"]) for digit in range(10)] for row in rows]
    assert np.sum(shares, axis=1) == pytest.approx(1, abs=1e-5)


def same(one: Path, other: Path) -> None:
    """The files that a run promises, byte for byte."""
    names = ("best.safetensors", "last.safetensors", "metrics.jsonl", "out_of_fold.csv")
    for fold in (1, 2, 3):
        for name in names:
            left, right = (folder / f"fold-{fold}" / name for folder in (one, other))
            assert left.read_bytes() == right.read_bytes(), f"fold {fold}: {name}"
    assert (one / "out_of_fold.csv").read_bytes() == (other / "out_of_fold.csv").read_bytes()
    facts = [json.loads((folder / "folds.json").read_text()) for folder in (one, other)]
    assert facts[0]["folds"] == facts[1]["folds"]
    assert facts[0]["out_of_fold"] == facts[1]["out_of_fold"]


@pytest.mark.our_rounding
def test_killed_by_the_machine_and_resumed_ends_in_the_same_bits(
    backbones, folds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    command = ["-m", "backbones", "train", "digits", "--folds", "3", "--smoke", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *command, *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    deadline = time.monotonic() + 600
    while not (out / "fold-2" / "checkpoint.safetensors").exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (out / "fold-1" / "best.safetensors").stat().st_mtime_ns
    answer = backbones("evaluate", out, "digits")
    assert answer.code == 2
    assert "of which 2, 3 are not finished; go on with" in answer.err
    answer = backbones("train", "--resume", out)
    assert answer.code == 0, answer.err
    assert "out of fold" in answer.out
    assert "fold 1 of 3 is finished already, and kept" in answer.err
    assert (out / "fold-1" / "best.safetensors").stat().st_mtime_ns == before
    same(folds, out)


def test_one_fold_alone_is_the_same_run(folds: Path, tmp_path: Path) -> None:
    settings = (*SETTINGS, "folds=3", "fold=2")
    for _ in train("digits", settings=settings, smoke_run=True, out=tmp_path / "two"):
        pass
    name = "best.safetensors"
    assert (tmp_path / "two" / name).read_bytes() == (folds / "fold-2" / name).read_bytes()


def test_resume_of_finished_folds_changes_nothing(folds: Path) -> None:
    before = {path: path.read_bytes() for path in folds.rglob("*.safetensors")}
    training = resume_folds(folds)
    assert list(training) == []
    assert training.finished is not None
    assert before == {path: path.read_bytes() for path in folds.rglob("*.safetensors")}


# --- all folds as one network -------------------------------------------------------------------


def test_the_folder_answers_with_the_mean_of_its_networks(folds: Path, images: Path) -> None:
    alone = [list(predict(folds / f"fold-{fold}", images, top=None)) for fold in (1, 2, 3)]
    for together in (folds, [folds / f"fold-{fold}" for fold in (1, 2, 3)]):
        found = list(predict(together, images, top=None))
        assert len(found) == 5
        for place, each in enumerate(found):
            ours = {guess.name: guess.probability for guess in each.predictions}
            for name, share in ours.items():
                theirs = [
                    guess.probability
                    for one in alone
                    for guess in one[place].predictions
                    if guess.name == name
                ]
                assert share == pytest.approx(np.mean(theirs), rel=1e-5)


def test_evaluate_takes_the_folder_as_it_takes_the_runs(backbones, folds: Path) -> None:
    runs = [folds / f"fold-{fold}" for fold in (1, 2, 3)]
    whole = json.loads(backbones("evaluate", folds, "digits", "--json").out)
    each = json.loads(backbones("evaluate", *runs, "digits", "--json").out)
    assert whole["models"] == each["models"] == [str(run) for run in runs]
    assert (whole["num_samples"], whole["loss"]) == (359, each["loss"])


def test_views_of_a_protocol(backbones, trained: Path, photos: Path) -> None:
    from backbones.data.source import FileImages, Split

    image = photos / "disc" / "00.jpg"
    answer = backbones("predict", trained, image, "--protocol", "ten_crop", "--format", "json")
    guesses = json.loads(answer.out)["predictions"]
    kept = open_bundle(trained)
    images = FileImages(photos, ("disc/00.jpg",))
    split = Split("test", kept.classes, np.array([kept.classes.index("disc")]), images)
    found = evaluate_split(kept.build(), split, kept.spec, "ten_crop", classes=kept.classes)
    share = {guess["name"]: guess["probability"] for guess in guesses}["disc"]
    assert -math.log(share) == pytest.approx(found.report.loss, abs=1e-5)
    single = backbones("predict", trained, image, "--format", "json").out
    assert single != answer.out


def test_a_broken_image_among_several_networks_has_its_reason(
    backbones, folds: Path, images: Path
) -> None:
    (images / "3.png").write_bytes(b"")
    answer = backbones("predict", folds, images, "--format", "json")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert [("error" in row) for row in rows] == [False, False, True, False, False]
    assert rows[2]["error"] == "the file is empty"
    assert "1 of 5 images could not be read" in answer.err


def test_images_are_drawn_with_the_answers_of_all(
    backbones, folds: Path, images: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    assert backbones("predict", folds, images, "--pictures", page).code == 0
    assert {path.name for path in page.iterdir()} >= {"index.html", "1.jpg", "5.jpg"}


def test_an_archive_is_read_by_all_networks(
    backbones, folds: Path, images: Path, tmp_path: Path
) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "test"), "zip", images)
    options = ("--format", "csv", "--batch-size", "1")  # so that there is more than one chunk
    zipped = table_of(backbones("predict", folds, archive, *options).out)
    plain = table_of(backbones("predict", folds, images, *options).out)
    assert len(zipped) == len(plain) == 6

    def by_name(rows: list[list[str]]) -> list[list[str]]:
        return sorted([Path(path).name, *cells] for path, *cells in rows[1:])

    assert by_name(zipped) == by_name(plain)


def table_of(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def test_a_submission_from_the_folds(backbones, folds: Path, images: Path, tmp_path: Path) -> None:
    sample, out = tmp_path / "sample.csv", tmp_path / "out.csv"
    columns = ",".join(map(str, range(10)))
    sample.write_text(f"id,{columns}\n4,{'0,' * 9}0\n2,{'0,' * 9}0\n")
    answer = backbones(
        *("predict", folds, images, "--submission", out, "--template", sample),
        *("--clip", "0.099"),
    )
    assert answer.code == 0, answer.err
    assert "no row of the template asks for 3 images" in answer.err
    rows = table(out)
    assert [row["id"] for row in rows] == ["4", "2"]
    best = {each.path: each for each in predict(folds, images, top=None)}
    for row in rows:
        for guess in best[str(images / f"{row['id']}.png")].predictions:
            wanted = min(max(guess.probability, 0.099), 0.901)
            assert float(row[guess.name]) == pytest.approx(wanted, rel=1e-4)
    sample.write_text("id,label\n4,0\n99,0\n")
    answer = backbones("predict", folds, images, "--submission", out, "--template", sample)
    assert answer.code == 1
    assert "99 (no such image)" in answer.err
    assert [row["id"] for row in table(tmp_path / "out.partial.csv")] == ["4"]


# --- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("train", "digits", "--folds", "1"), 2, "--folds is '1', expected 2 or more"),
        (("train", "digits", "--folds", "0"), 2, "--folds is '0', expected 2 or more"),
        (("train", "digits", "--folds", "300"), 2, "too few for 300 folds"),
        (("train", "digits", "--folds", "3", "--out", "{folds}"), 2, "holds the runs of folds"),
        (("train", "digits", "--out", "{folds}"), 2, "holds the runs of folds"),
        (("train", "digits", "--folds", "3", "--out", "{folds}/fold-1"), 2, "holds a run already"),
        (("train", "--resume", "{folds}", "--folds", "4"), 2, "give no other option"),
        (("evaluate", "{folds}", "digits", "--split", "val"), 2, "each fold held out other"),
        (("explain", "{folds}", "{images}/1.png"), 2, "name one of them"),
        (("predict", "{folds}", "{images}", "--clip", "0.1"), 2, "are for --submission"),
        (
            ("predict", "{folds}", "{images}", "--submission", "x.csv", "--clip", "0.1"),
            2,
            "say which: --probability-of",
        ),
        (
            ("predict", "{folds}", "{images}", "--submission", "x.csv", "--out", "y.csv"),
            2,
            "omit --out",
        ),
        (("predict", "{folds}", "{images}", "--protocol", "tencrop"), 2, "no protocol"),
        (("predict", "{folds}", "{images}", "--also", "{trained}"), 1, "has 2 classes"),
    ],
)
def test_mistakes_are_told_in_one_line(
    backbones, folds: Path, images: Path, trained: Path, arguments, code: int, said: str
) -> None:
    places = {"folds": folds, "images": images, "trained": trained}
    answer = backbones(*(word.format(**places) for word in arguments))
    assert answer.code == code
    assert said in answer.err
    assert answer.err.strip().splitlines()[-1].startswith("error: ")
    assert not Path("x.csv").exists()


def test_one_run_cannot_be_trained_by_a_recipe_of_many() -> None:
    with pytest.raises(WrongUse, match="call train_folds"):
        train("digits", settings=["folds=3"])
    with pytest.raises(WrongUse, match="for fold 2 alone"):
        train_folds("digits", folds=3, settings=["fold=2"])
    with pytest.raises(WrongUse, match="say how many"):
        train_folds("digits")


def test_a_run_that_was_passed_over_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="fold 1 was not trained to its end"):
        list(begin(tmp_path / "runs"))


def test_another_run_in_the_place_of_a_fold_is_refused(folds: Path, tmp_path: Path) -> None:
    import shutil

    start(begin(tmp_path / "runs"))
    shutil.copytree(folds / "fold-2", tmp_path / "runs" / "fold-1")
    with pytest.raises(WrongUse, match=r"is another run than fold 1 of"):
        finish(resume_folds(tmp_path / "runs"))


def test_other_data_is_refused(tmp_path: Path, photos: Path) -> None:
    start(begin(tmp_path / "runs"))
    with pytest.raises(WrongUse, match="the data is not what the run began with"):
        resume_folds(tmp_path / "runs", data=photos)
    (tmp_path / "runs" / "folds.json").write_text("{}")
    with pytest.raises(BadData, match="not as it was written"):
        resume_folds(tmp_path / "runs")


def test_a_stopped_fold_says_how_to_go_on_with_all(tmp_path: Path) -> None:
    from backbones.cli.folds import follow_folds
    from backbones.errors import Interrupted

    out = tmp_path / "runs"

    def stop(run) -> None:
        raise Interrupted(f"stopped; go on with: backbones train --resume {run.folder}")

    with pytest.raises(Interrupted) as caught:
        follow_folds(begin(out), stop)
    assert str(caught.value).endswith(f"--resume {out}")
