"""`backbones compare`: one table and one chart for any networks, ours or not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import backbones as package
from backbones import catalog, compare
from backbones.errors import WrongUse
from backbones.protocols.papers.networks import printed_for, variants_printed
from backbones.weights import table
from backbones.workflows import comparison

MINE = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
"""

TWO_OUTPUTS = """
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.convolution(x)
        return y, y.mean()
"""


def rows_of(answer) -> dict[str, dict]:
    assert answer.code == 0, answer.err
    return {row["name"]: row for row in json.loads(answer.out)["networks"]}


def test_figures_are_those_of_inspect_and_of_the_tables(backbones) -> None:
    rows = rows_of(backbones("compare", "vgg16", "lenet5", "--no-measure", "--json"))
    vgg, lenet = rows["vgg16"], rows["lenet5"]
    seen = package.inspect("vgg16")
    assert vgg["params"] == 138_357_544
    assert vgg["macs"] == seen.macs
    assert vgg["activation_bytes"] == seen.activation_bytes
    assert vgg["input"] == [3, 224, 224]
    assert vgg["layers"] == 16, "as the paper counts"
    assert vgg["receptive_field"] == [212, 212], "of pool5"
    assert vgg["weights"] == "vgg16.tv_in1k"
    assert vgg["top1"] == table.find("vgg16.tv_in1k").results[0].top1_accuracy
    assert vgg["source"].startswith("torchvision")
    assert vgg["ms"] is None
    assert (lenet["year"], lenet["top1"], lenet["weights"]) == (1998, None, None)


def test_accuracy_is_the_one_for_the_size_of_the_costs() -> None:
    at_224, at_288 = (
        compare("resnet50", shape, measure=False, accuracy="best").rows[0]
        for shape in (None, (3, 288, 288))
    )
    for row, size in ((at_224, 224), (at_288, 288)):
        assert row.published is not None
        assert row.published.size_px == size
        assert row.accuracy_is_for_this_input
        printed = [r for w in table.of_variant("resnet50") for r in w.results if r.size_px == size]
        assert row.published.top1_accuracy == max(r.top1_accuracy for r in printed)
    other = compare("resnet50", (3, 64, 64), measure=False)
    assert not other.rows[0].accuracy_is_for_this_input
    assert any("its costs are for 64 px" in note for note in other.notes())


def test_networks_are_compared_under_one_training() -> None:
    """ResNet-50's accuracy after a billion other photos does not stand beside VGG-16's."""
    names = ["vgg16", "resnet18", "resnet50", "resnet20_cifar", "inception_v4", "vgg_tiny"]
    found = compare(names, measure=False)
    assert [row.weights for row in found.rows] == [
        *("vgg16.tv_in1k", "resnet18.tv_in1k", "resnet50.tv_in1k"),
        *("resnet20_cifar.akamaster_cifar10", None, None),
    ]
    notes = " ".join(found.notes())
    assert "torchvision's first weights (tv_in1k" in notes
    assert "published elsewhere only (accuracy torchvision, paper or best): inception_v4" in notes
    assert "no accuracy published for weights known here: vgg_tiny" in notes
    best = compare(names, measure=False, accuracy="best")
    assert best.rows[2].weights == "resnet50.fb_swsl_ig1b_ft_in1k"
    assert "recipes and training images differ" in " ".join(best.notes())
    with pytest.raises(WrongUse, match="expected torchvision, paper or best"):
        compare("vgg16", measure=False, accuracy="top")  # type: ignore[arg-type]


def test_the_papers_own_errors_can_be_compared(backbones) -> None:
    """Errors of one network, as printed; ids of weights keep their own."""
    names = ["vgg16", "resnet50_v1", "lenet5_1998", "densenet121", "resnet50", "resnet18.tv_in1k"]
    rows = rows_of(backbones("compare", *names, "--no-measure", "--accuracy", "paper", "--json"))
    assert [rows[name]["top1"] for name in names[:5]] == [0.73, 0.7715, 0.9905, 0.7498, None]
    assert rows["vgg16"]["source"].endswith("Table 3")
    assert rows["vgg16"]["weights"] is None
    assert rows["resnet18.tv_in1k"]["weights"] == "resnet18.tv_in1k"
    notes = " ".join(compare(names, measure=False, accuracy="paper").notes())
    assert "recipes and numbers of views differ" in notes
    assert "published elsewhere only" in notes, "ResNet-50 with the stride on the 3x3 is no paper's"


def test_every_printed_result_belongs_to_a_variant() -> None:
    for variant in variants_printed():
        assert variant in catalog.names()
        protocol, result = printed_for(variant) or (None, None)
        assert protocol is not None
        assert result.num_models == 1
        assert result.top1_error_percent is not None


DEPTHS = {
    "lenet5": 5,
    "alexnet_2012": 8,
    "nin_imagenet": 12,
    "vgg11": 11,
    "vgg16_bn": 16,
    "vgg19": 19,
    "googlenet": 22,
    "inception_v1": 22,
    "resnet18": 18,
    "resnet34_a": 34,
    "resnet50": 50,
    "resnet152": 152,
    "resnet20_cifar": 20,
    "densenet121": 121,
    "densenet_bc_100_12": 100,
    "mobilenet_v1_100": 28,
}


@pytest.mark.parametrize("name", DEPTHS)
def test_layers_are_as_many_as_papers_count(name: str) -> None:
    """Shortcuts, side branches and auxiliary heads are not in the longest way."""
    assert package.inspect(name).depth == DEPTHS[name]


def test_ids_of_weights_bring_their_own_accuracy() -> None:
    names = ["resnet18.tv_in1k", "resnet18.gluon_in1k"]
    found = compare(names, measure=False)
    assert [row.name for row in found.rows] == names
    for row in found.rows:
        assert row.weights == row.name
        assert row.published == table.find(row.name).results[0]
        assert row.params == 11_689_512


def test_everything_that_can_be_named_is_measured(backbones, tmp_path, photos, trained) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE, encoding="utf-8")
    names = ("vgg_tiny", "lenet5.digits", trained, f"{mine}:build")
    answer = backbones("compare", *names[:1], *names[2:], "--input", "3,8,8", "--json")
    assert answer.code == 2, "VGG cannot see so little"
    assert "vgg_tiny" in answer.err
    rows = rows_of(backbones("compare", *names[:3], "--json", "--batch", "2"))
    assert list(rows) == [str(name) for name in names[:3]]
    for row in rows.values():
        assert len(row["rounds_ms"]) == 3
        assert row["ms"] == pytest.approx(sorted(row["rounds_ms"])[1], abs=0.01)
        assert row["images_per_s"] == pytest.approx(2000 / row["ms"], rel=0.02)
    foreign = rows_of(backbones("compare", f"{mine}:build", "--input", "3,8,8", "--json"))
    (row,) = foreign.values()
    assert row["params"] == 108 + 290
    assert row["layers"] == 2
    assert row["receptive_field"] == [3, 3]
    assert row["year"] is None
    assert row["ms"] > 0


def test_modules_are_left_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.random.get_rng_state()
    found = compare([network, "vgg_tiny", network], (3, 32, 32))
    assert [row.name for row in found.rows] == ["Sequential", "vgg_tiny", "Sequential #2"]
    assert [module.training for module in network] == [True, True, False]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(torch.random.get_rng_state(), random)


def test_networks_take_turns_and_one_is_there_at_a_time(monkeypatch) -> None:
    turns: list[str] = []
    monkeypatch.setattr(comparison, "time_passes", lambda run, device: turns.append("") or 0.5)
    made = comparison.find_network

    def find_network(name, **options):
        if options.get("with_numbers"):
            turns.append(name)
        return made(name, **options)

    monkeypatch.setattr(comparison, "find_network", find_network)
    told: list[tuple[int, int]] = []
    found = compare(["vgg_tiny", "nin_tiny"], batch=4, progress=lambda *done: told.append(done))
    assert [name for name in turns if name] == ["vgg_tiny", "nin_tiny"] * 3
    assert turns[1::2] == [""] * 6, "each is timed before the next one is made"
    assert told == [(done, 6) for done in range(7)]
    assert [row.measured.images_per_s for row in found.rows if row.measured] == [8, 8]


def test_a_busy_machine_is_told(monkeypatch) -> None:
    times = iter([1.0, 1.0, 1.1, 2.0, 1.0, 1.0])
    monkeypatch.setattr(comparison, "time_passes", lambda run, device: next(times))
    notes = compare(["vgg_tiny", "nin_tiny"]).notes()
    assert "the machine was busy, measure again: rounds differ, nin_tiny by 100 %" in notes


def test_a_network_that_gives_more_than_scores_is_timed(backbones, tmp_path) -> None:
    mine = tmp_path / "two.py"
    mine.write_text(TWO_OUTPUTS, encoding="utf-8")
    (row,) = rows_of(
        backbones("compare", f"{mine}:Two", "--input", "3,9,9", "--batch", "2", "--json")
    ).values()
    assert row["params"] == 112
    assert row["images_per_s"] > 0


def test_shapes_alone_cannot_be_timed() -> None:
    with torch.device("meta"):
        network = nn.Conv2d(3, 4, 3)
    with pytest.raises(WrongUse, match="measure=False"):
        compare(network, (3, 8, 8))
    assert compare(network, (3, 8, 8), measure=False).rows[0].params == 112


def test_patterns_stand_for_all_that_fit(backbones) -> None:
    rows = rows_of(backbones("compare", "mobilenet_v1*", "lenet5", "--no-measure", "--json"))
    assert list(rows) == [
        *("mobilenet_v1_100", "mobilenet_v1_075", "mobilenet_v1_050", "mobilenet_v1_025"),
        *("mobilenet_v1_tiny", "lenet5"),
    ]


def test_sorted_by_a_column_networks_without_it_last(backbones) -> None:
    names = ("lenet5", "vgg11", "alexnet", "mobilenet_v2")
    rows = rows_of(backbones("compare", *names, "--no-measure", "--json", "--sort", "top1"))
    assert list(rows) == ["alexnet", "vgg11", "mobilenet_v2", "lenet5"]
    turned = backbones("compare", *names, "--no-measure", "--json", "--sort", "top1", "--reverse")
    assert list(rows_of(turned)) == ["mobilenet_v2", "vgg11", "alexnet", "lenet5"]


def test_the_same_as_text_csv_and_markdown(backbones) -> None:
    names = ("resnet20_cifar", "vgg_tiny", "--no-measure")
    text = backbones("compare", *names).out
    assert "0.9173" in text
    assert "no accuracy published for weights known here: vgg_tiny" in text
    assert "images/s" not in text, "an empty column"
    read = list(csv.DictReader(io.StringIO(backbones("compare", *names, "--csv").out)))
    assert read[0]["params"] == "269722"
    assert read[0]["input"] == "3x32x32"
    assert read[1]["top1"] == ""
    markdown = backbones("compare", *names, "--markdown").out.splitlines()
    assert markdown[1].startswith("| --- | ---: |")
    assert markdown[2].startswith("| resnet20_cifar | 2015 | 269,722 |")


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_charts_are_the_same_twice(backbones, tmp_path: Path, suffix: str) -> None:
    charts = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for chart in charts:
        answer = backbones("compare", "alexnet", "resnet20_cifar", "--no-measure", "-o", chart)
        assert answer.code == 0, answer.err
        assert str(chart) in answer.err
    assert charts[0].stat().st_size > 5000
    assert charts[0].read_bytes() == charts[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("vg16",), "Did you mean vgg"),
        (("vggg*",), "no network fits 'vggg*'"),
        (("nowhere.py:build",), "there is no file nowhere.py"),
        (("broken_library:build",), '`raise RuntimeError("too old")`: RuntimeError: too old'),
        (("lenet5", "--sort", "size"), "there is no column 'size'"),
        (("lenet5", "--input", "3,224"), "lenet5"),
        (("lenet5", "--input", "big"), "C,H,W"),
        (("lenet5", "--json", "--csv"), "exclude each other"),
        (("lenet5", "-o", "chart.bmp"), ".png, .svg, .pdf"),
        (("lenet5", "-o", "chart.png"), "no accuracy is published"),
    ],
)
def test_wrong_use_is_one_line(backbones, tmp_path, monkeypatch, arguments, said: str) -> None:
    library = tmp_path / "broken_library.py"
    library.write_text('raise RuntimeError("too old")\n', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    answer = backbones("compare", *arguments, "--no-measure")
    assert answer.code == 2, answer
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not list((tmp_path / "here").iterdir())


def test_speed_is_that_of_the_engine_that_was_named(backbones) -> None:
    pytest.importorskip("openvino", reason="openvino is an extra")
    answer = backbones("compare", "vgg_tiny", "--engine", "openvino", "--json")
    found = json.loads(answer.out)
    assert found["engine"] == "openvino"
    assert found["networks"][0]["ms"] > 0
    usual = json.loads(backbones("compare", "vgg_tiny", "--json").out)
    assert usual["engine"] == "torch"


def test_a_narrow_terminal_loses_whole_columns_and_is_told_which() -> None:
    import backbones

    found = backbones.compare(["vgg16", "resnet50"], measure=False)
    whole, narrow = found.to_text(), found.to_text(80)
    assert max(map(len, narrow.splitlines())) <= 80
    for kept in ("name", "138,357,544", "25,557,032", "15.5 G", "0.7159"):
        assert kept in narrow
    assert "vgg16.tv_in1k" in whole
    assert "no room for weights" in " ".join(narrow.split())
    assert "no room" not in whole
