"""Why a module of somebody else cannot be followed, in one line that says what to do about it."""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Sequence
from inspect import Parameter, signature
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from backbones.errors import WrongUse

_OWN_FOLDER = str(Path(__file__).parents[1])
_LIBRARIES = (str(Path(torch.__file__).parent), _OWN_FOLDER, str(Path(os.__file__).parent))
_NETWORKS = tuple(str(Path(_OWN_FOLDER, part)) for part in ("models", "nn"))  # code like a user's
_ABOUT_SHAPE = re.compile(
    r"\b(sizes?|shapes?|dim|dimensions?|channels?|kernel|height|width|broadcast\w*|multiplied)\b",
    re.I,
)
_ABOUT_NUMBERS = re.compile(r"\bmeta\b|data.?dependent|dynamic.?output", re.I)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_ABOUT_IDS = re.compile(r"\b(Long|Int|IntTensor|LongTensor)\b")


def check_forward(model: nn.Module) -> None:
    """Make sure that a module shows its layers, and takes one tensor.

    Raises:
        WrongUse: it is or holds TorchScript, or its `forward` needs no or more than one argument.
    """
    for path, layer in model.named_modules():
        if isinstance(layer, torch.jit.ScriptModule):
            where = f"its part {path}" if path else "it"
            raise WrongUse(
                f"{type(model).__name__} cannot be followed: {where} is a TorchScript module, which"
                " hides its layers; give the Python module that it was made of"
            )
    taken = _parameters(model)
    needed = [p.name for p in taken if p.default is p.empty and p.kind not in _REST]
    places = [p for p in taken if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    named = any(p.kind is p.KEYWORD_ONLY and p.name in needed for p in taken)
    if len(needed) > 1 or not places or named:
        raise WrongUse(
            f"{_forward(model)}, and one batch of images is all that it is given here:"
            f" {_wrap(', '.join(['x', *needed[1:]]) if places else '...')}"
        )


def refusal(model: nn.Module, error: Exception, shape: Sequence[int], advice: str) -> WrongUse:
    """What to tell of a forward pass that failed.

    Args:
        model: the module that ran.
        error: what it raised.
        shape: of the tensor that it was given.
        advice: what to do where the shape is at fault.
    """
    text = next(iter(" ".join(str(error).split("\n\n")[0].split()).splitlines()), "")
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place, code = _place(error)
    where = f" at {place}" if place else ""
    sides = "x".join(map(str, shape))
    who = type(model).__name__
    if _ABOUT_NUMBERS.search(said):
        return WrongUse(
            f"{who}.forward looks at numbers{where}, and has none here, only shapes ({said});"
            " give it with weights, or replace that line"
        )
    if isinstance(error, RuntimeError | TypeError) and _ABOUT_IDS.search(text):
        return WrongUse(
            f"{who}.forward takes whole numbers, such as ids of words, not images: {said}{where};"
            f" {_wrap('x.long()')}"
        )
    if _is_about_shape(error, code):
        return WrongUse(f"{who} does not take images of shape {sides}: {said}{where}; {advice}")
    return WrongUse(
        f"{_forward(model)}, and failed{where} when given one tensor of {sides}: {said};"
        f" if it takes something else than that tensor, {_wrap('...')}"
    )


def _is_about_shape(error: Exception, code: str) -> bool:
    if isinstance(error, AssertionError):
        return bool(_ABOUT_SHAPE.search(f"{error} {code}"))
    return isinstance(error, RuntimeError | ValueError) and bool(_ABOUT_SHAPE.search(str(error)))


def place_of(error: BaseException) -> str:
    """ " at FILE:LINE `code`" of the last line of somebody's own code that ran; "" without one."""
    place, _ = _place(error)
    return f" at {place}" if place else ""


def _place(error: BaseException) -> tuple[str, str]:
    """The last line outside of PyTorch and of this package: where it is, and what stands there."""
    found = ("", "")
    step: TracebackType | None = error.__traceback__
    while step is not None:
        name, line = step.tb_frame.f_code.co_filename, step.tb_lineno
        foreign = "site-packages" in name and not name.startswith(_LIBRARIES[:2])
        if foreign or not name.startswith(("<", *_LIBRARIES)) or name.startswith(_NETWORKS):
            code = linecache.getline(name, line).strip()
            near = os.path.relpath(name) if sys.platform != "win32" else name
            shown = near if not near.startswith("..") else name
            found = (f"{shown}:{line}" + (f" `{code}`" if code else ""), code)
        step = step.tb_next
    return found


def _parameters(model: nn.Module) -> list[Parameter]:
    try:
        return list(signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # not written in Python
        return [Parameter("x", Parameter.POSITIONAL_ONLY)]


def _forward(model: nn.Module) -> str:
    """ "Two.forward takes (a, b)"."""
    names = [str(p).split(":")[0].split("=")[0].strip() for p in _parameters(model)]
    return f"{type(model).__name__}.forward takes ({', '.join(names)})"


def _wrap(given: str) -> str:
    return (
        "wrap it in a module of one input that calls it, such as"
        f" `def forward(self, x): return self.net({given})`"
    )
