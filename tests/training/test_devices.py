"""What training does for a GPU, as far as a machine without one can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.errors import WrongUse
from backbones.models import build, find_row
from backbones.nn.lrn import LocalResponseNorm
from backbones.nn.pooling import AveragePoolTo
from backbones.spec import InputSpec
from backbones.training.checkpoint import put_back, refuse_other_recipe
from backbones.training.exactness import chosen_kernels
from backbones.training.loop import plan_of
from backbones.training.range_test import range_test
from backbones.training.record import StartRecord
from backbones.training.resolve import resolve
from backbones.training.state import begin
from backbones.training.step import train_step


@pytest.fixture
def exact() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def backward_of(tensor: Tensor) -> set[str]:
    """The names of all functions that a gradient goes through."""
    found, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [above for above, _ in node.next_functions]
    return {node.name() for node in found}


@pytest.mark.parametrize(("option", "device"), [("fused", "meta"), (None, "cpu")])
def test_fused_adams_step_goes_back_to_the_parameters_device(option, device):
    """On a GPU the first step after a resume died: `step` was put on the CPU."""
    model = nn.Linear(3, 2, device="meta")
    optimizer = torch.optim.Adam(model.parameters())
    if option:
        optimizer.param_groups[0][option] = True
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    step = {"optimizer.weight.step": torch.tensor(4.0)}
    average = {"optimizer.weight.exp_avg": torch.zeros(2, 3)}
    put_back(model, optimizer, None, {**state, **step, **average}, {})
    assert optimizer.state[model.weight]["step"].device.type == device
    assert optimizer.state[model.weight]["exp_avg"].device.type == "meta"


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_lrn_has_a_deterministic_form_of_the_same_values(exact, order):
    x = torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(0)).mul(30)
    x = x.contiguous(memory_format=order).requires_grad_()
    ours = LocalResponseNorm(alpha=0.01)(x)
    usual = F.local_response_norm(x, 5, 0.05, 0.75, 2.0)
    assert "AvgPool3DBackward0" in backward_of(usual)
    assert "AvgPool3DBackward0" not in backward_of(ours)
    torch.testing.assert_close(ours, usual)
    gradients = [torch.autograd.grad(each.square().sum(), x)[0] for each in (ours, usual)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("size", [(6, 6), (12, 18), (13, 6), (9, 4)])
def test_pooling_to_a_size_has_a_deterministic_form_of_the_same_values(exact, size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, usual = AveragePoolTo(6)(x), F.adaptive_avg_pool2d(x, 6)
    assert "AdaptiveAvgPool2DBackward0" in backward_of(usual)
    assert "AdaptiveAvgPool2DBackward0" not in backward_of(ours)
    torch.testing.assert_close(ours, usual)
    gradients = [torch.autograd.grad(each.square().sum(), x)[0] for each in (ours, usual)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["alexnet_tiny", "googlenet_tiny", "vgg_tiny"])
def test_no_gradient_of_a_network_needs_a_kernel_that_is_not_deterministic(exact, name):
    """The list of torch.use_deterministic_algorithms, which would stop or vary the run."""
    network = build(name, num_classes=2, seed=0)
    _, row = find_row(name)
    output = network(torch.zeros(2, network.in_channels, max(row.min_px, 64), 64 + row.min_px))
    tensors = [output] if isinstance(output, Tensor) else [output.logits, *output.auxiliary]
    used = set().union(*(backward_of(each) for each in tensors))
    assert not used & {"AvgPool3DBackward0", "AdaptiveAvgPool2DBackward0"}


def test_seeds_go_to_the_cpu_and_the_used_device_alone(monkeypatch, recipe, squares):
    """`build` promises not to move the global generators, and seeded those of every GPU."""

    def refuse(seed: int) -> None:
        raise AssertionError("every GPU was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    model = build("vgg_tiny", num_classes=3, seed=7)
    before = torch.get_rng_state()
    range_test(model, recipe(), squares(), steps=10)
    assert torch.equal(before, torch.get_rng_state())


def test_the_same_bits_or_the_fastest_kernels(recipe):
    gpu = recipe().model_copy(update={"device": "cuda"})
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    with chosen_kernels(gpu):
        assert torch.get_deterministic_debug_mode() == 1
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)
    with chosen_kernels(gpu.model_copy(update={"deterministic": False})):
        assert torch.get_deterministic_debug_mode() == 0
        assert (cudnn.benchmark, cudnn.deterministic) == (True, False)
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
    assert torch.get_deterministic_debug_mode() == 0


def test_mps_trains_in_the_usual_memory_order(monkeypatch, recipe, squares):
    """Batch norm's gradient was wrong there in channels_last."""
    row = recipe().model_copy(
        update={"device": "auto", "channels_last": "auto", "large_buffers": "auto"}
    )
    _, network = find_row("vgg_tiny")
    for kind, order in (("mps", False), ("cpu", True)):
        monkeypatch.setattr(compute, "devices", lambda kind=kind: (kind,))
        resolved = resolve(row, row=network, train=squares().split)
        assert (resolved.device, resolved.channels_last) == (kind, order)
        assert resolved.large_buffers


def test_a_run_goes_on_elsewhere_with_a_note(recipe, train, tmp_path):
    row = recipe("checkpoint_every=2steps")
    train(row, tmp_path / "run", stop_when=lambda record: record.step == 3)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["device"] == "cpu"
    facts["device"] = "cuda"
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    begun = train(row, tmp_path / "run", resume=True)[0]
    assert isinstance(begun, StartRecord)
    assert begun.notes[1] == (
        "device was cuda when the run began and is cpu now: the last bits may differ"
    )
    refuse_other_recipe({**row.to_json(), "device": "cuda"}, row, tmp_path / "recipe.json")
    with pytest.raises(WrongUse, match="seed 1 -> 0"):
        refuse_other_recipe({**row.to_json(), "seed": 1}, row, tmp_path / "recipe.json")


def test_a_run_of_before_a_field_goes_on_with_its_default(recipe, tmp_path):
    row = recipe()
    then = {name: value for name, value in row.to_json().items() if name != "deterministic"}
    refuse_other_recipe(then, row, tmp_path / "recipe.json")


def test_batches_are_made_on_the_cpu_whatever_the_default_device_is():
    pixels = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    split = Split("train", ("a",), np.zeros(4, dtype=np.int64), ArrayImages(pixels, "black"))
    torch.set_default_device("meta")
    try:
        batch = next(Pipeline(split, InputSpec(size=8, resize=8), batch_size=4).epoch())
    finally:
        torch.set_default_device(None)
    assert batch.images.device.type == "cpu"
    assert batch.labels.device.type == "cpu"


def test_the_benchmark_of_a_gpu_works_and_asks_for_one(benchmark_module, monkeypatch, capsys):
    gpu = benchmark_module("gpu")
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 2
    assert "no CUDA GPU here" in capsys.readouterr().err
    bench = gpu.Bench("cpu", ("resnet_tiny",), 2, 32, 16, 0.0)
    found = list(gpu.rows(bench))
    assert [row["what"] for row in found[:3]] == ["peak", "training", "inference"]
    assert all(row["images_per_s"] > 0 for row in found[1:])


def test_a_batch_in_parts_is_read_from_the_device_once(monkeypatch, recipe, squares):
    row, data, reads = recipe("accumulate=4"), squares(), []
    network = build("vgg_tiny", num_classes=3, seed=0)
    training = begin(network, row, plan_of(row, data), data)
    for name in ("item", "tolist", "__float__", "__int__", "__bool__"):
        usual = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda x, n=name, u=usual: (reads.append(n), u(x))[1])
    record = train_step(training, next(data.epoch()), 0.0)
    assert record.loss is not None
    assert reads == ["tolist"]
