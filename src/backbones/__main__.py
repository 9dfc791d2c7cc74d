"""`python -m backbones` and `backbones`: ready for Ctrl-C before the first long import."""

import os
import signal


def main() -> None:
    """Run the command line; what asks it to stop while it is imported ends it at once."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    from backbones.cli.main import main as run

    run()


def _end(number: int, _: object) -> None:
    """No file is open and no thread runs yet, so nothing has to be closed."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
