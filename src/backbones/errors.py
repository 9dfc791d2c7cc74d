"""Everything that `backbones` raises on purpose.

    BackbonesError
    ├── WrongUse           the call itself is wrong; exit code 2
    │   ├── NotFound       no such name, file or folder; names the nearest ones
    │   ├── RecipeError    a recipe or a `--set` that does not fit the schema
    │   ├── ProtocolError  a protocol that cannot be applied to this network
    │   └── MissingExtra   an optional library is absent; names the install line
    ├── BadImage           one image that cannot be decoded
    ├── BadData            a data set that cannot be used as it stands
    ├── BadWeights         a weight file or bundle that cannot be trusted or does not fit
    │   └── NotFinite      a network's answer that is nan or infinite
    ├── DownloadFailed     a file that cannot be fetched, or arrives damaged
    ├── ExportMismatch     an exported network that answers differently
    ├── QuantizationRefused  a network that int8 harms, or that it cannot be done to
    ├── Busy               a folder that another process is writing
    ├── TrainingStopped    a run that cannot go on
    │   └── Diverged       its loss is not a finite number any more
    ├── ProcessLost        one of several processes that do one work is gone
    ├── OutOfMemory        more memory was needed than there is
    └── Interrupted        a run that was asked to stop, and saved itself first

A message is one line: what happened, what was expected, what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class BackbonesError(Exception):
    """The root: a failure that the message explains; exit code 1."""

    exit_code = 1


class WrongUse(BackbonesError):
    """The caller asked for something that cannot be; exit code 2."""

    exit_code = 2


class NotFound(WrongUse):
    """A name, file or folder that does not exist."""


class RecipeError(WrongUse):
    """A recipe or a `--set` that does not fit the schema."""


class ProtocolError(WrongUse):
    """An evaluation protocol that cannot be applied to this network or data."""


class MissingExtra(WrongUse):
    """An optional library is absent.

    Args:
        library: the name that cannot be imported.
        extra: the extra of this package that installs it.
        purpose: what it is needed for.
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed:"
            f" pip install 'classic-backbones[{extra}]'"
        )


class BadImage(BackbonesError):
    """One image that cannot be decoded."""


class BadData(BackbonesError):
    """A data set that cannot be used as it stands."""


class BadWeights(BackbonesError):
    """A weight file or bundle that cannot be trusted or does not fit."""


class NotFinite(BadWeights):
    """A network's answer to an image that is nan or infinite, which is no answer.

    Args:
        found: the first value that is not finite.
        about: the image's file; its place in the batch where only that is known.
        row: the image's place in the batch that the network was shown.
    """

    def __init__(self, found: float, about: str, row: int = 0) -> None:
        super().__init__(
            f"{about}: the network's answer is {found}, expected finite numbers; its weights are"
            " damaged or diverged in training, so use another checkpoint (where it answers in"
            " bf16, fp32 may help)"
        )
        self.found, self.about, self.row = found, about, row


class DownloadFailed(BackbonesError):
    """A file that cannot be fetched, or arrives damaged."""


class ExportMismatch(BackbonesError):
    """An exported network whose answers differ from the original's.

    Args:
        runtime: that answers differently.
        image: the first for which it does.
        difference: what differs, and by how much.
        layer: the first whose answer differs; None where that cannot be told.
    """

    def __init__(self, runtime: str, image: str, difference: str, layer: str | None) -> None:
        at = f", first at {layer}" if layer else ""
        super().__init__(
            f"{runtime} answers otherwise than PyTorch for {image}: {difference}{at};"
            " such a file is of no use, try another --to or --layout"
        )
        self.runtime, self.image, self.layer = runtime, image, layer


class QuantizationRefused(BackbonesError):
    """A network that loses too much in int8, or that cannot be quantised; nothing is written."""


class Busy(BackbonesError):
    """A folder that another process is writing; the same call works once that has ended."""


class TrainingStopped(BackbonesError):
    """A run that cannot go on."""


class Diverged(TrainingStopped):
    """A run whose loss is not a finite number any more."""


class ProcessLost(BackbonesError):
    """One of several processes that do one work is gone, or does not answer."""


class OutOfMemory(BackbonesError):
    """More memory was needed than there is; the message says what would fit."""


class Interrupted(BackbonesError):
    """A run that was asked to stop, and saved itself first.

    Args:
        message: as of every error.
        exit_code: what shells expect: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_FILE_ALIKE = 0.8  # files beside it were not named so that one is taken for another


def nearest_file(name: str, beside: Iterable[str]) -> str:
    """As `nearest`, of files and folders: only what is misspelt, and not what just lies there.

    Example:
        >>> nearest_file("photo", ["photos", "answers"]), nearest_file("nowhere", ["answers"])
        (' Did you mean photos?', '')
    """
    return nearest(name, beside, cutoff=_FILE_ALIKE)


def nearest(name: str, known: Iterable[str], *, count: int = 3, cutoff: float = 0.5) -> str:
    """End an error message with the known names that look most like `name`.

    Args:
        name: what was asked for.
        known: what there is.
        count: the most names.
        cutoff: how alike they have to be, 0 to 1.

    Returns:
        " Did you mean a, b or c?", or the empty string where nothing is near.

    Example:
        >>> nearest("vg16", ["vgg16", "vgg19", "lenet5"], count=1)
        ' Did you mean vgg16?'
    """
    import difflib  # only a mistake needs it

    found = difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)
    if not found:
        return ""
    listed = found[0] if len(found) == 1 else ", ".join(found[:-1]) + " or " + found[-1]
    return f" Did you mean {listed}?"


# How PyTorch, its allocators and oneDNN say it; most of them in a plain RuntimeError.
_SHORT_OF_MEMORY = (
    *("can't allocate memory", "out of memory", "not enough memory", "bad_alloc"),
    *("Storage size calculation overflowed", "could not create a memory object"),
)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, whoever raised it.

    Example:
        >>> is_short_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
    """
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in _SHORT_OF_MEMORY)
    )


@contextmanager
def telling_of_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Inside, what runs out of memory ends with one line.

    Args:
        advice: what would fit; asked when everything that failed is free again.

    Raises:
        OutOfMemory: instead of what PyTorch, NumPy or Python raise.
    """
    short = False
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        error.__traceback__ = None  # which would keep all that was allocated
        short = True
    if short:
        raise OutOfMemory(f"this needs more memory than there is; {advice()}")
