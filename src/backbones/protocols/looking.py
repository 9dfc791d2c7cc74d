"""Pictures as a protocol sees them: decoded once, cut into views ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from backbones.data.crew import Crew, usable_cores
from backbones.data.readers import Reader, open_reader
from backbones.data.render import Pixels
from backbones.data.source import Split
from backbones.errors import BadImage
from backbones.protocols.row import Protocol
from backbones.protocols.viewing import View, cut_views, plan
from backbones.spec import InputSpec


@dataclass(frozen=True)
class Seen:
    """One picture and its views.

    Args:
        index: its position in the split.
        plan: its views as geometry.
        pixels: one a view, uint8 (h, w, C).
        reason: why it cannot be read; empty where it can.
    """

    index: int
    plan: tuple[View, ...] = ()
    pixels: tuple[Pixels, ...] = ()
    reason: str = ""


def look(
    split: Split, spec: InputSpec, protocol: Protocol, *, workers: int | None = None
) -> Iterator[Seen]:
    """Every picture of a split in order, with its views.

    Two pictures a thread are prepared ahead, so that memory does not grow with the split.

    Args:
        split: the pictures.
        spec: of the network.
        protocol: what to cut.
        workers: threads; one a core where None, none where 0.

    Raises:
        ProtocolError: a view is larger than what it is cut from.
    """
    crew = Crew(usable_cores() if workers is None else workers)
    reader = open_reader(split.pictures, spec.channels)
    waiting: deque[Future[Seen]] = deque()
    try:
        for index in range(len(split)):
            waiting.append(crew.submit(_see, reader, index, spec, protocol))
            if len(waiting) > 2 * crew.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        crew.close()


def _see(reader: Reader, index: int, spec: InputSpec, protocol: Protocol) -> Seen:
    try:
        pixels = reader.read(index, None)
        wanted = plan(protocol, pixels.shape[1], pixels.shape[0], spec)
        return Seen(index, wanted, tuple(cut_views(pixels, wanted, spec)))
    except BadImage as error:
        return Seen(index, reason=str(error))
