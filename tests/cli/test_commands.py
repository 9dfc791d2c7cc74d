"""The commands as scripts use them: names, fields, exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def test_list_json_has_every_network_with_exact_counts(backbones) -> None:
    answer = backbones("list", "--json")
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert answer.code == 0
    assert rows["vgg16"]["params"] == 138_357_544
    assert rows["lenet5_1998"]["params"] == 60_000
    assert rows["nin_fashion"]["params"] == 1_992_166


@pytest.mark.parametrize("table", ["recipes", "protocols"])
def test_list_other_tables(backbones, table: str) -> None:
    answer = backbones("list", table, "--json")
    assert answer.code == 0
    assert {row["name"] for row in json.loads(answer.out)} >= (
        {"digits", "nin_fashion", "finetune", "vgg"} if table == "recipes" else {"single"}
    )
    assert backbones("list", table).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nets",), "no network fits 'nets'"),
        (("recipe",), "Did you mean recipes?"),
        (("vg16",), "Did you mean vgg"),
        (("vgg*", "--columns", "name,parms"), "Did you mean params"),
        (("vgg*", "--columns", "name,parms"), "All: name, family, year, paper, params, macs"),
        (("--sort", "size"), "there is no column 'size'"),
        (("recipes", "--columns", "name"), "only networks has"),
        (("recipes", "digits"), "labels takes one set"),
        (("labels", "mnist", "imagenet"), "labels takes one set"),
        (("--find", "crane"), "--find looks in a set"),
    ],
)
def test_list_of_something_else_is_wrong_use(backbones, arguments, said: str) -> None:
    answer = backbones("list", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not answer.out


def test_list_networks_by_pattern_part_and_family(backbones) -> None:
    def names(*words: str) -> list[str]:
        return [row["name"] for row in json.loads(backbones("list", *words, "--json").out)]

    assert names("vgg1[69]") == ["vgg16", "vgg19"]
    assert names("networks", "vgg16") == ["vgg16"], "a whole name is no part of others"
    assert names("resnet20") == ["resnet20_cifar", "resnet20_cifar_b", "resnet20_cifar_c"]
    assert set(names("resnet_cifar")) >= {"resnet20_cifar", "plain20_cifar"}
    assert "resnet20_cifar" not in names("resnet")
    assert names("vgg19", "vgg1?") == ["vgg19", "vgg11", "vgg13", "vgg16"], "each once"
    shown = backbones("list", "vgg1[69]").out.splitlines()
    assert shown[0].startswith("Simonyan")
    assert [line.split("\t")[0] for line in shown[3:] if line] == ["vgg16", "vgg19"]


def test_list_chosen_columns_as_text_and_json(backbones) -> None:
    columns = ("--columns", "name,year,params,input,top1,weights")
    lines = backbones("list", "vgg1[69]", "lenet5", *columns).out.splitlines()
    assert lines[0].split("\t") == ["name", "year", "parameters", "input", "top-1", "weights"]
    assert lines[1].split("\t") == [
        *("vgg16", "2014", "138,357,544", "3x224x224", "0.7159", "vgg16.tv_in1k"),
    ]
    rows = json.loads(backbones("list", "lenet5_tiny", "vgg16", *columns, "--json").out)
    assert list(rows[0]) == ["name", "year", "params", "input", "top1", "weights"]
    assert rows[0]["top1"] is None
    assert rows[1]["top1"] == 0.71592
    (every,) = json.loads(backbones("list", "vgg16", "--columns", _every(), "--json").out)
    assert every["deviations"] == ["init", "pool_to_px"]
    assert every["all_weights"] == ["vgg16.caffe_in1k", "vgg16.tv_features", "vgg16.tv_in1k"]


def _every() -> str:
    from backbones.report.columns import NETWORK_COLUMNS

    return ",".join(column.name for column in NETWORK_COLUMNS)


def test_list_says_which_bundles_come_with_the_package(backbones) -> None:
    """Their ids begin with the variant's name, so that no file has to be opened."""
    from backbones.weights import table
    from backbones.weights.bundle import read_bundle_header

    for name, path in table.shipped_weights().items():
        assert read_bundle_header(path).variant == name.partition(".")[0]
    (row,) = json.loads(
        backbones("list", "lenet5", "--columns", "weights,all_weights,top1", "--json").out
    )
    ours = [name for name in table.shipped_weights() if name.startswith("lenet5.")]
    assert row == {"weights": "lenet5.digits", "all_weights": ours, "top1": None}


def test_list_sorted_by_a_column(backbones) -> None:
    def names(*options: str) -> list[str]:
        found = backbones("list", "vgg1?", "vgg_tiny", "--columns", "name", "--json", *options)
        return [row["name"] for row in json.loads(found.out)]

    assert names("--sort", "macs") == ["vgg_tiny", "vgg11", "vgg13", "vgg16", "vgg19"]
    best_first = names("--sort", "top1", "--reverse")
    assert best_first == ["vgg19", "vgg16", "vgg13", "vgg11", "vgg_tiny"], "the unknown comes last"


def test_show_network(backbones) -> None:
    answer = backbones("show", "vgg16_1x1")
    assert answer.code == 0
    assert "133,638,952" in answer.out
    assert "deviations from the paper" in answer.out
    document = json.loads(backbones("show", "lenet5", "--json").out)
    assert sum(layer["params"] for layer in document["layers"]) == 61_706


def test_show_is_a_card_of_all_that_is_known(backbones) -> None:
    said = " ".join(backbones("show", "vgg16").out.split())
    for words in (
        "Simonyan & Zisserman (2014)",
        "The paper showed that stacks of 3x3 convolutions",
        "layers 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
        "batch_norm no (after every convolution)",
        "a unit of the last maps sees 212 x 212 px",
        "printed 15.3 G [He et al. 2015, arXiv:1512.03385, figure 3 and Table 1] counts"
        " convolutions only (15.35 G here)",
        "vgg16.tv_in1k 0.7159 0.9038 224 BSD-3-Clause",
        "maxpool 5 7 512 x 7 x 7 7,079,424 1,387,266,048",
        "`backbones draw vgg16 -o vgg16.svg`",
    ):
        assert words in said, words
    assert "features.0" not in said, "inspect lists the layers"
    assert "lenet5.digits: trained, and comes with" in backbones("show", "lenet5").out


def test_show_stages_of_branches_end_in_what_they_join(backbones) -> None:
    """They ended in the last branch: 32 maps behind inception (3a) instead of 256."""
    document = json.loads(backbones("show", "googlenet", "--json").out)
    outputs = {stage["name"]: stage["output_shape"] for stage in document["stages"]}
    assert outputs["inception (3a)"] == [256, 28, 28]
    assert outputs["inception (5b)"] == [1024, 7, 7]
    assert document["row"]["table"][0]["fives"] == 32
    assert document["published"][0]["weights"] == "googlenet.tv_in1k"
    assert document["receptive_field"] == [379, 379]


def test_show_unknown_network_names_the_nearest(backbones) -> None:
    answer = backbones("show", "vg16")
    assert answer.code == 2
    assert "Did you mean vgg16" in answer.err
    assert answer.err.count("\n") == 1


def test_show_bundle_says_what_it_is(backbones, trained: Path) -> None:
    document = json.loads(backbones("show", trained, "--json").out)
    assert document["variant"] == "vgg_tiny"
    assert document["classes"] == ["cross", "disc"]
    assert document["recipe"]["optimizer"]["kind"] == "adam"
    assert "vgg_tiny" in backbones("show", trained / "last.safetensors").out


def test_data_check_lists_the_broken_file(backbones, photos: Path, tmp_path: Path) -> None:
    answer = backbones("data", "check", photos, "--json", "--out", tmp_path / "check.json")
    document = json.loads(answer.out)
    assert answer.code == 1
    assert document["files"] == 81
    assert document["readable"] == 80
    assert [row["path"] for row in document["unreadable"]] == ["disc/broken.jpg"]
    assert document["unreadable"][0]["reason"]
    assert document["classes"] == {"cross": 40, "disc": 41}
    assert json.loads((tmp_path / "check.json").read_text()) == document
    assert "cannot be decoded" in backbones("data", "check", photos).out


def test_train_leaves_everything_in_the_run_folder(trained: Path) -> None:
    left = {path.name for path in trained.iterdir()}
    assert left >= {
        "best.safetensors",
        "last.safetensors",
        "checkpoint.safetensors",
        "recipe.json",
        "run.json",
        "metrics.jsonl",
        "timing.jsonl",
        "tensorboard",
        "curves.png",
        "curves.svg",
        "evaluation.json",
        "confusion.png",
        "confusion.csv",
        "answers.csv",
        "mistakes.html",
    }
    found = json.loads((trained / "evaluation.json").read_text())
    assert found["top1_error_percent"] <= 30  # 0.0 to 12.5 over five seeds; a guess is wrong on 50


def test_train_into_a_folder_with_a_run_is_wrong_use(backbones, trained, photos) -> None:
    before = (trained / "checkpoint.safetensors").read_bytes()
    answer = backbones("train", photos, "--model", "vgg_tiny", "--smoke", "--out", trained)
    assert answer.code == 2
    assert "--resume" in answer.err
    assert (trained / "checkpoint.safetensors").read_bytes() == before


def test_train_smoke_then_resume_says_it_is_finished(backbones, photos, tmp_path) -> None:
    out = tmp_path / "run"
    first = backbones("train", photos, "--model", "nin_tiny", "--smoke", "--out", out)
    assert first.code == 0, first.err
    assert "accuracy" in first.out
    again = backbones("train", "--resume", out)
    assert again.code == 0, again.err
    assert "finished" in again.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no data given"),
        (("nowhere",), "nowhere does not exist"),
        (("digits", "--model", "lenet"), "lenet"),
        (("digits", "--recipe", "digit"), "Did you mean digits"),
        (("digits", "--set", "optimizer.learning_rate=1"), "optimizer.lr"),
        (("digits", "--set", "optimizer.lr=fast"), "optimizer.lr"),
        (("digits", "--set", "length=10furlongs"), "furlongs"),
        (("digits", "--weights", "nothing.safetensors"), "nothing.safetensors"),
        (("--resume", "no-such-run"), "no-such-run"),
        (("--resume", "run", "--smoke"), "give no other option"),
    ],
)
def test_train_wrong_use_is_one_line_and_code_2(
    backbones, tmp_path, monkeypatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = backbones("train", *arguments)
    assert answer.code == 2, answer
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_evaluate_json_has_the_fields_that_scripts_rely_on(backbones, trained, photos) -> None:
    for protocol in ("single", "ten_crop"):
        answer = backbones("evaluate", trained, photos, "--protocol", protocol, "--json")
        document = json.loads(answer.out)
        assert answer.code == 0
        assert document["protocol"] == protocol
        # 10 % of 40 crosses and 41 discs were held out; only these are measured again.
        assert document["num_samples"] + document["num_skipped"] == 8
        assert 0 <= document["top1_error_percent"] <= 100
        assert document["top5_error_percent"] == 0


def test_evaluate_shows_what_the_paper_printed(backbones, trained, photos) -> None:
    arguments = ("evaluate", trained, photos, "--protocol", "vgg/multicrop", "--batch-size", "8")
    settings = ("--set", "resize=S", "--set", "grid=2")
    document = json.loads(backbones(*arguments, "--json", *settings).out)
    assert (document["views_per_image"], document["printed"]) == (8, [])
    assert document["protocol"] == "vgg/multicrop with resize=S grid=2"
    answer = backbones("evaluate", trained, photos, "--protocol", "lenet/whole", "--json")
    document = json.loads(answer.out)
    assert document["views_per_image"] == 1
    assert document["printed"][0] == {
        "model": "LeNet-5",
        "num_models": 1,
        "data": "MNIST test",
        "top1_error_percent": 0.95,
        "top5_error_percent": None,
        "source": "LeCun et al. (1998), section III",
    }
    text = backbones("evaluate", trained, photos, "--protocol", "lenet/whole").out
    assert "printed under this protocol" in text
    assert f"ours: {trained}" in text


def test_evaluate_several_together(backbones, trained, photos) -> None:
    alone = json.loads(backbones("evaluate", trained, photos, "--json").out)
    both = json.loads(backbones("evaluate", trained, trained, photos, "--json").out)
    assert both["models"] == [str(trained), str(trained)]
    assert both["confusion"] == alone["confusion"]
    assert both["forward_passes"] == 2 * alone["forward_passes"]
    mixed = backbones("evaluate", trained, "lenet5.digits", photos)
    assert mixed.code == 1
    assert "Only networks with the same classes" in mixed.err


def test_evaluate_lists_and_shows_protocols(backbones, tmp_path) -> None:
    assert "vgg/dense_multiscale" in backbones("evaluate", "--protocol", "list").out
    shown = backbones("evaluate", "--protocol", "show", "googlenet/144_crop").out
    assert "144 views an image" in shown
    assert "6.67" in shown
    own = tmp_path / "own.yaml"
    own.write_text("resize: [64, 96]\nviews: whole\nregion: whole\nscoring: dense\n")
    document = json.loads(backbones("evaluate", own, "--protocol", "show", "--json").out)
    assert (document["name"], document["scoring"]) == ("own", "dense")


def test_evaluate_on_other_data_measures_all_of_it(backbones, trained, photos, tmp_path) -> None:
    other = tmp_path / "other"
    for shape in ("cross", "disc"):
        (other / shape).mkdir(parents=True)
        for number in range(5):
            name = f"{number:02d}.jpg"
            (other / shape / name).write_bytes((photos / shape / name).read_bytes())
    document = json.loads(backbones("evaluate", trained, other, "--json").out)
    assert document["num_samples"] == 10


def test_evaluate_writes_report_and_images(backbones, trained, photos, tmp_path) -> None:
    out = tmp_path / "report"
    assert backbones("evaluate", trained, photos, "--split", "train", "--out", out).code == 0
    document = json.loads((out / "evaluation.json").read_text())
    assert document["num_samples"] == 72
    assert document["num_skipped"] == 1
    assert (out / "confusion.png").stat().st_size > 5000
    rows = list(csv.reader((out / "confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 72


def test_evaluate_with_other_classes_shows_the_difference(backbones, trained) -> None:
    answer = backbones("evaluate", trained, "digits")
    assert answer.code == 1
    assert "only in the network: 'cross', 'disc'" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--protocol", "tencrop"), "Did you mean ten_crop"),
        (("--split", "tst"), "tst"),
        (("--set", "vews=grid"), "Did you mean views"),
        (("--protocol", "none.yaml"), "there is no file none.yaml"),
    ],
)
def test_evaluate_wrong_use(backbones, trained, photos, arguments, said: str) -> None:
    answer = backbones("evaluate", trained, photos, *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_predict_json_one_object_an_image(backbones, trained, photos) -> None:
    answer = backbones("predict", trained, photos / "disc", "--format", "json", "--top", "2")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert len(rows) == 41
    broken = [row for row in rows if "error" in row]
    assert [Path(row["path"]).name for row in broken] == ["broken.jpg"]
    right = 0
    for row in rows:
        if "error" not in row:
            assert [set(guess) for guess in row["predictions"]] == [{"name", "probability"}] * 2
            assert sum(guess["probability"] for guess in row["predictions"]) == pytest.approx(
                1, abs=1e-4
            )
            right += row["predictions"][0]["name"] == "disc"
    assert right >= 32


def test_predict_annotates_images_and_makes_a_page(backbones, trained, photos, tmp_path) -> None:
    out = tmp_path / "annotated"
    files = [photos / "disc" / "00.jpg", photos / "cross" / "00.jpg", photos / "disc/broken.jpg"]
    answer = backbones("predict", trained, *files, "--pictures", out)
    assert answer.code == 0
    assert {path.name for path in out.iterdir()} == {"00.jpg", "00-2.jpg", "index.html"}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/") == 2
    assert "broken.jpg" in page


def test_predict_submission_from_a_zip(backbones, trained, photos, tmp_path) -> None:
    archive = tmp_path / "test.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(3):
            file.write(photos / "cross" / f"{number:02d}.jpg", f"test/{number}.jpg")
    out = tmp_path / "submission.csv"
    answer = backbones(
        "predict", trained, archive, "--format", "submission", "--out", out,
        "--columns", "id,has_cross", "--probability-of", "cross",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert all(0 <= float(row["has_cross"]) <= 1 for row in rows)


@pytest.mark.parametrize("format", ["text", "csv", "parquet"])
def test_predict_other_formats(backbones, trained, photos, tmp_path, format: str) -> None:
    out = tmp_path / f"answers.{format}"
    image = photos / "disc" / "01.jpg"
    assert backbones("predict", trained, image, "--format", format, "--out", out).code == 0
    if format == "parquet":
        from pyarrow import parquet

        assert parquet.read_table(out).num_rows == 1
    else:
        assert "disc" in out.read_text()


def test_predict_reads_standard_input(trained: Path, photos: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backbones", "predict", trained, "-", "--format", "json"],
        input=(photos / "disc" / "00.jpg").read_bytes(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere.jpg",), 2, "nowhere.jpg"),
        (("{photos}/disc/broken.jpg",), 1, "broken.jpg"),
        (("{photos}", "--format", "xml"), 2, "xml"),
        (("{photos}", "--format", "parquet"), 2, "name a file"),
        (("{photos}", "--format", "submission", "--probability-of", "dog"), 2, "dog"),
    ],
)
def test_predict_bad_input(backbones, trained, photos, arguments, code: int, said: str) -> None:
    filled = [argument.format(photos=photos) for argument in arguments]
    answer = backbones("predict", trained, *filled)
    assert answer.code == code, answer
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_bundle_that_was_tampered_with_is_refused(backbones, trained, photos, tmp_path) -> None:
    data = bytearray((trained / "best.safetensors").read_bytes())
    data[-5] ^= 1
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    answer = backbones("predict", bad, photos / "disc" / "00.jpg")
    assert answer.code == 1
    assert "SHA-256" in answer.err
