"""Whose weights these are: where in a file a network's tensors lie, and under whose names.

A network is looked for by a few of its tensors' names (under each key map): whatever stands before
them in the file is what trainers and wrappers put there, in any nesting (`state_dict.`, `module.`,
`_orig_mod.`, `model.backbone.`). The place that gives most of the network's names is taken.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backbones.errors import BadWeights, WrongUse
from backbones.weights.keymaps import KEYMAPS
from backbones.weights.keymaps.rules import KeyMap
from backbones.weights.pickles import printable
from backbones.weights.spellings import spellings

COUNTER = ".num_batches_tracked"
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
_LISTED = 5
_ANCHORS = 5
_AS_IT_IS = KeyMap("", "names as they are")

# Copies of a network that are not the one to use: moments of the optimizer, the slow encoder.
_NO_NETWORK = re.compile(
    r"optim|momentum|exp_avg|grad|velocity|encoder_k|key_encoder|queue|discriminator"
)
# Averages over the training go before what they were taken of: publishers evaluate with them.
_AVERAGES = re.compile(r"(?:^|[._])(?:ema|averaged|swa|teacher)(?=$|[._])|_ema|ema_")
_WRAPPERS = re.compile(
    r"_?(?:state_?dict|module|model|net|network|backbone|encoder|encoder_q|trunk|base|body|student"
    r"|online|params|weights|state|orig_mod|base_model|feature_extractor|classifier|\d+"
    r"|model_state_dict|model_state|net_state_dict|generator)"
)
# Always known to stand around the weights of a whole network; not worth a word.
_USUAL = {"", "state_dict.", "module.", "state_dict.module.", "model_state_dict."}
# What trainers keep in their module beside the network.
_BESIDE = re.compile(
    r"n_averaged$|(?:.*_)?(?:criterion|loss|metrics?|acc|accuracy|auroc|f1|queue|queue_ptr|ema"
    r"|teacher|optim\w*|scheduler|scaler|norm|normali[sz]er?|mean|std|aux\w*|center|proj\w*"
    r"|predictor|prototypes?|mixup|train|valid|val|test)(?:_.*|\d*)?$"
)
_COUNTS_OF_PROFILERS = ("total_ops", "total_params", "num_batches_tracked", "n_averaged")


@dataclass(frozen=True)
class Place:
    """Where a network's tensors lie in a file.

    Args:
        before: what stands before their names.
        lacking: what does not stand there though our names begin with it: a saved part.
        keymap: whose names these are.
    """

    before: str
    lacking: str
    keymap: KeyMap

    def below(self, names: Iterable[str]) -> dict[str, str]:
        """The file's names that lie here -> under our names."""
        start = len(self.before)
        return {
            name: self.lacking + self.keymap.our_name(name[start:])
            for name in names
            if name.startswith(self.before)
        }


@dataclass(frozen=True)
class Reading:
    """A file's tensors as those of a network.

    Args:
        state: under our names; those that the network lacks are still among them.
        keymap: the name of the map; empty where names are as they are.
        notes: a sentence for everything that was taken off or left.
    """

    state: dict[str, Tensor]
    keymap: str = ""
    notes: tuple[str, ...] = ()


def read_as(own: Mapping[str, Tensor], state: Mapping[str, Tensor], keymap: str = "") -> Reading:
    """Find a network's tensors in a file.

    Args:
        own: the network's tensors.
        state: the file's, as `files.read_state` gives them.
        keymap: the name of the map to use; found by the names where empty.

    Raises:
        BadWeights: a tensor does not have the dimensions that its map expects.
        WrongUse: the file holds the network several times, and nothing tells which is meant.
    """
    state, found, said = _spelled(own, state, keymap)
    if not found:
        return Reading(dict(state))
    place, others = _preferred(found, state)
    moved, notes = _without_beside(tensors_at(state, place), own)
    notes = [*said, *_say_place(place, others, state), *notes]
    return Reading(moved, place.keymap.name, tuple(notes))


def may_lack(name: str) -> bool:
    """Whether a network's tensor may be absent from a file: batch counters, auxiliary heads."""
    return name.endswith(COUNTER) or name.startswith(_AUXILIARY)


def places(own: Iterable[str], names: Iterable[str], keymap: str = "") -> Iterator[Place]:
    """Everywhere in a file where a network of these names could lie, and under whose names."""
    anchors = _anchors(own)
    for each in [KEYMAPS[keymap]] if keymap else [_AS_IT_IS, *KEYMAPS.values()]:
        wanted = [(each.their_name(anchor), "") for anchor in anchors]
        if each is _AS_IT_IS:  # a part that was saved by itself: its names begin later
            parts = [anchor.partition(".") for anchor in anchors]
            wanted += [(rest, f"{part}.") for part, _, rest in parts if "." in rest]
        found = {
            (name.removesuffix(end), lacking): None
            for name in names
            for end, lacking in wanted
            if name == end or name.endswith(f".{end}")
        }
        for before, lacking in found:
            if not _NO_NETWORK.search(before):
                yield Place(before, lacking, each)


def tensors_at(state: Mapping[str, Tensor], place: Place) -> dict[str, Tensor]:
    """The tensors at a place, under our names.

    Raises:
        BadWeights: a tensor does not have the dimensions that the place's map expects.
    """
    start = len(place.before)
    found = {
        place.lacking + name[start:]: tensor
        for name, tensor in state.items()
        if name.startswith(place.before)
    }
    if not place.keymap.name:
        return found
    try:
        return place.keymap.to_ours(found)
    except (ValueError, IndexError, RuntimeError) as error:
        reason = printable(str(error).partition("\n")[0])
        raise BadWeights(f"these weights are not {place.keymap.summary}: {reason}") from error


def _anchors(own: Iterable[str]) -> list[str]:
    """A few names all over the network, by which it is looked for."""
    names = list(own)
    weights = [name for name in names if name.endswith(".weight")] or names
    some = weights[:: max(len(weights) // _ANCHORS, 1)]
    # `conv1.weight` is the end of many names, `layer2.0.conv1.weight` of one.
    return [a for a in some if not any(name.endswith(f".{a}") for name in names)] or some


def _spelled(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], keymap: str
) -> tuple[Mapping[str, Tensor], list[Place], list[str]]:
    """The file in the spelling that gives most of the network's names, where, and what was done."""
    best, result = 0, (state, list[Place](), list[str]())
    for spelling, said in spellings(own, state):
        spelled = {name: state[theirs] for name, theirs in spelling.items()}
        score, found = _best_places(own, spelled, keymap)
        if score > best:
            best, result = score, (spelled, found, [said] if said else [])
    return result


def _best_places(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], keymap: str
) -> tuple[int, list[Place]]:
    """The places with most of the network's names, and how many of them."""
    counted = {name for name in own if not may_lack(name)}
    scores: dict[Place, int] = {}
    for _, alike in itertools.groupby(places(own, state, keymap), lambda place: place.keymap):
        for place in alike:
            scores[place] = len(counted & set(place.below(state).values()))
        if len(counted) in scores.values():
            break  # nothing can be found better under other names
    best = max(scores.values(), default=0)
    first: dict[str, Place] = {}
    for place, score in scores.items():
        if score == best:
            first.setdefault(place.before, place)  # maps stand in order of preference
    return best, list(first.values()) if best else []


def _preferred(found: list[Place], state: Mapping[str, Tensor]) -> tuple[Place, list[Place]]:
    """Averages before what they are of, known names before unknown ones; else somebody must say."""
    ordered = sorted(found, key=lambda place: _rank(place.before))
    first = ordered[0]
    alike = [p for p in ordered[1:] if _rank(p.before) == _rank(first.before)]
    alike = [p for p in alike if _is_copy(first, p, state)]
    if any(not _same(first, other, state) for other in alike):
        said = " and ".join(repr(p.before.rstrip(".")) for p in [first, *alike])
        raise WrongUse(
            f"these weights hold the network {1 + len(alike)} times, below {said}:"
            " choose one with `backbones weights convert FILE --entry NAME`"
        )
    return first, ordered[1:]


def _rank(before: str) -> int:
    if _AVERAGES.search(before):
        return 0
    return 1 + any(not _WRAPPERS.fullmatch(word) for word in before.split(".")[:-1])


def _is_copy(one: Place, other: Place, state: Mapping[str, Tensor]) -> bool:
    """Whether most tensors at two places have one shape: stages of one network have not."""
    first, second = (
        {(ours, tuple(state[theirs].shape)) for theirs, ours in place.below(state).items()}
        for place in (one, other)
    )
    return 2 * len(first & second) >= min(len(first), len(second))


def _same(one: Place, other: Place, state: Mapping[str, Tensor]) -> bool:
    """Whether two places hold the same numbers."""
    pairs = zip(one.below(state), other.below(state), strict=False)
    return all(torch.equal(state[a], state[b]) for a, b in pairs if not state[a].is_meta)


def _without_beside(
    state: dict[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Leave out what is no part of the network, and say so."""
    parts = {name.partition(".")[0] for name in own}
    left, auxiliary = [], []
    for name in state.keys() - own.keys():
        part, leaf = name.partition(".")[0], name.rpartition(".")[2]
        if name.startswith(_AUXILIARY):
            auxiliary.append(name)
        elif leaf in _COUNTS_OF_PROFILERS or (part not in parts and _BESIDE.match(part)):
            left.append(name)
    notes = []
    if auxiliary:
        heads = ", ".join(sorted({name.partition(".")[0] for name in auxiliary}))
        notes.append(f"{heads}: auxiliary heads that this network does not have, left out")
    if left:
        notes.append(f"{say_names(left)}: no part of the network, left out")
    drop = {*left, *auxiliary}
    return {name: tensor for name, tensor in state.items() if name not in drop}, notes


def _say_place(place: Place, others: list[Place], state: Mapping[str, Tensor]) -> list[str]:
    notes = []
    if place.before not in _USUAL or others:
        notes.append(f"taken from below {place.before.rstrip('.') or 'the top'!r}")
    if others:
        said = ", ".join(repr(printable(other.before.rstrip(".") or "the top")) for other in others)
        notes[0] += f"; the file holds the network below {said} too (`--entry` chooses)"
    if place.lacking:
        notes.append(f"taken for the part {place.lacking.rstrip('.')!r} alone")
    beside = {n for n in state if not n.startswith(place.before)}
    beside -= {n for n in state for other in others if n.startswith(other.before)}
    if beside:
        shown = {".".join(name.split(".")[:2]) for name in beside}
        notes.append(f"{say_names(shown)}: beside the network, left out")
    return notes


def say_names(names: Iterable[str]) -> str:
    """The first few of some names, and how many more there are.

    Example:
        >>> say_names(["b", "a"]), say_names("abcdefg")
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(map(printable, ordered[:_LISTED])) + more


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
