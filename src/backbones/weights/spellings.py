"""A file's names as a network would spell them: without wrappers of its parts, with their words.

What stands before all names is found by `fit`; here is what stands inside them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

# No network here has parts of these names; PyTorch puts them where a part was wrapped.
_INSIDE = re.compile(
    r"(?<=\.)(?:module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\."
)

# The first number among a name's words.
_NUMBER = re.compile(r"(?P<before>(?:[^.]*[^.0-9][^.]*\.)*)(?P<number>[0-9]{1,3})\.(?P<rest>.+)")

Spelling = dict[str, str]


def spellings(own: Iterable[str], names: Iterable[str]) -> Iterator[tuple[Spelling, str]]:
    """Ways to read a file's names, the most likely first: new name -> the file's name.

    Args:
        own: names of the network's tensors, in its order.
        names: the file's.

    Yields:
        each with a sentence that says what was done; the first is the names as they are.
    """
    names = list(names)
    yield {name: name for name in names}, ""
    plain = unwrapped(names)
    if plain and plain.keys() != set(names):
        yield plain, "wrappers of single parts, as 'module.' inside the names, are taken off"
    named = _with_words(own, plain or {name: name for name in names})
    if named:
        yield named, "numbers of an nn.Sequential in the file are read as the network's parts"


def unwrapped(names: Iterable[str]) -> Spelling:
    """Names without what wraps parts of a network; nothing where two would become one.

    Example:
        >>> unwrapped(["features.module.0.weight"])
        {'features.0.weight': 'features.module.0.weight'}
    """
    names = list(names)
    found = {_INSIDE.sub("", name): name for name in names}
    return found if len(found) == len(names) else {}


def _with_words(own: Iterable[str], plain: Spelling) -> Spelling:
    """`nn.Sequential(*network.children())` counts a network's parts; their words instead.

    Parts without tensors are counted too, so the numbers have gaps; their order is the network's.
    """
    words = list(dict.fromkeys(name.partition(".")[0] for name in own))
    split = {name: match for name in plain if (match := _NUMBER.match(name))}
    if not split:
        return {}
    before = Counter(match["before"] for match in split.values()).most_common(1)[0][0]
    numbers = sorted({int(m["number"]) for m in split.values() if m["before"] == before})
    if len(numbers) > len(words):
        return {}
    part = dict(zip(numbers, words, strict=False))
    found = {}
    for old, theirs in plain.items():
        name, match = old, split.get(old)
        if match and match["before"] == before:
            name = f"{before}{part[int(match['number'])]}.{match['rest']}"
        found[name] = theirs
    return found if len(found) == len(plain) else {}
