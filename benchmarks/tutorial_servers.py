"""The servers that `serving.py` stands beside: FastAPI with eager torchvision.

    python benchmarks/tutorial_servers.py BUNDLE MODEL async|def

BUNDLE has weights in the layout of torchvision's MODEL. The first line that begins with "serving
on" has the address.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, UploadFile
from peers import import_torchvision
from PIL import Image

from backbones.weights.opening import open_bundle


class Tutorial:
    """What the tutorials do with a file: torchvision's own network, eager.

    Args:
        bundle: its weights.
        name: of torchvision's network.
    """

    def __init__(self, bundle: Path, name: str) -> None:
        torchvision = import_torchvision()
        self.network = torchvision.models.get_model(name)
        self.network.load_state_dict(open_bundle(bundle).state)
        self.network.eval()
        self.transform = torchvision.transforms.Compose(
            [
                torchvision.transforms.Resize(256),
                torchvision.transforms.CenterCrop(224),
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def decoded(self, data: bytes) -> Any:
        """What the network sees of a file."""
        return self.transform(Image.open(io.BytesIO(data)).convert("RGB"))

    def scores(self, images: Any) -> Any:
        """Probabilities (N, K)."""
        with torch.no_grad():
            return self.network(images).softmax(dim=1)

    def said(self, scores: Any) -> dict[str, Any]:
        """The answer to one image."""
        top = scores.topk(5)
        return {"classes": top.indices.tolist(), "probabilities": top.values.tolist()}


def serve_fastapi(tutorial: Tutorial, in_threads: bool) -> None:
    """The endpoint of PyTorch's and FastAPI's tutorials."""
    import uvicorn

    app = FastAPI()

    def answer(data: bytes) -> dict[str, Any]:
        return tutorial.said(tutorial.scores(tutorial.decoded(data)[None])[0])

    if in_threads:

        @app.post("/predict")
        def predict(image: UploadFile) -> dict[str, Any]:
            return answer(image.file.read())
    else:

        @app.post("/predict")
        async def predict(image: UploadFile) -> dict[str, Any]:
            return answer(await image.read())

    config = uvicorn.Config(app, port=0, log_level="warning")
    with config.bind_socket() as sock:
        say_started(sock.getsockname()[1])
        uvicorn.Server(config).run([sock])


def say_started(port: int) -> None:
    """What `server` waits for."""
    sys.stdout.write(f"serving on http://127.0.0.1:{port}\n")
    sys.stdout.flush()


def main() -> None:
    bundle, name, kind = sys.argv[1:]
    serve_fastapi(Tutorial(Path(bundle), name), kind == "def")


if __name__ == "__main__":
    main()
