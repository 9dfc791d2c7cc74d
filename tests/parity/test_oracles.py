"""With the same weights, our networks and independent ones give the same logits and gradients.

The rows are in `oracles/`, one file a family. BACKBONES_REGENERATE=1 (without -n) writes
`docs/en/why/parity.md` anew from what was measured.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones import catalog
from backbones.models import find_row, make
from backbones.nn.auxiliary import WithAuxiliary

CLASSES = 10
LOGIT_TOLERANCE = 1e-5  # of the largest logit, fp32, evaluation mode
GRADIENT_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}  # of the tensor's largest
GRADIENT_FLOOR = {torch.float64: 1e-4, torch.float32: 1e-2}  # of the network's largest
HEAVY_PARAMS = 4_000_000  # in fp64 grouped convolutions take PyTorch up to a minute
AUXILIARY_WEIGHT = 0.3
TABLE = Path(__file__).parents[2] / "docs" / "en" / "why" / "parity.md"
RENAMES = json.loads((Path(__file__).parent / "renames.json").read_text(encoding="utf-8"))
Measured = dict[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class Oracle:
    """An independent implementation of one variant.

    Args:
        variant: ours.
        library: "torchvision" or "timm".
        peer: its name there.
        px: side of the images that both see; few, because the arithmetic is the same.
        options: arguments of the peer's constructor.
        rename: pairs (ours, theirs): a prefix of a parameter's name; the first that fits counts.
        rules: name of a list in `renames.json`: pairs (regular expression, replacement), all of
            them applied in their order, where a library names a whole network in another way.
        reshape: tensors, by the peer's name, that have more dimensions there.
        fp64: a heavy network whose gradients need the precision all the same, because the peer
            multiplies in another order.
    """

    variant: str
    library: str
    peer: str
    px: int
    options: Mapping[str, Any] = field(default_factory=dict)
    rename: tuple[tuple[str, str], ...] = ()
    rules: str = ""
    reshape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fp64: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Our variant, and whose network it was compared with."""
        return self.variant, f"{self.library} {self.peer}"

    def theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under the peer's names."""
        renamed = {self._their_name(name): tensor for name, tensor in state.items()}
        return {
            name: tensor.reshape(self.reshape.get(name, tensor.shape))
            for name, tensor in renamed.items()
        }

    def _their_name(self, name: str) -> str:
        for mine, theirs in self.rename:
            if name.startswith(mine):
                return theirs + name.removeprefix(mine)
        for mine, theirs in RENAMES[self.rules] if self.rules else ():
            name = re.sub(mine, theirs, name)
        return name


ORACLES = [
    Oracle(**row)
    for path in sorted((Path(__file__).parent / "oracles").glob("*.json"))
    for row in json.loads(path.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Collects the differences; writes the table at the end where that is asked for."""
    found: Measured = {}
    yield found
    if os.environ.get("BACKBONES_REGENERATE"):
        TABLE.write_text(table_text(found), encoding="utf-8")


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Callable[[str], ModuleType]:
    def load(name: str) -> ModuleType:
        module: ModuleType = request.getfixturevalue(name)
        return module

    return load


@lru_cache(maxsize=4)
def large_noise(shape: tuple[int, ...]) -> Tensor:
    """The weights of large fully connected layers are sampled once for all networks."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(math.prod(shape)))


def noise(name: str, tensor: Tensor) -> Tensor:
    """Numbers that keep a signal's size from layer to layer."""
    shape = tuple(tensor.shape)
    if not tensor.is_floating_point():
        return torch.zeros(shape, dtype=tensor.dtype)
    if name.endswith("running_var"):
        return torch.ones(shape)
    if tensor.numel() > 10_000_000:
        numbers = large_noise(shape)
    else:
        seed = sum(position * byte for position, byte in enumerate(name.encode(), 1))
        numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if len(shape) > 1:
        return numbers * math.sqrt(2 / math.prod(shape[1:]))
    return numbers * 0.1 + (1.0 if name.endswith("weight") else 0.0)


def images(channels: int, px: int) -> Tensor:
    return torch.randn(2, channels, px, px, generator=torch.Generator().manual_seed(px))


def noise_network(variant: str, px: int) -> Any:
    """Our network with random weights; batch norm's averages are half those of a real pass.

    With all of it a map that is nearly constant would be divided by nearly nothing, and the last
    bit of a sum, which is the processor's, grows from layer to layer.
    """
    with torch.device("meta"):
        network: Any = make(*find_row(variant), num_classes=CLASSES)
    state = {name: noise(name, tensor) for name, tensor in network.state_dict().items()}
    network.load_state_dict(state, strict=True, assign=True)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not norms:
        return network
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.5
    torch.manual_seed(0)  # stochastic depth samples, and the averages see it
    with torch.no_grad():
        network.train()(images(network.in_channels, px))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network


def theirs(module: ModuleType, oracle: Oracle) -> nn.Module:
    arguments = {"num_classes": CLASSES, **oracle.options}
    with torch.device("meta"):
        if oracle.library == "timm":
            network: nn.Module = module.create_model(oracle.peer, **arguments)
        else:
            network = getattr(module.models, oracle.peer)(**arguments)
    return network


def all_logits(output: Any) -> list[Tensor]:
    if isinstance(output, WithAuxiliary):
        return [output.logits, *output.auxiliary]
    if isinstance(output, Tensor):
        return [output]
    return [logits for logits in output if logits is not None]


def backward(network: nn.Module, x: Tensor) -> int:
    """One step's gradients, the same units dropped each time; how many heads there were."""
    torch.manual_seed(0)
    main, *auxiliary = all_logits(network.train()(x))
    labels = torch.tensor([1, 7])
    loss = F.cross_entropy(main, labels)
    for logits in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * F.cross_entropy(logits, labels)
    loss.backward()
    return 1 + len(auxiliary)


@dataclass(frozen=True)
class Answers:
    """What a network says and learns: its logits in fp32, and what one step leaves behind."""

    logits: Tensor
    heads: int
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def answers(network: nn.Module, x: Tensor, kind: torch.dtype) -> Answers:
    for buffer in network.buffers():
        buffer.data = buffer.data.clone()  # a step moves them; the weights may be another's too
    with torch.no_grad():
        logits = network.eval()(x)
    heads = backward(network.to(kind), x.to(kind))
    gradients = {}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        gradients[name] = parameter.grad
    return Answers(logits, heads, gradients, dict(network.named_buffers()))


@lru_cache(maxsize=1)
def ours(variant: str, px: int, fp64: bool) -> tuple[Mapping[str, Tensor], Tensor, Answers]:
    """Weights, images and answers, once for all libraries that have the network.

    Up to a gigabyte, which `test_equals_an_independent_implementation` forgets after the last one.
    """
    network = noise_network(variant, px)
    state, x = network.state_dict(), images(network.in_channels, px)
    heavy = sum(p.numel() for p in network.parameters()) > HEAVY_PARAMS
    kind = torch.float32 if heavy and not fp64 else torch.float64
    return state, x, answers(network, x, kind)


def largest(tensor: Tensor) -> float:
    """The largest size of a number in it."""
    low, high = tensor.aminmax()
    return max(high.item(), -low.item())


BY_VARIANT = sorted(ORACLES, key=lambda o: o.variant)
LAST = {oracle.variant: oracle for oracle in BY_VARIANT}


@pytest.mark.parametrize("oracle", BY_VARIANT, ids=lambda o: f"{o.variant}-{o.library}-{o.peer}")
def test_equals_an_independent_implementation(
    oracle: Oracle,
    library: Callable[[str], ModuleType],
    measured: Measured,
) -> None:
    state, x, mine = ours(oracle.variant, oracle.px, oracle.fp64)
    if oracle is LAST[oracle.variant]:
        ours.cache_clear()
    network = theirs(library(oracle.library), oracle)
    network.load_state_dict(oracle.theirs(state), strict=True, assign=True)
    kind = next(iter(mine.gradients.values())).dtype
    peer = answers(network, x, kind)
    scale = largest(peer.logits)
    assert peer.logits.std() > 1e-3 * scale, "the oracle's logits say nothing"
    logits = largest(mine.logits - peer.logits) / scale
    assert logits <= LOGIT_TOLERANCE

    assert mine.heads == peer.heads
    own = oracle.theirs(mine.gradients)
    # a bias in front of batch norm has no gradient but for rounding
    floor = GRADIENT_FLOOR[kind] * max(map(largest, own.values()))
    worst = 0.0
    for name, gradient in peer.gradients.items():
        difference = largest(own[name] - gradient) / max(largest(gradient), floor)
        assert difference <= GRADIENT_TOLERANCE[kind], name
        worst = max(worst, difference)
    buffers = oracle.theirs(mine.buffers)
    for name, buffer in peer.buffers.items():
        # means lie around 0, of maps whose size is about 1
        torch.testing.assert_close(buffers[name], buffer, rtol=1e-5, atol=1e-6, msg=name)
    measured[oracle.key] = (logits, worst)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda o: f"{o.variant}-{o.library}-{o.peer}")
def test_state_dicts_fit_both_ways(oracle: Oracle, library: Callable[[str], ModuleType]) -> None:
    """At full width, on the meta device: every name and every shape."""
    with torch.device("meta"):
        mine = make(*find_row(oracle.variant))
        num_classes = find_row(oracle.variant)[1].num_classes
    whole = replace(oracle, options={**oracle.options, "num_classes": num_classes})
    peer = theirs(library(oracle.library), whole)
    own = {name: tuple(t.shape) for name, t in oracle.theirs(mine.state_dict()).items()}
    assert own == {name: tuple(t.shape) for name, t in peer.state_dict().items()}


HEADER = """# Parity

Written by `make parity`, from what `tests/parity/test_oracles.py` measured. The same weights are
loaded into our network and into an independent one (strictly, in both directions). *Logits*: the
largest difference in evaluation mode, fp32, as a share of the largest logit (at most 1e-5).
*Gradients*: the largest difference of any parameter's gradient in training mode, auxiliary heads
included, as a share of that gradient's largest number (at most 1e-7 in fp64; networks of more than
4 million parameters stay in fp32, at most 1e-3: batch norm over a few places makes more of the
last bits).

| variant | parameters | MACs | oracle | logits | gradients |
|---|---|---|---|---|---|
"""

WITHOUT = """
## Without an oracle

Neither library has these rows. Their counts equal the paper's or the authors' to the unit, their
maps have the sizes of the paper's table (`tests/contract`), and their unusual parts are written a
second time in plain NumPy or PyTorch (`tests/models`, `tests/nn`). Narrow rows and those made
for the ledger's small experiments are in no paper; their counts are our own.

| variant | parameters | MACs |
|---|---|---|
"""


def table_text(found: Measured) -> str:
    """The whole of `docs/en/why/parity.md`."""
    compared = {oracle.variant for oracle in ORACLES}
    rows = [
        f"{_counts(key[0])} {key[1]} | {found[key][0]:.0e} | {found[key][1]:.0e} |"
        for key in (oracle.key for oracle in ORACLES)
    ]
    alone = [
        _counts(name).rstrip()
        for name in catalog.names()
        if name not in compared and not name.endswith("_tiny")
    ]
    return HEADER + "\n".join(rows) + "\n" + WITHOUT + "\n".join(alone) + "\n"


def _counts(variant: str) -> str:
    facts = catalog.facts(variant)
    return f"| `{variant}` | {facts.params:,} | {facts.macs:,} |"


def test_the_table_in_docs_lists_every_row() -> None:
    """The differences depend on the processor; everything else is checked word by word."""
    text = TABLE.read_text(encoding="utf-8")
    none: Measured = {oracle.key: (0.0, 0.0) for oracle in ORACLES}
    measured_figures = re.compile(r"\| \d+e[+-]\d+ \| \d+e[+-]\d+ \|$", re.MULTILINE)
    expected = measured_figures.sub("|", table_text(none))
    assert measured_figures.sub("|", text) == expected, "make parity"
