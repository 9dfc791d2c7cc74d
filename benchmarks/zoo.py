"""Are our networks as fast as the same ones of torchvision and timm, and as quick to build?

    python benchmarks/zoo.py                       every row that one of them has
    python benchmarks/zoo.py --only 'resnet*,vgg16'  some of them
    python benchmarks/zoo.py --build               seconds to build and count each row on meta

Forward passes in evaluation mode, fp32, one image of the row's own size, the same drawn
weights. The two sides take turns, the order changes from round to round, and a ratio is the
median over rounds of their time divided by ours: above 1, ours is faster. `keep_large_buffers` is
on for both, as it is in every command of the package.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peers import import_timm, import_torchvision
from torch import Tensor, nn

from backbones import catalog
from backbones.inspection.trace import count
from backbones.models import find_row, make
from backbones.speed import keep_large_buffers

ORACLES = Path(__file__).parents[1] / "tests" / "parity" / "oracles"
BUILD_LIMIT_S = 0.3


@dataclass(frozen=True)
class Pair:
    """One of our rows, and the same network elsewhere."""

    variant: str
    library: str
    peer: str
    options: dict[str, Any]


def matches(name: str, patterns: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(","))


def pairs() -> list[Pair]:
    """The rows of the parity suite."""
    return [
        Pair(row["variant"], row["library"], row["peer"], row.get("options", {}))
        for path in sorted(ORACLES.glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


def with_numbers(network: nn.Module) -> nn.Module:
    """Give a network of the meta device weights: how fast it is does not depend on which."""
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.normal_(0, 0.01).abs_()
            else:
                tensor.zero_()
    return network.eval()


def ours(pair: Pair) -> nn.Module:
    with torch.device("meta"):
        network = make(*find_row(pair.variant))
    return with_numbers(network)


def theirs(pair: Pair) -> nn.Module:
    with torch.device("meta"):
        if pair.library == "timm":
            network: nn.Module = import_timm().create_model(pair.peer, **pair.options)
        else:
            network = getattr(import_torchvision().models, pair.peer)(**pair.options)
    return with_numbers(network)


def seconds(network: nn.Module, x: Tensor, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        network(x)
    return (time.perf_counter() - began) / repeats


@torch.no_grad()
def race(pair: Pair, rounds: int) -> dict[str, Any]:
    """Milliseconds of both sides, and the median ratio."""
    mine, peer = ours(pair), theirs(pair)
    row = find_row(pair.variant)[1]
    x = torch.randn(1, row.in_channels, row.input_px, row.input_px)
    mine(x), peer(x)
    repeats = max(1, math.ceil(0.05 / seconds(mine, x, 1)))  # rounds of 50 ms at least
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        sides = (mine, peer) if number % 2 else (peer, mine)
        took = {side: seconds(side, x, repeats) for side in sides}
        times.append((took[mine], took[peer]))
    return {
        "variant": pair.variant,
        "peer": f"{pair.library} {pair.peer}",
        "ours_ms": 1e3 * statistics.median(own for own, _ in times),
        "peer_ms": 1e3 * statistics.median(other for _, other in times),
        "ratio": statistics.median(other / own for own, other in times),
        "quarter_ratios": [
            round(q, 3) for q in statistics.quantiles([other / own for own, other in times], n=4)
        ],
    }


def build_times(names: list[str]) -> Iterator[dict[str, Any]]:
    """How long each row takes to be built and counted on the meta device: best of three."""
    for name in names:
        best = math.inf
        for _ in range(3):
            began = time.perf_counter()
            count(name)
            best = min(best, time.perf_counter() - began)
        yield {"variant": name, "seconds": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--only", default="*", help="variants, as patterns with commas between them"
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--build", action="store_true", help="building and counting instead")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    keep_large_buffers()
    found: list[dict[str, Any]] = []
    say: Callable[[dict[str, Any]], str]
    if options.build:
        names = [name for name in catalog.names() if matches(name, options.only)]
        rows: Iterator[dict[str, Any]] = build_times(names)
        say = "{variant:<28} {seconds:6.3f} s".format_map
    else:
        chosen = [pair for pair in pairs() if matches(pair.variant, options.only)]
        rows = (race(pair, options.rounds) for pair in chosen)
        say = (
            "{variant:<24} {peer:<36} {ours_ms:8.1f} ms {peer_ms:8.1f} ms {ratio:6.3f}x"
            "  quarters {quarter_ratios}"
        ).format_map
    for row in rows:
        found.append(row)
        print(say(row), flush=True)
    if options.build:
        slow = [row["variant"] for row in found if row["seconds"] > BUILD_LIMIT_S]
        print(f"{len(found)} rows, over {BUILD_LIMIT_S} s: {', '.join(slow) or 'none'}")
    else:
        mean = math.exp(statistics.mean(math.log(row["ratio"]) for row in found))
        print(f"{len(found)} pairs, geometric mean {mean:.3f}x")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
