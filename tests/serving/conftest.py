"""Applications in this process, and images for them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from backbones.serving.application import create_app
from backbones.serving.service import Service


@dataclass
class Asked:
    """An application in this process, and how to ask it."""

    service: Service
    app: Any = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(self.service)

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())


@pytest.fixture
def serving(service_of: Callable[..., Any]) -> Iterator[Callable[..., Asked]]:
    """`serving(max_body=100)` gives an application with a reader of digits."""
    made = []

    def make(sources: dict[str, Any] | None = None, **options: Any) -> Asked:
        made.append(service_of(sources or {"digits": "lenet5.digits"}, workers=1, **options))
        return Asked(made[-1])

    yield make
    for service in made:
        service.repository.end(5.0)


def encoded(pixels: np.ndarray, format: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format)
    return data.getvalue()


@pytest.fixture(scope="session")
def images() -> list[bytes]:
    """Files of several sizes and formats."""
    rng = np.random.default_rng(5)
    return [
        encoded(rng.integers(0, 256, (28, 28), dtype=np.uint8)),
        encoded(rng.integers(0, 256, (61, 97, 3), dtype=np.uint8), "JPEG"),
        encoded(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8), "WEBP"),
    ]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    from backbones.models import build
    from backbones.spec import InputSpec
    from backbones.weights.bundle import bundle_of, write_bundle

    path = tmp_path / "tiny.safetensors"
    network = build("vgg_tiny", num_classes=3)
    spec = InputSpec(network.row.input_size if hasattr(network.row, "input_size") else 32, 36)
    write_bundle(path, bundle_of(network, classes=("cat", "dog", "owl"), spec=spec))
    return path
