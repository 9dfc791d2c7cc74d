"""Is the memory that we predict the memory that PyTorch allocates?

    python benchmarks/memory.py                        six networks, a batch of 4, fp32
    python benchmarks/memory.py --precision bf16 --batch 8 vgg16 resnet50
    python benchmarks/memory.py timm:vit_tiny_patch16_224 torchvision:vit_b_16    anybody's
    python benchmarks/memory.py --seconds              how long predictions take

Measured is one evaluation, and the second of two training steps, on the CPU with PyTorch's own
allocator: everything that it takes itself, weights left out on both sides. `scratch` is what
convolutions take and give back inside (copies in the layout that oneDNN likes on this processor);
it is not the network's, and is not predicted. `whole` is the prediction, weights and gradients and
the optimiser's state (SGD with momentum) included, divided by all that is alive, scratch included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from allocator import Peak, measure
from peers import import_timm, import_torchvision
from torch.nn import functional as F

from backbones.footprint.estimates import inference_memory, training_memory
from backbones.models import build
from backbones.nn.auxiliary import total_loss

NETWORKS = ["vgg16", "resnet50", "densenet121", "googlenet", "efficientnet_b0", "mobilenet_v2"]
TIMED = ["vgg19", "resnet50", "resnet152", "densenet201", "efficientnet_b7"]


def evaluate(network: Any, shape: tuple[int, ...], bf16: bool) -> None:
    x = torch.zeros(shape)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        network.eval()(x)


def train(network: Any, shape: tuple[int, ...], bf16: bool) -> None:
    x, labels = torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = network.train()(x)
    total_loss(output, lambda logits: F.cross_entropy(logits.float(), labels)).backward()


def measured(step: Callable[[Any, tuple[int, ...], bool], None], network: Any, *rest: Any) -> Peak:
    """The second time: the first one builds what libraries keep."""
    step(network, *rest)
    network.zero_grad(set_to_none=True)
    peak: Peak = measure(lambda: step(network, *rest))
    network.zero_grad(set_to_none=True)
    return peak


def line(name: str, what: str, transient: int, constant: int, peak: Peak) -> str:
    mib = 2**20
    return (
        f"{name:28} {what:10} {transient / mib:10.1f} {peak.without_scratch / mib:10.1f}"
        f" {transient / peak.without_scratch:9.4f} {(peak.total - peak.without_scratch) / mib:9.1f}"
        f" {(constant + transient) / (constant + peak.total):7.3f}"
    )


def made(name: str) -> tuple[Any, tuple[int, int, int]]:
    """A network of this package or of a peer, and the shape of an image."""
    library, _, theirs = name.rpartition(":")
    if library == "timm":
        network: Any = import_timm().create_model(theirs)
        return network, network.default_cfg["input_size"]
    if library == "torchvision":
        return getattr(import_torchvision().models, theirs)(weights=None), (3, 224, 224)
    network = build(name, seed=0)
    return network, (network.in_channels, network.row.input_px, network.row.input_px)


def compare(name: str, batch: int, precision: Any) -> None:
    network, image = made(name)
    shape = (batch, *image)
    bf16 = precision == "bf16"
    inference = inference_memory(network, image, batch=batch, precision=precision)
    own = inference.parameters + inference.buffers
    peak = measured(evaluate, network, shape, bf16)
    print(line(name, "inference", inference.peak - own, own, peak), flush=True)
    training = training_memory(network, image, batch=batch, precision=precision)
    own += training.optimizer_state
    peak = measured(train, network, shape, bf16)
    print(line(name, "training", training.peak - own, own, peak), flush=True)


def seconds(name: str) -> None:
    with torch.device("meta"):
        network = build(name)
    took: dict[str, list[float]] = {"inference": [], "training": []}
    for _ in range(7):
        for what, ask in (("inference", inference_memory), ("training", training_memory)):
            began = time.process_time()
            ask(network)
            took[what].append(time.process_time() - began)
    first = sum(times[0] for times in took.values())
    typical = [statistics.median(times) for times in took.values()]
    print(f"{name:16} {typical[0]:9.3f} {typical[1]:9.3f} {sum(typical):9.3f} {first:9.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seconds", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.seconds:
        print(f"{'':16} {'inference':>9} {'training':>9} {'both':>9} {'first':>9}   s of CPU time")
        for name in given.networks or TIMED:
            seconds(name)
        return
    print(f"{'MiB':39} {'predicted':>10} {'measured':>10} {'ratio':>9} {'scratch':>9} {'whole':>7}")
    for name in given.networks or NETWORKS:
        compare(name, given.batch, given.precision)


if __name__ == "__main__":
    main()
