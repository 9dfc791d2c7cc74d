"""The entry point of the command line, and how failures are told.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP. A user's mistake
never shows a traceback, and neither does a mistake of this package: its details go into a file,
which a line names. `BACKBONES_TRACEBACK=1` shows every one all the same, for whoever debugs this
package.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from backbones import signals
from backbones.errors import BackbonesError, WrongUse, is_short_of_memory
from backbones.language import speaking
from backbones.launch import launch
from backbones.text import shown


def main() -> None:
    """Run the command line, and end it within a second where a signal asks for that."""
    try:
        signals.answer()  # a signal may come before it returns
        _main()
    except BaseException as error:  # a library may turn what was raised in it into another one
        number, code = signals.asked(), getattr(error, "code", None)
        if number is not None and not signals.told():
            signals.tell("interrupted")
            code = signals.exit_code(number)
        if not isinstance(code, int) or not signals.is_stop(code):
            raise
        signals.leave(code)


def _main() -> None:
    try:
        _open_to_all_text()
        signals.tell_if(_may_tell)
        if launch().rank:  # the first process does the talking
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        run(sys.argv[1:])
        sys.stdout.flush()
    except SystemExit as end:
        _leave(end)
    except KeyboardInterrupt:
        fail("interrupted", signals.exit_code(signals.asked() or signal.SIGINT))
    except Exception as error:  # the net below all verbs: a line, and the rest in a file
        if signals.asked() is not None:
            raise
        if _reader_is_gone():
            _say_no_more()
            sys.exit(0)
        if os.environ.get("BACKBONES_TRACEBACK"):
            raise
        line = _line(error)
        if line is None:
            from backbones.cli.unexpected import report

            line = report(error)
        fail(line, getattr(error, "exit_code", 1))


def run(words: Sequence[str]) -> None:
    """Do what the words behind `backbones` say.

    Raises:
        SystemExit: the verb ended with another exit code than 0.
        WrongUse: the words are no command; the message is one line.
    """
    from typer import Abort, TyperException

    from backbones.cli.app import app_for, completed_words
    from backbones.cli.usage import usage_line

    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    _refuse_to_repeat(words)
    try:
        app = app_for(words or completed_words())
        with speaking("en"):  # until --lang says otherwise
            code = app(words, prog_name="backbones", standalone_mode=False)
    except TyperException as error:
        raise WrongUse(usage_line(error)) from None
    except Abort:
        raise WrongUse("nothing more to read on standard input") from None
    if code:
        sys.exit(code)


_SHARED = ("train", "evaluate", "features")


def _refuse_to_repeat(words: Sequence[str]) -> None:
    """Refuse to do one thing several times at once."""
    verb = next((word for word in words if not word.startswith("-")), None)
    if launch().size > 1 and verb is not None and verb not in _SHARED:
        raise WrongUse(
            f"{launch().size} processes were started, and {verb} is for one: start it without"
            f" torchrun (with it: {', '.join(_SHARED)})"
        )


def _may_tell() -> bool:
    """Whether this process says why it ends: of several, the one that knows it first."""
    ask = getattr(sys.modules.get("backbones.ranks"), "may_tell", None)  # all of it is there
    return launch().rank == 0 if ask is None else bool(ask())


def _open_to_all_text() -> None:
    """Let both streams escape what they cannot show; a stream that is closed takes everything."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave(end: SystemExit) -> NoReturn:
    """End as a verb wanted to, once all that it said has left."""
    try:
        sys.stdout.flush()
    except OSError as error:
        end.__context__ = error
    # typer catches a closed pipe, and calls it a failure.
    if isinstance(end.__context__, OSError) and _reader_is_gone():
        _say_no_more()
        sys.exit(0)
    raise end


def _reader_is_gone() -> bool:
    """Whether nobody reads what is said any more, as behind `| head`."""
    try:
        import select

        poll = select.poll()
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)
        return any(state & select.POLLERR for _, state in poll.poll(0))
    except (ImportError, AttributeError, OSError, ValueError):  # Windows; no descriptor
        return isinstance(sys.exc_info()[1], BrokenPipeError)


def _say_no_more() -> None:
    """Whatever is still said, at exit too, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (AttributeError, OSError, ValueError):
            continue


def _line(error: Exception) -> str | None:
    """What happened, where the world and not this package is to blame."""
    if isinstance(error, BackbonesError):
        return str(error)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    if is_short_of_memory(error):
        return "this needs more memory than there is; take smaller batches or images"
    return None


def fail(message: str, code: int) -> NoReturn:
    """Say what happened on standard error, in one line, and end; to be stopped is no error."""
    line = ("" if signals.is_stop(code) else "error: ") + " ".join(message.split())
    signals.tell(shown(line))
    sys.exit(code)
