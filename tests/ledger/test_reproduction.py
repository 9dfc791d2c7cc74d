"""A row tried from end to end on the digits, broken off, and tried again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from backbones.api.reproduction import ReproductionProgress, reproduce
from backbones.errors import WrongUse
from backbones.ledger.entry import Entry
from backbones.ledger.measured import Measured

SHORT = ("limit=64", "length=2epochs", "batch_size=8")
TWO = Entry.model_validate(
    {
        "id": "lenet/two",
        "claim": "a second training on top of the first is better",
        "source": "a test",
        "data": "digits",
        "runs": 2,
        "arms": [
            {
                "name": "first, small",
                "recipe": "digits",
                "model": "lenet5_tiny",
                "settings": SHORT,
                "printed": [{"top1_error_percent": 1.5, "on": "nothing", "where": "nowhere"}],
            },
            {
                "name": "second",
                "recipe": "digits",
                "model": "lenet5_tiny",
                "settings": SHORT,
                "init_from": "first, small",
                "measures": [{"protocol": "single"}, {"protocol": "ten_crop", "called": "ten"}],
            },
        ],
        "expectations": [{"figure": "second, ten", "is": "lower", "than": "first, small"}],
    }
)


def bundles(folder: Path) -> dict[str, str]:
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "arms").glob("*/last.safetensors"))
    }


def starting_with(name: str, found: dict[str, str]) -> list[str]:
    return [value for key, value in found.items() if key.startswith(name)]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Measured]:
    folder = tmp_path_factory.mktemp("ledger")
    return folder, reproduce(TWO, out=folder).measured


def test_every_figure_has_every_seed(tried: tuple[Path, Measured]) -> None:
    folder, measured = tried
    assert [figure.label for figure in measured.figures] == list(TWO.labels)
    assert TWO.labels == ("first, small", "second, single", "second, ten")
    for figure in measured.figures:
        assert [run.seed for run in figure.runs] == [0, 1]
        assert all(run.num_samples == 359 for run in figure.runs), "the whole test part"
    assert len(bundles(folder)) == 4
    assert all(seconds > 0 for seconds in measured.train_seconds.values())


def test_the_second_arm_begins_with_the_first(tried: tuple[Path, Measured]) -> None:
    folder, _ = tried
    recipe = json.loads(next((folder / "arms").glob("second-seed1-*/recipe.json")).read_text())
    assert "/arms/first-small-seed1-" in recipe["init_from"]
    assert recipe["seed"] == 1


def test_what_was_found_is_written_for_people(tried: tuple[Path, Measured]) -> None:
    folder, measured = tried
    out = folder / "lenet-two"
    assert Measured.model_validate_json((out / "measured.json").read_text()) == measured
    text = (out / "measured.md").read_text()
    assert "| second, ten |" in text
    assert "1.5 % (nothing, nowhere)" in text
    assert measured.machine.torch in text
    assert (out / "measured.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_finished_is_not_done_again(tried: tuple[Path, Measured]) -> None:
    folder, measured = tried
    said: list[ReproductionProgress] = []
    again = reproduce(TWO, out=folder, watch=said.append).measured
    assert not said
    assert again.figures == measured.figures
    fewer = reproduce(TWO, out=folder, runs=1, watch=said.append).measured
    assert not said
    assert [len(figure.runs) for figure in fewer.figures] == [1, 1, 1]


def test_a_row_that_was_broken_off_goes_on_to_the_same_weights(
    tried: tuple[Path, Measured], tmp_path: Path
) -> None:
    """Ctrl-C in the second epoch of the second arm."""

    def stop(stage: ReproductionProgress) -> None:
        if stage.said.startswith("second, seed 0: training") and stage.done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(TWO, out=tmp_path, watch=stop)
    assert len(list((tmp_path / "arms").glob("*/finished"))) == 1
    done = reproduce(TWO, out=tmp_path).measured
    folder, measured = tried
    first = "first-small-seed0"  # what comes after it keeps the name of another folder
    assert starting_with(first, bundles(tmp_path)) == starting_with(first, bundles(folder))
    errors = [[run.top1_error_percent for run in f.runs] for f in done.figures]
    assert errors == [[run.top1_error_percent for run in f.runs] for f in measured.figures]


def test_the_threads_told_are_those_that_trained(tmp_path: Path) -> None:
    """Reading a finished run with other threads must not change what is said of it."""
    reproduce("lenet/digits", smoke_run=True, out=tmp_path)
    (noted,) = (tmp_path / "arms").glob("*/run.json")
    noted.write_text(noted.read_text().replace('"threads": 1', '"threads": 7'))
    done = reproduce("lenet/digits", smoke_run=True, out=tmp_path)
    assert done.measured.machine.threads == 7


def test_a_smoke_run_measures_a_few_images(tmp_path: Path) -> None:
    done = reproduce("lenet/digits", smoke_run=True, out=tmp_path)
    assert done.measured.smoke
    assert [run.num_samples for figure in done.measured.figures for run in figure.runs] == [16]
    assert "smoke run" in done.files[1].read_text()


def test_no_runs_are_refused() -> None:
    with pytest.raises(WrongUse, match="runs is 0, expected 1 or more"):
        reproduce("lenet/digits", runs=0)
