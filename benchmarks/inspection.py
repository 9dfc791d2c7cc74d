"""Looking into a network: ours beside torchsummary, torchinfo and fvcore.

    pip install -e '.[peers,summaries]'
    python benchmarks/inspection.py                      all networks, 5 rounds
    python benchmarks/inspection.py --only vgg19 --rounds 3

Every measurement is a process of its own: the libraries are imported, then the clock starts, the
network is made and summed up, and the clock stops. What is imported lazily on the way counts. The
tools take turns, and a figure is the median over the rounds. Memory is what the process's peak
grew by after the import. The others look at torchvision's network, ours at its own of that name,
with all its columns: receptive fields too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORKS = {"vgg19": 224, "resnet152": 224, "densenet201": 224, "efficientnet_b7": 600}
MISSING = "pip install -e '.[peers,summaries]'"


def ours(name: str, px: int) -> Callable[[], dict[str, int]]:
    from backbones.inspection.summary import inspect

    def look() -> dict[str, int]:
        found = inspect(name, (3, px, px))
        return {"params": found.params, "macs": found.macs}

    return look


def ours_with_memory(name: str, px: int) -> Callable[[], dict[str, int]]:
    """What `backbones inspect NAME --memory` works out."""
    from backbones import inspect, memory
    from backbones.workflows.networks import made_once

    def look() -> dict[str, int]:
        network = made_once(name)
        found = inspect(network, (3, px, px))
        memory(network, (3, px, px))
        return {"params": found.params, "macs": found.macs}

    return look


def torchinfo(name: str, px: int) -> Callable[[], dict[str, int]]:
    return _torchinfo(name, px, "cpu")


def torchinfo_on_meta(name: str, px: int) -> Callable[[], dict[str, int]]:
    return _torchinfo(name, px, "meta")


def _torchinfo(name: str, px: int, device: str) -> Callable[[], dict[str, int]]:
    import torch
    from torchinfo import summary

    make = _maker(name)

    def look() -> dict[str, int]:
        with torch.device(device):
            network = make()
        found = summary(network, (1, 3, px, px), device=device, verbose=0)
        return {
            "params": found.total_params,
            "macs": found.total_mult_adds,
            "activation_bytes": found.total_output_bytes,
        }

    return look


def torchsummary(name: str, px: int) -> Callable[[], dict[str, int]]:
    from torchsummary import summary

    make = _maker(name)

    def look() -> dict[str, int]:
        network = make()
        summary(network, (3, px, px), device="cpu")
        return {"params": sum(p.numel() for p in network.parameters())}

    return look


def fvcore(name: str, px: int) -> Callable[[], dict[str, int]]:
    import torch
    from fvcore.nn import FlopCountAnalysis

    make = _maker(name)

    def look() -> dict[str, int]:
        network = make().eval()
        found = FlopCountAnalysis(network, torch.zeros(1, 3, px, px)).unsupported_ops_warnings(
            False
        )
        return {
            "params": sum(p.numel() for p in network.parameters()),
            "macs": int(found.total()),
        }

    return look


def _maker(name: str) -> Callable[[], Any]:
    from peers import import_torchvision

    return getattr(import_torchvision().models, name)


TOOLS: dict[str, Callable[[str, int], Callable[[], dict[str, int]]]] = {
    "backbones": ours,
    "with memory": ours_with_memory,
    "torchinfo on meta": torchinfo_on_meta,
    "torchinfo": torchinfo,
    "torchsummary": torchsummary,
    "fvcore": fvcore,
}


def child(tool: str, name: str) -> None:
    """Measure one tool on one network, and print what came out as JSON on the last line."""
    warnings.simplefilter("ignore")
    look = TOOLS[tool](name, NETWORKS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = look()
    seconds = time.perf_counter() - began
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, **found}))


def measure(tool: str, name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", tool, name], capture_output=True, text=True
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def wrong(found: dict[str, Any], truth: dict[str, Any]) -> str:
    """Which totals differ from PyTorch's own counter, with which ours agree by a test."""
    differing = [
        f"{what} {found[what] / truth[what] - 1:+.2%}"
        for what in ("params", "macs")
        if what in found and found[what] != truth[what]
    ]
    missing = [what for what in ("macs",) if what not in found]
    return ", ".join([*differing, *(f"no {what}" for what in missing)]) or "right"


def race(name: str, rounds: int, tools: list[str]) -> list[dict[str, Any]]:
    runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    for number in range(rounds):
        order = tools if number % 2 == 0 else tools[::-1]
        for tool in order:
            if not (runs[tool] and "error" in runs[tool][0]):
                runs[tool].append(measure(tool, name))
    rows = []
    for tool, found in runs.items():
        if "error" in found[0]:
            rows.append({"network": name, "tool": tool, "error": found[0]["error"]})
            continue
        middle = {
            key: statistics.median(run[key] for run in found) for key in ("seconds", "peak_mb")
        }
        rows.append({"network": name, "tool": tool, **found[0], **middle})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    own = rows[0]
    for row in rows:
        if "error" in row:
            print(f"{row['network']:<16} {row['tool']:<18} fails: {row['error'][:70]}")
            continue
        print(
            f"{row['network']:<16} {row['tool']:<18} {1e3 * row['seconds']:8.1f} ms"
            f" {row['seconds'] / own['seconds']:7.1f}x  {row['peak_mb']:8.1f} MB"
            f" {row['peak_mb'] / max(own['peak_mb'], 0.1):7.1f}x  {wrong(row, own)}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, action="append", help="these networks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help="without the other tools")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--child", nargs=2, metavar=("TOOL", "NETWORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    found = []
    for name in options.only or NETWORKS:
        rows = race(name, options.rounds, list(TOOLS)[:2] if options.ours else list(TOOLS))
        if "error" in rows[0]:
            sys.exit(f"ours fails: {rows[0]['error']}")
        show(rows)
        found += rows
    if any("ModuleNotFoundError" in row.get("error", "") for row in found):
        print(f"some tools are not installed: {MISSING}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
