"""What nobody expected: a line for the person, and a file for whoever mends it."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

from backbones import cache_folder
from backbones.errors import BackbonesError
from backbones.files import write_atomic
from backbones.text import spelled


def report(error: Exception) -> str:
    """Write the details of an error into a file.

    Args:
        error: that no verb expected.

    Returns:
        The line that names the error and the file.
    """
    reason = str(error).strip().partition("\n")[0][:200]
    what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    details = spelled(_details(error)).encode()
    for folder in (_kept(), Path(tempfile.gettempdir())):
        if folder is None:
            continue
        path = folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}.txt"
        try:
            write_atomic(path, details)
        except OSError:
            continue
        return f"internal error ({what}); please report it, with the details in {path}"
    return f"internal error ({what}); please report it (BACKBONES_TRACEBACK=1 shows the details)"


def _kept() -> Path | None:
    try:
        return cache_folder() / "errors"
    except (BackbonesError, RuntimeError):  # nobody's home
        return None


def _details(error: Exception) -> str:
    from importlib import metadata

    from backbones import __version__

    versions = [f"backbones {__version__}", f"python {platform.python_version()}"]
    for name in ("torch", "numpy", "pillow"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "\n".join(
        [
            f"backbones {' '.join(map(repr, sys.argv[1:]))}",
            ", ".join([*versions, platform.platform()]),
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
