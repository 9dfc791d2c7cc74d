"""A literal, two-way map between the names and layouts of two checkpoints.

A rule is a pair of patterns, and how a tensor has to be turned. In a pattern `{s}` (one letter)
stands for a number, `{s+1}` for that number and one, `{rest}` for anything, and another word in
braces for one part between dots or slashes. The first rule that fits counts; a name that no rule
fits stays as it is. The same rules are read in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from torch import Tensor

Turn = Literal["", "hwio", "hwio_bgr", "hwc1", "11io", "io", "hwc_o", "oihw", "oi11", "bgr"]
"""How their tensor lies, named by its dimensions; ours is OIHW for convolutions, OI for layers.

h, w: kernel; i, o: channels in and out; c: channels of a depthwise kernel; bgr: the channels in
are blue, green, red. "hwc_o" is a layer that sees a flattened 7 x 7 map, channels last; "oihw" and
"oi11" are layers of ours that are convolutions (7 x 7, 1 x 1) of theirs.
"""

Turning = Callable[[Tensor], Tensor]

_MAP_PX = 7  # side of the map that the first fully connected layer of a VGG sees

# Per turn: theirs to ours, ours to theirs.
_TURNS: dict[Turn, tuple[Turning, Turning]] = {
    "": (lambda t: t, lambda t: t),
    "bgr": (lambda t: t.flip(1), lambda t: t.flip(1)),
    "hwio": (lambda t: t.permute(3, 2, 0, 1), lambda t: t.permute(2, 3, 1, 0)),
    "hwio_bgr": (
        lambda t: t.permute(3, 2, 0, 1).flip(1),
        lambda t: t.flip(1).permute(2, 3, 1, 0),
    ),
    "hwc1": (lambda t: t.permute(2, 3, 0, 1), lambda t: t.permute(2, 3, 0, 1)),
    "11io": (lambda t: t[0, 0].t(), lambda t: t.t()[None, None]),
    "io": (lambda t: t.t(), lambda t: t.t()),
    "hwc_o": (
        lambda t: t.reshape(_MAP_PX, _MAP_PX, -1, t.shape[1]).permute(3, 2, 0, 1).flatten(1),
        lambda t: t.reshape(len(t), -1, _MAP_PX, _MAP_PX).permute(2, 3, 1, 0).reshape(-1, len(t)),
    ),
    "oihw": (lambda t: t.flatten(1), lambda t: t.reshape(len(t), -1, _MAP_PX, _MAP_PX)),
    "oi11": (lambda t: t.flatten(1), lambda t: t[:, :, None, None]),
}


@dataclass(frozen=True)
class Rule:
    """One kind of tensor.

    Args:
        theirs, ours: patterns of its name.
        turn: how theirs lies.
    """

    theirs: str
    ours: str
    turn: Turn = ""


@dataclass(frozen=True)
class KeyMap:
    """All rules of one kind of checkpoint.

    Args:
        name: as rows of the table say it.
        summary: whose checkpoints these are.
        rules: the first that fits counts.
        optional: beginnings of names of ours that the file or the network may lack.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...] = ()
    optional: tuple[str, ...] = ()

    def our_name(self, name: str) -> str:
        """Their name in our words.

        Example:
            >>> stem = KeyMap("k", "", (Rule("b.{s}.{rest}", "features.{s+1}.{rest}"),))
            >>> stem.our_name("b.3.conv.weight"), stem.their_name("features.4.conv.weight")
            ('features.4.conv.weight', 'b.3.conv.weight')
        """
        return self._move(name, to_ours=True)[0]

    def their_name(self, name: str) -> str:
        """Our name in their words."""
        return self._move(name, to_ours=False)[0]

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their checkpoint with our names and layouts.

        Raises:
            ValueError, IndexError, RuntimeError: a tensor does not have the dimensions of its rule.
        """
        return self._move_all(state, to_ours=True)

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights with their names and layouts."""
        return self._move_all(state, to_ours=False)

    def _move_all(self, state: Mapping[str, Tensor], *, to_ours: bool) -> dict[str, Tensor]:
        moved = {}
        for name, tensor in state.items():
            new_name, turn = self._move(name, to_ours=to_ours)
            forward, back = _TURNS[turn]
            moved[new_name] = (forward if to_ours else back)(tensor).contiguous()
        return moved

    def _move(self, name: str, *, to_ours: bool) -> tuple[str, Turn]:
        for rule in self.rules:
            old, new = (rule.theirs, rule.ours) if to_ours else (rule.ours, rule.theirs)
            values = _read(old, name)
            if values is not None:
                return _write(new, values), rule.turn
        return name, ""


_FIELD = re.compile(r"\{(\w+?)(?:\+(\d+))?\}")


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], dict[str, int]]:
    """A pattern as a regular expression, and what is added to each number in it."""
    text, end, added = "", 0, {}
    for field in _FIELD.finditer(pattern):
        word, plus = field[1], int(field[2] or 0)
        kind = r"\d+" if len(word) == 1 else ".+" if word == "rest" else "[^./]+"
        text += re.escape(pattern[end : field.start()]) + f"(?P<{word}>{kind})"
        end, added[word] = field.end(), plus
    return re.compile(text + re.escape(pattern[end:])), added


def _read(pattern: str, name: str) -> dict[str, str] | None:
    """What stands in the fields of a pattern, numbers less what is added to them."""
    expression, added = _compiled(pattern)
    match = expression.fullmatch(name)
    if match is None:
        return None
    values = match.groupdict()
    for word, plus in added.items():
        if len(word) == 1:
            values[word] = str(int(values[word]) - plus)
    return None if any(value.startswith("-") for value in values.values()) else values


def _write(pattern: str, values: Mapping[str, str]) -> str:
    def fill(field: re.Match[str]) -> str:
        value = values[field[1]]
        return str(int(value) + int(field[2])) if field[2] else value

    return _FIELD.sub(fill, pattern)
