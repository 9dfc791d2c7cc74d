"""LitServe as its documentation has it, for `serving.py`: one worker, eager torchvision.

    python benchmarks/litserve_server.py BUNDLE MODEL

Its batches are what came in 10 ms, up to 8. The first line that begins with "serving on" has the
address.
"""

import contextlib
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import litserve
import torch
from fastapi import Request
from tutorial_servers import Tutorial, say_started

BATCH, WAIT_S, GIVE_UP_S = 8, 0.01, 60.0


class Api(litserve.LitAPI):
    """The tutorial's way from a file to an answer, in LitServe's steps."""

    def __init__(self, bundle: Path, name: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=WAIT_S, api_path="/predict")
        self.bundle, self.name = bundle, name

    def setup(self, device: str) -> None:
        self.tutorial = Tutorial(self.bundle, self.name)

    def decode_request(self, request: Request) -> Any:
        return self.tutorial.decoded(request["image"].file.read())

    def batch(self, inputs: list[Any]) -> Any:
        return torch.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.tutorial.scores(x)

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return self.tutorial.said(output)


def wait_for_health(port: int) -> None:
    """Tell when the worker is ready."""
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
            say_started(port)
            return
        time.sleep(0.2)


def main() -> None:
    bundle, name = sys.argv[1:]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    threading.Thread(target=wait_for_health, args=(port,), daemon=True).start()
    litserve.LitServer(Api(Path(bundle), name), accelerator="cpu", timeout=GIVE_UP_S).run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
