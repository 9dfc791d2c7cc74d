"""The entry point of the command line, and how failures are told.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP. A user's mistake
never shows a traceback; `BACKBONES_TRACEBACK=1` shows it all the same, for whoever debugs this
package.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from backbones import signals
from backbones.errors import BackbonesError

# What typer answers to `--help`, in a fifth of its time; tests/golden compares the two.
HELP = Path(__file__).with_name("help.txt")
_HELP_COLUMNS = 80  # it breaks no line later, however wide the terminal is


def main() -> None:
    """Run the command line, and end it within a second where a signal asks for that."""
    signals.answer()
    try:
        _main()
    except BaseException:  # a library may turn what was raised in it into something else
        number = signals.asked()
        if number is None or signals.told():
            raise
        fail("interrupted", signals.exit_code(number))


def _main() -> None:
    try:
        run(sys.argv[1:])
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except BackbonesError as error:
        if os.environ.get("BACKBONES_TRACEBACK"):
            raise
        fail(str(error), error.exit_code)
    except OSError as error:
        if os.environ.get("BACKBONES_TRACEBACK"):
            raise
        where = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        fail("interrupted", signals.exit_code(signals.asked() or signal.SIGINT))


def run(arguments: list[str]) -> None:
    """Answer `--help`, `list` and `weights list` at once; leave every other verb to typer."""
    if arguments in (["--help"], ["-h"]) and _columns() >= _HELP_COLUMNS:
        sys.stdout.write(HELP.read_text(encoding="utf-8"))
        return
    if arguments[:1] == ["list"]:
        from backbones.cli import list as list_verb

        list_verb.run(arguments[1:])
        return
    if arguments[:2] == ["weights", "list"]:
        from backbones.cli import weights_list

        weights_list.run(arguments[2:])
        return
    import logging  # the lists have nothing to log, and it would take a tenth of their time

    from backbones.cli.app import app

    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    app()


def _columns() -> int:
    """How wide the terminal is; as typer finds out, without its imports."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, ValueError, OSError):
        return _HELP_COLUMNS


def fail(message: str, code: int) -> None:
    """Say what happened on standard error, in one line, and end; to be stopped is no error."""
    signals.tell(("" if signals.is_stop(code) else "error: ") + message)
    sys.exit(code)
