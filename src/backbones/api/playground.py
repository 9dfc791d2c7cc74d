"""Pages on which LeNet-5 answers while one draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backbones.files import expanded
from backbones.playground.page import write_pages
from backbones.weights.opening import open_bundle
from backbones.weights.table import shipped_weights

__all__ = ["write_playground"]


def write_playground(
    folder: str | Path, classifiers: Sequence[str | Path] = ()
) -> tuple[Path, ...]:
    """Write pages on which a LeNet-5 answers in the browser while one draws, without a server.

    Each page is one file with the network inside. It shows the maps of every layer, which maps of
    S2 feed which map of C3, and the receptive field of a chosen unit, in English and in Chinese.
    Scores are PyTorch's within 1e-4 of the largest.

    Args:
        folder: of the pages; `index.html` is the page of the first network. Earlier ones are
            replaced.
        classifiers: bundles of LeNet-5s, run folders or ids; those of the package where empty,
            which its own recipes trained and its licence covers.

    Returns:
        the pages.

    Raises:
        NotFound: there is no such bundle.
        WrongUse: a network that the page cannot compute, or a file in the way that is no page of a
            playground.
        BadWeights: the file cannot be trusted, or its weights cannot be rounded.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (page,) = write_playground(folder, ["lenet5.digits"])
        ...     page.name
        'index.html'
    """
    chosen = [str(each) for each in classifiers] or list(shipped_weights())
    return write_pages({name: open_bundle(name) for name in chosen}, expanded(folder))
