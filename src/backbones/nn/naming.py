"""What papers and their authors' files call the parts of a network, and how a user's word is read.

A family whose paper names layers one by one says so in a property `layer_names`; everywhere else a
part is called after its stage: `Dense Block (1)/denselayer2/conv1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from backbones.errors import NotFound, nearest
from backbones.nn.lrn import LocalResponseNorm

# The words of the authors' Caffe files, which everybody types: `conv3_3`, `relu4_2`, `norm1`.
_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("conv", (_ConvNd,)),
    ("bn", (_BatchNorm,)),
    ("norm", (LocalResponseNorm,)),
    ("relu", (nn.ReLU, nn.ReLU6)),
    ("act", (nn.SiLU, nn.Tanh, nn.Sigmoid)),
    ("pool", (nn.MaxPool2d, nn.AvgPool2d)),
    ("avgpool", (nn.AdaptiveAvgPool2d,)),
    ("drop", (_DropoutNd,)),
    ("fc", (nn.Linear,)),
    ("pad", (nn.ZeroPad2d,)),
)


def paper_names(network: nn.Module) -> dict[str, str]:
    """What the paper calls each part of a network.

    Args:
        network: any module; only networks of this package have papers.

    Returns:
        Module path -> name, in the order of the modules: every layer without parts, every stage,
        and the blocks inside stages. No name occurs twice. Empty for other modules.

    Example:
        >>> from backbones.models import build
        >>> paper_names(build("vgg11"))["features.6"]
        'conv3_1'
    """
    stages = {path: title for title, path in _stages(network)}
    if not stages:
        return {}
    own: dict[str, str] = {**getattr(network, "layer_names", {})}
    for path, title in stages.items():
        columns = getattr(network.get_submodule(path), "columns", ())
        units = _units(path, network.get_submodule(path)) if columns else []
        own |= {p: f"{title}/{column}" for p, column in zip(units, columns, strict=True)}
    namer = _Namer(stages, own, list(stages))
    return {path: name for path, part in _parts(network) if (name := namer.name(path, part))}


def module_path(network: nn.Module, name: str) -> str:
    """The path of the part that a user means.

    Args:
        network: any module.
        name: a module path ("layer1.0.relu"), the paper's name of a layer ("relu4_2") or of a
            stage ("conv3_x"); capitals are not looked at. A path comes first where two would fit.

    Raises:
        NotFound: the network has no such part; names the nearest.

    Example:
        >>> from backbones.models import build
        >>> module_path(build("vgg_tiny"), "RELU2_1")
        'features.6'
    """
    paths = [path for path, _ in _parts(network)]
    if name in paths:
        return name
    known: dict[str, str] = {}
    for said, path in (
        *((said, path) for path, said in paper_names(network).items()),
        *_stages(network),
        *((path, path) for path in paths),
    ):
        known.setdefault(said, path)
    folded = {said.lower(): path for said, path in reversed(known.items())}
    if name.lower() in folded:
        return folded[name.lower()]
    raise NotFound(
        f"{type(network).__name__} has no layer {name!r}: expected the paper's name of a layer or"
        f" stage, or a module path.{nearest(name, known) or _listed(network)}"
    )


def numbered(network: nn.Module, *, by_block: bool) -> dict[str, str]:
    """The names of the authors' Caffe files for a plain chain of layers.

    Args:
        network: whose layers without parts run in the order in which they are registered.
        by_block: poolings end blocks, and convolutions are counted inside them (`conv3_2`);
            otherwise every convolution and fully connected layer counts (`conv3`).

    Returns:
        Module path -> name; what follows a layer carries its number (`relu3_2`, `pool5`, `drop6`).
    """
    names: dict[str, str] = {}
    block, inside, label = int(by_block), 0, ""
    for path, layer in _parts(network):
        kind = kind_of(layer)
        if next(layer.children(), None) is not None:
            continue
        if kind == "pad":  # in front of the layer that it belongs to
            names[path] = f"pad{block + 1}"
            continue
        if not by_block and kind in ("conv", "fc"):
            block, label = block + 1, str(block + 1)
        elif by_block and kind == "conv":
            inside, label = inside + 1, f"{block}_{inside + 1}"
        elif by_block and kind in ("pool", "fc"):
            label, block, inside = str(block), block + 1, 0
        names[path] = kind if kind == "avgpool" else f"{kind}{label}"
    return names


def kind_of(layer: nn.Module) -> str:
    """One word for what a layer does: "conv", "bn", "relu"; its class's name where there is none.

    Example:
        >>> kind_of(nn.Linear(1, 1))
        'fc'
    """
    found = (word for word, classes in _KINDS if isinstance(layer, classes))
    return next(found, type(layer).__name__.lower())


def _listed(network: nn.Module) -> str:
    """The end of a message where nothing is near: what there is, in a few words."""
    some = [title for title, _ in _stages(network)] or [
        name for name, _ in network.named_children()
    ]
    return f" It has {', '.join(some[:20])}{', ...' if len(some) > 20 else ''}." if some else ""


def _stages(network: nn.Module) -> Sequence[tuple[str, str]]:
    """(Title, module path) of a network of this package; others may use the word for a module."""
    stages = getattr(network, "stages", ())
    return stages if isinstance(stages, tuple) and hasattr(network, "row") else ()


def _units(path: str, module: nn.Module) -> list[str]:
    """Paths of a module's parts; where a part is a chain, of the parts of that."""
    return [
        unit
        for name, part in module.named_children()
        for unit in (
            _units(f"{path}.{name}", part)
            if isinstance(part, nn.Sequential)
            else [f"{path}.{name}"]
        )
    ]


def _parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules inside with their paths; one with several paths under each of them."""
    found = network.named_modules(remove_duplicate=False)
    next(found)  # the network itself
    yield from found


class _Namer:
    """Goes through the parts in their order, and remembers in which stage it is.

    Args:
        stages: module path of each stage's end -> title.
        own: names that the family gives, by module path.
        ends: the stages' module paths, in order.
    """

    def __init__(self, stages: dict[str, str], own: Mapping[str, str], ends: list[str]) -> None:
        self._stages, self._own, self._ends = stages, own, ends
        self._current = 0  # the stage that is not over yet
        self._tops: list[str] = []  # the parts of that stage, so far
        self._named: dict[str, str] = {}  # path -> what names of its own parts begin with
        self._siblings: dict[str, dict[str, int]] = {}  # path -> how many of each kind so far

    def name(self, path: str, part: nn.Module) -> str | None:
        """The part's name, or None for a mere container of stages."""
        if any(end.startswith(f"{path}.") for end in self._ends):
            return None
        parent, _, last = path.rpartition(".")
        if parent in self._named:
            begin = f"{self._named[parent]}/{self._label(parent, last, part)}"
            self._named[path] = self._own.get(path, self._stages.get(path, begin))
            return self._named[path]
        if path in self._own and path not in self._stages:
            self._named[path] = self._own[path]
            return self._own[path]
        if "aux" in last.lower() or self._current == len(self._ends):
            self._named[path] = path.replace(".", "/")
            return self._named[path]
        return self._top(path, last, part)

    def _top(self, path: str, last: str, part: nn.Module) -> str:
        """A part of the current stage that is in no other part of it; the last one ends it."""
        title = self._stages[self._ends[self._current]]
        self._tops.append(path)
        number = len(self._tops)
        is_block = next(part.children(), None) is not None
        label = str(number) if last.isdigit() and is_block else self._label(title, last, part)
        if path != self._ends[self._current]:
            self._named[path] = f"{title}/{label}"
            return self._named[path]
        said = self._own.get(path, title)
        self._named[path] = f"{said}/{label}" if number > 1 and label.isdigit() else said
        self._current, self._tops = self._current + 1, []
        return said

    def _label(self, parent: str, last: str, part: nn.Module) -> str:
        """A part's own name; numbers become words (layers) or are counted from one (blocks)."""
        if not last.isdigit():
            return last
        if next(part.children(), None) is not None:
            return str(int(last) + 1)
        seen = self._siblings.setdefault(parent, {})
        kind = kind_of(part)
        seen[kind] = seen.get(kind, 0) + 1
        return kind if seen[kind] == 1 else f"{kind} {seen[kind]}"
