"""How fast a network answers: our engines beside torchvision, `torch.compile` and OpenVINO by hand.

    python benchmarks/inference.py                        # all networks, batches of 1 and 16
    python benchmarks/inference.py --networks resnet50 --batches 16 --rounds 3

A process each computes one way; rounds are interleaved (every way once, then every way again), and
a way's figure is the median of its rounds. Ratios are to torchvision's eager fp32 in the same run.
The images are random and so are the weights, which changes no time; the agreement is the share of
random images whose first class is that of our network in eager PyTorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import geometric_mean, median

import torch
from torch import Tensor, nn

NETWORKS = {  # ours: torchvision's
    "alexnet": None,  # the paper's has two towers; torchvision's is another network
    "vgg16": "vgg16",
    "nin_imagenet": None,
    "googlenet": "googlenet",
    "inception_v3": "inception_v3",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "densenet121": "densenet121",
    "mobilenet_v1": None,
    "efficientnet_b0": "efficientnet_b0",
}
WAYS = ("eager", "torch", "openvino", "onnxruntime", "compile", "openvino_by_hand")
SECONDS = 3.0  # of passes in a round
IMAGES_COMPARED = 32

Answer = Callable[[Tensor], Tensor]


def network_of(name: str) -> nn.Module:
    """Ours, with fresh weights and statistics of batch norm that are not a fresh network's."""
    from backbones.models import build

    network = build(name, seed=0).train()
    size = side_of(name)
    torch.manual_seed(0)
    with torch.no_grad():
        network(torch.randn(4, 3, size, size))
    return network.eval()


def side_of(name: str) -> int:
    """Side of the square that the network sees, px."""
    from backbones.models import find_row

    return int(find_row(name)[1].input_px)


def eager(name: str) -> Answer:
    """torchvision's network, or ours where it has none, as its documentation says to use it."""
    import peers

    theirs = NETWORKS[name]
    options = {"init_weights": False} if theirs in ("googlenet", "inception_v3") else {}
    models = peers.import_torchvision().models
    network = models.get_model(theirs, **options).eval() if theirs else network_of(name)

    def answer(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = network(images)
            return found

    return answer


def by_engine(engine: str, name: str) -> Answer:
    """Our network through one of our engines."""
    from backbones.compute import choose_compute
    from backbones.engines import find_engine
    from backbones.speed import keep_large_buffers

    keep_large_buffers()
    network = network_of(name)
    return find_engine(engine).build(network, choose_compute("cpu", "fp32", engine=engine))


def compiled(name: str) -> Answer:
    """Our network through `torch.compile`, its weights frozen."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    network = torch.compile(network_of(name))

    def answer(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = network(images)
            return found

    return answer


def openvino_by_hand(name: str) -> Answer:
    """Our network through OpenVINO as its documentation says, with the precision set."""
    import openvino

    from backbones.engines.openvino_engine import converted

    size = side_of(name)
    model = converted(network_of(name), torch.zeros(1, 3, size, size))
    model.reshape([-1, 3, size, size])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    program = openvino.Core().compile_model(model, "CPU", settings)
    return lambda images: torch.from_numpy(program(images.contiguous().numpy())[0])


def way_of(way: str, name: str) -> Answer:
    """One of `WAYS`, ready to answer."""
    if way == "eager":
        return eager(name)
    if way == "compile":
        return compiled(name)
    if way == "openvino_by_hand":
        return openvino_by_hand(name)
    return by_engine(way, name)


def serve_rounds(way: str, name: str, batch: int) -> None:
    """The process of one way: a round for each line of standard input."""
    size = side_of(name)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES_COMPARED, 3, size, size, generator=generator)
    start = time.perf_counter()
    answer = way_of(way, name)
    answer(images[:batch])
    build_s = time.perf_counter() - start
    answer(images[:batch])
    firsts = [int(row.argmax()) for part in images.split(batch) for row in answer(part)]
    print(json.dumps({"build_s": build_s, "firsts": firsts}), flush=True)
    for _ in sys.stdin:
        passes, start = 0, time.perf_counter()
        while (taken := time.perf_counter() - start) < SECONDS or passes < 2:
            answer(images[:batch])
            passes += 1
        print(passes * batch / taken, flush=True)


def measure(name: str, batch: int, ways: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Images a second, seconds to build, and agreement of every way."""
    processes = {}
    for way in ways:
        command = [sys.executable, __file__, "--way", way, "--networks", name, "--batches"]
        processes[way] = subprocess.Popen(
            [*command, str(batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    started = {way: json.loads(_line(process)) for way, process in processes.items()}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, process in processes.items():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            speeds[way].append(float(_line(process)))
    for process in processes.values():
        process.communicate()
    expected = started["torch"]["firsts"]
    return {
        way: {
            "images_per_s": median(speeds[way]),
            "build_s": started[way]["build_s"],
            "agreement": _share(started[way]["firsts"], expected),
        }
        for way in ways
    }


def _share(found: list[int], expected: list[int]) -> float:
    return sum(map(int.__eq__, found, expected)) / len(expected)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise SystemExit(f"{' '.join(map(str, process.args))} ended early")  # type: ignore[arg-type]
    return line


def main() -> None:
    """Measure, and print a Markdown table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        serve_rounds(given.way, given.networks[0], given.batches[0])
        return
    ways = ["eager", "torch", *(way for way in given.ways if way not in ("eager", "torch"))]
    from backbones.compute import instruction_set

    print(f"{instruction_set()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    for batch in given.batches:
        print(f"| batch {batch} | eager, images/s | {' | '.join(ways[1:])} |")
        print("|---" * (len(ways) + 1) + "|")
        ratios: dict[str, list[float]] = {way: [] for way in ways[1:]}
        for name in given.networks:
            found = measure(name, batch, ways, given.rounds)
            base = found["eager"]["images_per_s"]
            cells = []
            for way in ways[1:]:
                ratios[way].append(found[way]["images_per_s"] / base)
                cells.append(f"{ratios[way][-1]:.2f}x ({found[way]['agreement']:.0%})")
            print(f"| {name} | {base:.1f} | {' | '.join(cells)} |", flush=True)
        means = " | ".join(f"{geometric_mean(ratios[way]):.2f}x" for way in ways[1:])
        print(f"| geometric mean | | {means} |\n")


if __name__ == "__main__":
    main()
