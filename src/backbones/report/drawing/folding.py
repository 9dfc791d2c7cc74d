"""Fold calls into each other until what is left is what a figure draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backbones.report.drawing.calls import Kind

_WEIGHTED = ("convolution", "depthwise", "linear")


@dataclass
class Draft:
    """A step in the making; see `steps.DrawingStep`.

    Args:
        kind, title, shape, inputs, modules, before, after, channels_last: of the step.
        unseen: no figure draws it.
    """

    kind: Kind
    title: str
    shape: tuple[int, ...]
    inputs: list[int]
    modules: list[str]
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    channels_last: bool = False
    unseen: bool = False

    @property
    def module(self) -> str:
        """Path of the module that names it."""
        return self.modules[0] if self.modules else ""


def folded(drafts: dict[int, Draft], output: int) -> dict[int, Draft]:
    """What leads to the output, with all that no figure draws by itself folded away.

    Args:
        drafts: by number, in the order of execution; they are changed.
        output: the number of the one that makes the network's output.
    """
    work = _Folding(drafts, output)
    work.bypass_unseen()
    work.keep_ancestors()
    work.fold_attention()
    work.fold_backwards()
    work.fold_forwards()
    work.fold_into_norms()
    work.fold_gates()
    return work.drafts


class _Folding:
    """The drafts, and who reads each of them."""

    def __init__(self, drafts: dict[int, Draft], output: int) -> None:
        self.drafts = drafts
        self.output = output
        self.readers: dict[int, list[int]] = {key: [] for key in drafts}
        for key, draft in drafts.items():
            for source in draft.inputs:
                self.readers[source].append(key)

    def replace(self, key: int, stand_in: int) -> Draft:
        """Take a draft out; whoever read it reads `stand_in` from now on."""
        gone = self.drafts.pop(key)
        for source in gone.inputs:
            self.readers[source].remove(key)
        for reader in self.readers.pop(key):
            inputs = [
                stand_in if source == key else source for source in self.drafts[reader].inputs
            ]
            self.drafts[reader].inputs = list(dict.fromkeys(inputs))
            if reader not in self.readers[stand_in]:
                self.readers[stand_in].append(reader)
        self.output = stand_in if key == self.output else self.output
        return gone

    def rewire(self, key: int, inputs: Sequence[int]) -> None:
        """Let a draft read others than before."""
        for source in self.drafts[key].inputs:
            self.readers[source].remove(key)
        self.drafts[key].inputs = list(inputs)
        for source in inputs:
            self.readers[source].append(key)

    def remove(self, key: int) -> None:
        """Take out a draft that nothing reads any more."""
        for source in self.drafts.pop(key).inputs:
            self.readers[source].remove(key)
        del self.readers[key]

    def bypass_unseen(self) -> None:
        """Take out what leaves the numbers as they are."""
        for key in [key for key, draft in self.drafts.items() if draft.unseen and draft.inputs]:
            source = self.drafts[key].inputs[0]
            gone = self.replace(key, source)
            if self.drafts[source].kind == "attention":  # tokens came first inside
                self.drafts[source].shape = gone.shape

    def keep_ancestors(self) -> None:
        """Take out what does not lead to the output."""
        wanted, pending = {self.output}, [self.output]
        while pending:
            for source in self.drafts[pending.pop()].inputs:
                if source not in wanted:
                    wanted.add(source)
                    pending.append(source)
        for key in [key for key in reversed(self.drafts) if key not in wanted]:
            self.remove(key)

    def trimmings(self) -> list[int]:
        """Normalisations and activations by themselves.

        Local response normalisation is a layer of its own in every paper that has it.
        """
        return [
            key
            for key, draft in self.drafts.items()
            if draft.kind in ("norm", "activation")
            and len(draft.inputs) == 1
            and draft.title != "LRN"
        ]

    def fold_backwards(self) -> None:
        """Into the step before, where nothing else reads that.

        Both into a convolution or a fully connected layer, activations also into a sum or
        anything else but batch normalisation, which may belong to what comes after it.
        """
        for key in self.trimmings():
            draft = self.drafts[key]
            (source,) = draft.inputs
            before = self.drafts[source]
            takes = before.kind in _WEIGHTED or (
                draft.kind == "activation"
                and (before.kind not in ("input", "norm") or before.title == "LRN")
            )
            if takes and self.readers[source] == [key]:
                self.fold_into(source, key)

    def fold_into(self, source: int, key: int) -> None:
        """One trimming into the step before it."""
        gone = self.replace(key, source)
        self.drafts[source].after.append(gone.title)
        self.drafts[source].modules += gone.modules

    def fold_forwards(self) -> None:
        """What is left ("pre-activation") into the convolution after it, the last one first."""
        for key in reversed(self.trimmings()):
            draft = self.drafts[key]
            if len(self.readers[key]) != 1:
                continue
            after = self.drafts[self.readers[key][0]]
            if after.kind in (*_WEIGHTED, "attention") and after.inputs == [key]:
                after.before.insert(0, draft.title)
                after.modules += draft.modules
                self.replace(key, draft.inputs[0])

    def fold_into_norms(self) -> None:
        """An activation into a normalisation that has remained by itself."""
        for key in self.trimmings():
            draft = self.drafts[key]
            (source,) = draft.inputs
            if (
                draft.kind == "activation"
                and self.drafts[source].kind == "norm"
                and self.readers[source] == [key]
            ):
                self.fold_into(source, key)

    def fold_gates(self) -> None:
        """Squeeze-and-excitation: maps, multiplied by what a few layers say of their averages."""
        for key in list(self.drafts):
            draft = self.drafts.get(key)
            if draft is None or draft.title != "×" or len(draft.inputs) != 2:
                continue
            for maps, gate in (tuple(draft.inputs), tuple(draft.inputs[::-1])):
                chain = self.gate(maps, gate, key)
                if not chain:
                    continue
                widths = [self.drafts[link].shape[0] for link in chain if self.drafts[link].shape]
                draft.kind, draft.title = "gate", f"SE {min(widths)}"
                draft.modules += [path for link in chain for path in self.drafts[link].modules]
                draft.modules.sort(key=len)
                self.rewire(key, [maps])
                for link in chain:
                    self.remove(link)
                break

    def gate(self, maps: int, gate: int, product: int) -> list[int]:
        """The layers from the average of `maps` to `gate`; empty where it is anything else."""
        chain: list[int] = []
        while gate != maps:
            inputs = self.drafts[gate].inputs
            if len(inputs) != 1 or self.readers[gate] != [chain[-1] if chain else product]:
                return []
            chain.append(gate)
            (gate,) = inputs
        first = self.drafts[chain[-1]] if chain else None
        averages = first is not None and first.kind == "pooling"
        return chain if averages and first and max(first.shape[1:], default=1) == 1 else []

    def fold_attention(self) -> None:
        """Everything inside a module that attends becomes one step."""
        for key in [key for key, draft in self.drafts.items() if draft.kind == "attention"]:
            path = self.drafts[key].module if key in self.drafts else ""
            if not path:
                continue
            inside = [
                other
                for other, draft in self.drafts.items()
                if draft.module == path or draft.module.startswith(f"{path}.")
            ]
            last = inside[-1]
            within = set(inside)
            if any(set(self.readers[other]) - within for other in inside[:-1]):
                continue  # something outside reads what is half done
            outer = [s for other in inside for s in self.drafts[other].inputs if s not in within]
            draft = self.drafts[last]
            draft.kind, draft.title, draft.channels_last = "attention", "attention", False
            draft.modules = [path]
            self.rewire(last, list(dict.fromkeys(outer)))
            for other in reversed(inside[:-1]):
                self.remove(other)
