"""Weight files of others: safetensors, NumPy's and PyTorch's own formats, none of them run."""

from __future__ import annotations

import itertools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backbones.errors import BadWeights, NotFound

PICKLED = (".pth", ".pt", ".th", ".bin", ".tar", ".ckpt")
# Where training scripts put the weights among other things, the likeliest first.
WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file by name.

    A wrapping `state_dict` entry is opened and the prefix `module.` of parallel training removed.
    PyTorch files are read with `weights_only=True`: what else they contain is refused, not run.

    Args:
        path: .safetensors (a bundle too), .npz, .pth, .pt, .th, .bin, .tar or .ckpt. Names as
            Keras gives them are shortened to `layer/kernel`.

    Raises:
        NotFound: there is no such file.
        BadWeights: the file is truncated, is of another kind, or holds more than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"there is no weight file {path}")
    if path.suffix == ".safetensors":
        try:
            return _short_names(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise BadWeights(f"{path} is not a whole safetensors file: {error}") from error
    if path.suffix == ".npz":
        return _short_names(_read_arrays(path))
    if path.suffix not in PICKLED:
        raise BadWeights(
            f"{path} ends in {path.suffix or 'nothing'}; expected .safetensors, .npz or one of"
            f" {', '.join(PICKLED)}"
        )
    return _tensors_of(path, _read_pickled(path))


def _read_arrays(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadWeights(f"{path} holds no plain arrays by name: {reason}") from error


def _short_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keras' `layer/layer/kernel:0` as `layer/kernel`; other names as they are."""
    return {_short_name(name): tensor for name, tensor in state.items()}


def _short_name(name: str) -> str:
    parts = name.removesuffix(":0").split("/")
    return "/".join(part for part, _ in itertools.groupby(parts))


def _read_pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():  # doubts about the format end in an error or do not matter
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the reader raise anything
        reason = str(error).strip().partition("\n")[0]
        refused = "weights only" in str(error).lower() or "Unsupported" in str(error)
        what = "holds more than weights, which is not run" if refused else "cannot be read"
        raise BadWeights(f"{path} {what}: {type(error).__name__}: {reason}") from error


def _tensors_of(path: Path, content: Any) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise BadWeights(f"{path} holds a {type(content).__name__}, expected tensors by name")
    strange = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise BadWeights(
            f"{path} holds {strange[:3]}, which are not tensors; expected a state_dict"
        )
    state = {str(name): value.detach() for name, value in content.items()}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state
