"""A server under load, beside FastAPI and LitServe with eager torchvision, in one run.

    python benchmarks/serving.py [--model resnet50] [--seconds 15] [--rounds 3] [--json FILE]
        [--litserve PYTHON] [--hey PATH]

Servers run in processes of their own, with the same random weights: `backbones serve`; the endpoint
of the tutorials, FastAPI with eager torchvision (`async def`: one image at a time); the same with
`def`, which FastAPI runs in threads; and, where PYTHON names an interpreter that has `litserve`,
LitServe with batches of 8. Servers take turns in every round, those whose turn it is not are idle;
figures are medians of the rounds. Client and server share the cores.

* alone: one client, one request after the other. throughput: eight such clients, which wait 50 ms
  after a 503; for ours in short turns with the engine alone (`backbones.predict` on the same file),
  of which the median ratio is told, since other work on the machine then weighs on both alike.
  `hey` asks with eight clients too, as a witness.
* half load, 2x and 10x overload: an open loop. Requests are sent at the times of a Poisson process
  whose rate is a multiple of that server's own throughput, whatever the server does meanwhile, and
  a latency counts from the time at which the request was due. The others' servers are not asked at
  10x, since they would never end.
* hostile (ours only): at half load, 100 senders that stop in the middle, 100 uploads that break
  off, and 30 clients that leave before their answer.

Memory is the server's resident set (VmRSS). The image is a JPEG of 500 x 375 px, made of noise
that was smoothed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

CLIENTS, SLOW, BROKEN, LEAVING = 8, 100, 100, 30
MAX_QUEUE_MS = 500  # of `backbones serve`, where nothing else is said
TURN_S = 3.0  # of the engine and of the server, one after the other
GIVE_UP_S = 60.0


def photo() -> bytes:
    """A JPEG whose size and content are like a photo's."""
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    data = io.BytesIO()
    smooth = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5))
    smooth.save(data, "JPEG", quality=90)
    return data.getvalue()


@dataclass
class Load:
    """What became of requests.

    Args:
        latencies_s: of those that were answered.
        codes: how many responses of each status; 0 is none at all.
        seconds: from the first to the last.
    """

    latencies_s: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Requests a second, and percentiles in ms."""
        found: dict[str, Any] = {
            "answered_per_s": round(len(self.latencies_s) / self.seconds, 1),
            "codes": dict(self.codes),
        }
        if len(self.latencies_s) > 1:
            cuts = statistics.quantiles(self.latencies_s, n=100, method="inclusive")
            found |= {f"p{p}_ms": round(1000 * cuts[p - 1]) for p in (50, 95, 99)}
        return found


class Client:
    """HTTP/1.1 with connections that are kept, in as little time as Python needs.

    Args:
        port: of the server, on this machine.
        body, kind: what is posted.
        path: where to.
    """

    def __init__(self, port: int, body: bytes, kind: str, path: str) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-type: {kind}\r\n"
        self.request = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """One of those that are kept, or a new one; it is kept where all went well."""
        pair = self._idle.pop() if self._idle else None
        reader, writer = pair or await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))

    async def post(self) -> int:
        """The response's status; 0 where the connection broke."""
        try:
            async with asyncio.timeout(GIVE_UP_S), self.connection() as (reader, writer):
                writer.write(self.request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                if b"connection: close" in head.lower():
                    raise ConnectionResetError(head[9:12].decode())
        except ConnectionResetError as error:
            return int(str(error)) if str(error).isdecimal() else 0
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return 0
        return int(head[9:12])

    async def timed(self, load: Load, due: float) -> int:
        """One request, counted; gives its status."""
        code = await self.post()
        load.codes[code] += 1
        if code == 200:
            load.latencies_s.append(time.perf_counter() - due)
        return code

    def close(self) -> None:
        """Give up all connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


async def closed_loop(client: Client, clients: int, seconds: float) -> Load:
    """So many clients, each of which sends when it was answered."""
    load, start = Load(), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() < start + seconds:
            if await client.timed(load, time.perf_counter()) != 200:
                await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(clients)))
    load.seconds = time.perf_counter() - start
    return load


async def open_loop(client: Client, rate: float, seconds: float) -> Load:
    """Requests at the times of a Poisson process; `seconds` end with the last one sent."""
    load, clock, waiting = Load(), random.Random(1), []
    start = time.perf_counter()
    due = start
    while (due := due + clock.expovariate(rate)) < start + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.append(asyncio.create_task(client.timed(load, due)))
    load.seconds = time.perf_counter() - start
    await asyncio.gather(*waiting)
    return load


async def hostile(client: Client, rate: float, seconds: float) -> Load:
    """Half load, while others send slowly, break off or leave."""

    async def begin(share: float, then_s: float) -> None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(client.request[: int(share * len(client.request))])
            await asyncio.sleep(then_s)
            writer.close()

    others = [asyncio.create_task(begin(0.5, seconds)) for _ in range(SLOW)]
    others += [asyncio.create_task(begin(0.7, 0.01 * n)) for n in range(BROKEN)]
    others += [asyncio.create_task(begin(1.0, 0.05 * n % 0.3)) for n in range(LEAVING)]
    load = await open_loop(client, rate, seconds)
    await asyncio.gather(*others)
    return load


# --- servers -------------------------------------------------------------------------------------


def write_model(name: str, path: Path) -> None:
    """A bundle with random weights, which have the layout of torchvision's."""
    import torch

    from backbones.models import build
    from backbones.spec import InputSpec
    from backbones.weights.bundle import bundle_of, write_bundle

    torch.manual_seed(0)
    classes = tuple(f"class {number}" for number in range(1000))
    write_bundle(path, bundle_of(build(name), classes=classes, spec=InputSpec(224, 256)))


@contextlib.contextmanager
def server(command: list[str]) -> Iterator[tuple[int, int]]:
    """A process that says where it serves; gives its port and its id."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("serving on ")), "")
        if not line:
            raise SystemExit(f"this server did not start: {' '.join(command)}")
        try:
            yield int(line.rpartition(":")[2]), process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # LitServe's workers too
            process.wait(30)


def resident_mb(pid: int) -> int:
    """VmRSS of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def descriptors(pid: int) -> int:
    """Open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def form(image: bytes) -> tuple[bytes, str]:
    """A form with one file, as the tutorial wants it."""
    head = b'--b\r\ncontent-disposition: form-data; name="image"; filename="x.jpg"\r\n'
    return (
        head + b"content-type: image/jpeg\r\n\r\n" + image + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    )


async def one_round(port: int, pid: int, seconds: float, ours: bool) -> dict[str, Any]:
    """All loads of one server."""
    client = Client(port, *form(photo()), "/predict")
    await closed_loop(client, 2, 3)
    found: dict[str, Any] = {"alone": (await closed_loop(client, 1, seconds / 2)).to_json()}
    found["throughput"] = (await closed_loop(client, CLIENTS, seconds)).to_json()
    rate = found["throughput"]["answered_per_s"]
    found["half_load"] = (await open_loop(client, rate / 2, seconds)).to_json()
    for times in (2, 10) if ours else (2,):
        before = resident_mb(pid)
        load = await open_loop(client, times * rate, seconds)
        found[f"overload_{times}x"] = {**load.to_json(), "rss_mb": [before, resident_mb(pid)]}
    client.close()
    return found


async def attacked(port: int, pid: int, rate: float, seconds: float) -> dict[str, Any]:
    """Half load among hostile clients."""
    client = Client(port, *form(photo()), "/predict")
    before, files = resident_mb(pid), descriptors(pid)
    load = await hostile(client, rate / 2, seconds)
    client.close()
    await asyncio.sleep(12)  # the slow senders' limit
    return {
        **load.to_json(),
        "rss_mb": [before, resident_mb(pid)],
        "files": [files, descriptors(pid)],
    }


def first_class(port: int) -> tuple[str, float]:
    """What a server says about the photo, so that equal answers are compared."""
    body, kind = form(photo())
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict", body, {"content-type": kind}
    )
    with urllib.request.urlopen(request) as response:
        said = json.load(response)
    if "classes" in said:
        return f"class {said['classes'][0]}", said["probabilities"][0]
    best = said["images"][0]["predictions"][0]
    return best["name"], best["probability"]


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure; of what is no number, all."""
    found: dict[str, Any] = {}
    for load in rounds[0]:
        figures = [each[load] for each in rounds]
        found[load] = {
            name: statistics.median(values) if isinstance(values[0], int | float) else values
            for name in figures[0]
            if (values := [each[name] for each in figures if name in each])
        }
    return found


class Engine:
    """What the network alone gives: from the same bytes to answers, without a server."""

    def __init__(self, bundle: Path) -> None:
        import backbones

        self._classifier, self._image = backbones.open(bundle), photo()
        self.images_per_s(0.1)

    def images_per_s(self, seconds: float) -> float:
        """In batches of 32."""
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            count += len(self._classifier.predict([self._image] * 32))
        return count / (time.perf_counter() - start)


def in_turns(engine: Engine, port: int, seconds: float) -> list[dict[str, float]]:
    """The engine alone and eight clients of the server, one after the other."""

    async def served() -> float:
        client = Client(port, *form(photo()), "/predict")
        load = await closed_loop(client, CLIENTS, TURN_S)
        client.close()
        return len(load.latencies_s) / load.seconds

    found = []
    for _ in range(max(1, round(seconds / TURN_S))):
        pair = {"engine": engine.images_per_s(TURN_S), "server": asyncio.run(served())}
        found.append({name: round(value, 2) for name, value in pair.items()})
    return found


def asked_by_hey(hey: Path, port: int, seconds: float) -> dict[str, Any]:
    """What another client measures."""
    url = f"http://127.0.0.1:{port}/predict"
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(photo())
        file.flush()
        said = subprocess.run(
            [
                hey,
                *f"-z {seconds:g}s -c {CLIENTS} -m POST -T image/jpeg -D".split(),
                file.name,
                url,
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    codes = re.findall(r"\[(\d+)\]\s+(\d+) responses", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return {"requests_per_s": float(rate[1]), "codes": {code: int(n) for code, n in codes}}


def goals(rounds: list[dict[str, Any]], turns: list[dict[str, float]]) -> dict[str, float]:
    """The figures that issue 14 names, each within one round, and their medians."""

    def each(of: Callable[[dict[str, Any]], float]) -> float:
        return round(statistics.median(of(found) for found in rounds), 3)

    def allowed_ms(found: dict[str, Any]) -> float:
        return float(MAX_QUEUE_MS + 2 * found["alone"]["p50_ms"])

    def share(found: dict[str, Any]) -> float:
        served = found["overload_10x"]["answered_per_s"] / found["throughput"]["answered_per_s"]
        return float(served)

    ratios = [turn["server"] / turn["engine"] for turn in turns]
    return {
        "throughput by the engine's": round(statistics.median(ratios), 3),
        "p95 at half load by one request alone": each(
            lambda found: found["half_load"]["p95_ms"] / found["alone"]["p50_ms"]
        ),
        "served at 10x by the throughput": each(share),
        "p99 at 10x by what is allowed": each(
            lambda found: found["overload_10x"]["p99_ms"] / allowed_ms(found)
        ),
    }


def commands(options: argparse.Namespace, bundle: Path) -> dict[str, list[str]]:
    """How each server is started."""
    other = [str(Path(__file__).with_name("tutorial_servers.py")), str(bundle), options.model]
    found = {
        "backbones": [sys.executable, "-m", "backbones", "serve", str(bundle), "--port", "0"],
        "tutorial, async def": [sys.executable, *other, "async"],
        "tutorial, def": [sys.executable, *other, "def"],
    }
    if options.litserve:
        script = str(Path(__file__).with_name("litserve_server.py"))
        found["litserve"] = [options.litserve, script, *other[1:]]
    return found


def measured(options: argparse.Namespace, bundle: Path) -> dict[str, Any]:
    """Everything, by server."""
    with contextlib.ExitStack() as running:
        servers = commands(options, bundle)
        there = {name: running.enter_context(server(each)) for name, each in servers.items()}
        answers = {name: first_class(port) for name, (port, _) in there.items()}
        if len({name for name, _ in answers.values()}) > 1:
            raise SystemExit(f"the servers answer differently: {answers}")
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        port, pid = there["backbones"]
        engine, turns = Engine(bundle), []
        for _ in range(options.rounds):
            turns += in_turns(engine, port, options.seconds)
            for name, (own_port, own_pid) in there.items():
                load = one_round(own_port, own_pid, options.seconds, name == "backbones")
                rounds[name].append(asyncio.run(load))
        found: dict[str, Any] = {name: medians(each) for name, each in rounds.items()}
        rate = found["backbones"]["throughput"]["answered_per_s"]
        found["backbones"]["hostile"] = asyncio.run(attacked(port, pid, rate, options.seconds))
        if options.hey:
            found["hey"] = asked_by_hey(options.hey, port, options.seconds)
    goal = goals(rounds["backbones"], turns)
    return {**found, "answers": answers, "turns": turns, "goals": goal, "load": os.getloadavg()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet50", help="of torchvision and of ours")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litserve", metavar="PYTHON", help="an interpreter that has litserve")
    parser.add_argument("--hey", type=Path, metavar="PATH", help="the program")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "model.safetensors"
        write_model(options.model, bundle)
        text = json.dumps({"model": options.model, **measured(options, bundle)}, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
