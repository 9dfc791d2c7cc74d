"""Converted graphs are kept, found again, and never taken for another network's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbones.compute import Compute
from backbones.engines import kept
from backbones.models import build

pytest.importorskip("openvino", reason="openvino is an extra")

from backbones.engines import openvino_engine as engine

COMPUTE = Compute("cpu", "fp32", 1, "openvino")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path))
    return tmp_path / "engines"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that are converted."""
    done: list[nn.Module] = []
    convert = engine.converted

    def counted(network: nn.Module, images: Tensor) -> object:
        done.append(network)
        return convert(network, images)

    monkeypatch.setattr(engine, "converted", counted)
    return done


def answers(network: nn.Module) -> Tensor:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return engine.Program(COMPUTE)(network, images)


def test_a_later_start_finds_the_graph(folder: Path, conversions: list[nn.Module]) -> None:
    first = answers(build("vgg_tiny", seed=0))
    again = answers(build("vgg_tiny", seed=0).train())
    assert len(conversions) == 1
    assert torch.equal(first, again)
    assert len(list(folder.iterdir())) == 1


def test_other_weights_other_structure_and_other_code_are_other_graphs(
    conversions: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(build("vgg_tiny", seed=0))
    answers(build("vgg_tiny", seed=1))
    changed = build("vgg_tiny", seed=0)
    for each in changed.modules():
        if isinstance(each, nn.ReLU):
            each.negative_slope = 0.5  # an attribute that no `repr` shows
    answers(changed)
    assert len(conversions) == 3
    monkeypatch.setattr(kept, "_code", lambda: "another version")
    answers(build("vgg_tiny", seed=0))
    assert len(conversions) == 4


@pytest.mark.parametrize("name", ["graph.bin", "graph.xml", "sha256.json"])
def test_a_damaged_graph_is_made_anew(
    name: str, folder: Path, conversions: list[nn.Module]
) -> None:
    first = answers(build("vgg_tiny", seed=0))
    (inside,) = folder.iterdir()
    data = bytearray((inside / name).read_bytes())
    data[len(data) // 2] ^= 1
    (inside / name).write_bytes(data)
    assert torch.equal(answers(build("vgg_tiny", seed=0)), first)
    assert len(conversions) == 2
    answers(build("vgg_tiny", seed=0))
    assert len(conversions) == 2


class Theirs(nn.Linear):
    """Somebody's own layer, whose code we don't know."""


def test_networks_of_others_are_not_kept(folder: Path) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Theirs(3, 2))
    answers(network)
    assert not folder.exists()


def test_state_that_has_no_name_does_not_matter(folder: Path) -> None:
    half, within_itself = build("vgg_tiny", seed=0), build("vgg_tiny", seed=0)
    half.register_buffer("unused", torch.ones(2, dtype=torch.bfloat16))
    within_itself.parts = [within_itself]
    assert torch.equal(answers(half), answers(within_itself))
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_does_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_bytes(b"a file in its place")
    assert answers(build("vgg_tiny", seed=0)).shape == (2, 10)


def test_the_oldest_graphs_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(build("vgg_tiny", seed=0))
    (first,) = folder.iterdir()
    monkeypatch.setattr(kept, "MOST_BYTES", 1.5 * sum(f.stat().st_size for f in first.iterdir()))
    answers(build("vgg_tiny", seed=1))
    left = list(folder.iterdir())
    assert len(left) == 1
    assert left != [first]
