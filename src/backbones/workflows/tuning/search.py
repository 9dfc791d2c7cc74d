"""What to try: one recipe field each, and the values that it may take.

optimizer.lr=1e-4..1e-1:log     a range, even in powers
optimizer.weight_decay=0..1e-3  a range
batch_size=16..64:log           whole numbers, where the field takes only these
length=5..20epochs              a range of lengths
model=resnet20_cifar,lenet5     a list
augment.flip=0,0.5              a list
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backbones.errors import RecipeError, WrongUse

Value = float | int | str
Check = Callable[[Sequence[str]], None]
"""Called with settings, `field=value` each; raises RecipeError where the recipe refuses them."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})([a-z%]*)\.\.({_NUMBER})([a-z%]*)(?::(.*))?")
_EXAMPLES = "a range such as 1e-4..1e-1:log or a list such as 16,32,64"
_MOST_CHECKS = 256
# They say which images are the measure, or when it is taken: trials must agree on them.
_MEASURE = ("seed", "val_fraction", "folds", "fold", "limit", "evaluate_every")
_NO_EFFECT = (
    *("name", "summary", "source", "expected"),
    *("checkpoint_every", "workers", "threads", "cache"),
)


@dataclass(frozen=True)
class Range:
    """All numbers between two.

    Args:
        field: of the recipe, by its dotted path.
        low, high: both ends are included.
        log: every power is as likely as any other.
        whole: whole numbers only.
        unit: behind the number, such as epochs; mostly nothing.
    """

    field: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    unit: str = ""

    def setting(self, value: Value) -> str:
        """As `--set` takes it."""
        return f"{self.field}={value}{self.unit}"

    def ends(self) -> tuple[Value, ...]:
        """Values that have to be valid for the others to be."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.whole else math.inf

    def all(self) -> Sequence[Value]:
        """Every value of a range of whole numbers."""
        return range(int(self.low), int(self.high) + 1)

    def __str__(self) -> str:
        low, high = (f"{end:g}" for end in (self.low, self.high))
        return f"{self.field}={low}..{high}{self.unit}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """Some values.

    Args:
        field: of the recipe, by its dotted path.
        values: as `--set` takes them.
    """

    field: str
    values: tuple[str, ...]

    def setting(self, value: Value) -> str:
        """As `--set` takes it."""
        return f"{self.field}={value}"

    def ends(self) -> tuple[Value, ...]:
        """Values that have to be valid: all."""
        return self.values

    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def all(self) -> Sequence[Value]:
        """Every value."""
        return self.values

    def __str__(self) -> str:
        return f"{self.field}={','.join(self.values)}"


Search = Range | Choice
Parameters = Mapping[str, Value]


def read_searches(texts: Sequence[str], check: Check) -> tuple[Search, ...]:
    """Read what `--search` was given, and have the recipe check it.

    Args:
        texts: `FIELD=LOW..HIGH[:log]` or `FIELD=A,B,...` each.
        check: refuses settings that do not fit the recipe.

    Raises:
        WrongUse: neither a range nor a list, or a field that trials cannot differ in.
        RecipeError: the recipe refuses a value, or two together.

    Example:
        >>> [str(each) for each in read_searches(["ema=0.9..0.99"], lambda settings: None)]
        ['ema=0.9..0.99']
    """
    searches = tuple(_whole_where_needed(_read(text), check) for text in texts)
    fields = [search.field for search in searches]
    for field in fields:
        if fields.count(field) > 1:
            raise WrongUse(f"--search names {field} {fields.count(field)} times; expected once")
    for values in itertools.islice(_ends_together(searches), _MOST_CHECKS):
        check(settings_of(searches, values))
    for search in searches:  # where there are too many to try all together
        for value in search.ends():
            others = {each.field: each.ends()[0] for each in searches}
            check(settings_of(searches, others | {search.field: value}))
    return searches


def settings_of(searches: Sequence[Search], parameters: Parameters) -> list[str]:
    """One trial's parameters as `--set` takes them."""
    return [search.setting(parameters[search.field]) for search in searches]


def combinations(searches: Sequence[Search]) -> Iterator[dict[str, Value]]:
    """Every combination of a finite search, in a fixed order."""
    for values in itertools.product(*(search.all() for search in searches)):
        yield {search.field: value for search, value in zip(searches, values, strict=True)}


def num_combinations(searches: Sequence[Search]) -> float:
    """How many there are; infinite with a range of fractions."""
    return math.prod(search.size() for search in searches)


def usual_searches(lr: float, weight_decay: float, label_smoothing: float) -> tuple[str, ...]:
    """What is searched where nothing else was said: the three that matter in every recipe.

    Args:
        lr, weight_decay, label_smoothing: of the recipe; each lies inside what is searched.

    Example:
        >>> usual_searches(0.01, 1e-4, 0.1)[0]
        'optimizer.lr=0.001..0.1:log'
    """
    decay = "0,1e-5,1e-4,1e-3"
    if weight_decay:
        decay = f"{weight_decay / 10:g}..{weight_decay * 10:g}:log"
    return (
        f"optimizer.lr={lr / 10:g}..{lr * 10:g}:log",
        f"optimizer.weight_decay={decay}",
        f"label_smoothing=0..{max(0.2, min(0.9, 2 * label_smoothing)):g}",
    )


def own_values(searches: Sequence[Search], recipe: Mapping[str, Any], check: Check) -> Parameters:
    """The recipe's own values, of the fields where they are inside what is searched.

    Args:
        searches: what is searched.
        recipe: its plain values, as a recipe file holds them.
        check: raises RecipeError where a setting would change the recipe.
    """
    found: dict[str, Value] = {}
    for search in searches:
        own: Any = recipe
        for part in search.field.split("."):
            own = own.get(part) if isinstance(own, Mapping) else None
        if isinstance(search, Choice):
            candidates: list[Value] = list(search.values)
        else:
            candidates = list(_inside(search, own))
        for value in candidates:
            try:
                check([search.setting(value)])
            except RecipeError:
                continue
            found[search.field] = value
            break
    return found


def _inside(search: Range, own: object) -> Iterator[Value]:
    """The recipe's value as a number of the range, if it is one."""
    match = re.fullmatch(rf"({_NUMBER})([a-z%]*)", str(own).lower())
    if match is None or isinstance(own, bool):
        return
    number = float(match[1])
    if search.low <= number <= search.high:
        yield int(number) if search.whole and number.is_integer() else number


def _read(text: str) -> Search:
    field, equals, values = (part.strip() for part in text.partition("="))
    if not (equals and field and values):
        raise WrongUse(f"--search {text!r} says nothing to try; expected FIELD=VALUES: {_EXAMPLES}")
    if field in _MEASURE:
        raise WrongUse(
            f"{field} cannot be searched: trials are compared on the same images at the same"
            f" times; set it for all of them with --set {field}=..."
        )
    if field in _NO_EFFECT:
        raise WrongUse(f"{field} cannot be searched: it changes nothing that is measured")
    match = _RANGE.fullmatch(values)
    if match is not None:
        return _range(field, text, match)
    found = _split(values)
    if len(found) < 2:
        hint = "" if ".." in values else f"; to set it for all trials: --set {text}"
        raise WrongUse(f"--search {text!r} is one value; expected {_EXAMPLES}{hint}")
    if len(set(found)) < len(found) or "" in found:
        raise WrongUse(
            f"--search {text!r} names a value twice, or an empty one; expected {_EXAMPLES}"
        )
    return Choice(field, tuple(found))


def _range(field: str, text: str, match: re.Match[str]) -> Range:
    low, high, word = float(match[1]), float(match[3]), match[5]
    unit = match[4] or match[2]
    if word not in (None, "log"):
        raise WrongUse(f"--search {text!r} ends in :{word}; expected :log, or nothing")
    if match[2] and match[2] != unit:
        raise WrongUse(f"--search {text!r} goes from {match[2]} to {unit}; expected one unit")
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise WrongUse(f"--search {text!r} is empty; expected the smaller number first")
    if word and low <= 0:
        raise WrongUse(
            f"--search {text!r}: a :log range has no powers at {low:g}; begin above 0, or leave"
            " out :log"
        )
    return Range(field, low, high, bool(word), bool(unit) and _are_whole(low, high), unit)


def _are_whole(*numbers: float) -> bool:
    return all(number.is_integer() for number in numbers)


def _whole_where_needed(search: Search, check: Check) -> Search:
    """Whole numbers for a field that takes nothing else."""
    if isinstance(search, Choice) or search.whole or not _are_whole(search.low, search.high):
        return search
    try:
        check([search.setting(search.low + 0.5 * min(1.0, search.high - search.low))])
    except RecipeError:
        return replace(search, whole=True)
    return search


def _ends_together(searches: Sequence[Search]) -> Iterator[dict[str, Value]]:
    for values in itertools.product(*(search.ends() for search in searches)):
        yield {search.field: value for search, value in zip(searches, values, strict=True)}


def _split(text: str) -> list[str]:
    """At the commas that are outside brackets: a value may be a JSON list."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
