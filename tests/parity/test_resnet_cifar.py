"""Public CIFAR-10 networks, in the very files that are passed around, load and know their classes.

The files are of akamaster/pytorch_resnet_cifar10, which calls the last layer `linear`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.models import find_row, make
from backbones.weights.adapt import load_adapted
from backbones.weights.files import read_state

CAT, DOG = 3, 5
A_CLASS = 60  # images
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loaded(folder: Path, depth: int, **changes: Any) -> Any:
    """The network with the public weights, all of them."""
    (path,) = (folder / "weights" / "cifar10_resnet").glob(f"resnet{depth}-*.th")
    state = {name.replace("linear.", "fc."): tensor for name, tensor in read_state(path).items()}
    network_type, row = find_row(f"resnet{depth}_cifar")
    changed: Any = replace(row, **changes)  # type: ignore[type-var]
    network = make(network_type, changed)
    assert load_adapted(network, state) == ()
    return network.eval()


def cats_and_dogs(folder: Path) -> tuple[Tensor, Tensor]:
    """Photos of cats, then of dogs, as small as CIFAR-10's."""
    images = []
    for name in ("cat", "dog"):
        for path in sorted((folder / "cats-dogs" / name).glob("*.jpg"))[:A_CLASS]:
            with Image.open(path) as photo:
                side = min(photo.size)
                left, top = (photo.width - side) // 2, (photo.height - side) // 2
                square = photo.convert("RGB").crop((left, top, left + side, top + side))
                small = np.asarray(square.resize((32, 32), Image.Resampling.BOX))
            images.append((small / 255 - MEAN) / STD)
    x = torch.tensor(np.stack(images), dtype=torch.float32).permute(0, 3, 1, 2)
    return x, torch.tensor([CAT] * A_CLASS + [DOG] * A_CLASS)


def test_public_weights_load_and_know_cats_from_dogs(test_data: Path) -> None:
    x, labels = cats_and_dogs(test_data)
    for depth in (20, 32, 44, 56):
        with torch.no_grad():
            right = (loaded(test_data, depth)(x).argmax(1) == labels).float().mean().item()
            # with all maps of zeros behind: the same weights load just as well, and know nothing
            wrong = loaded(test_data, depth, shortcut="A")(x).argmax(1) == labels
        assert right > 0.6, f"{depth}, of ten classes"
        assert wrong.float().mean() < 0.5, depth
