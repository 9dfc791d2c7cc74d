"""Serve classifiers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backbones.classifier.classifier import Classifier
from backbones.classifier.opening import open_classifier
from backbones.errors import MissingExtra
from backbones.serving.options import ServerOptions


def serve(
    what: str | Sequence[str],
    options: ServerOptions | None = None,
    *,
    opener: Callable[[str], Classifier] = open_classifier,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Answer requests over HTTP until SIGTERM or Ctrl-C; their answers are those of `predict`.

    Args:
        what: a run folder, a bundle or an id of weights, or several; `NAME=SOURCE` says what
            requests call it.
        options: address and limits.
        opener: makes a classifier of each, at the start and whenever it is loaded again;
            `functools.partial(backbones.open, device="cpu")` says how to compute.
        started: called with the address once requests are answered.

    Raises:
        MissingExtra: FastAPI, uvicorn and their like are not installed.
        WrongUse: the port is taken, or two models have one name.
        BackbonesError: a model cannot be opened.
    """
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401

        from backbones.serving.server import Server, listen, log_to_standard_error
    except ImportError as error:
        raise MissingExtra(error.name or "uvicorn", "serve", "a server") from None
    from backbones.serving.repository import ModelRepository, named_sources
    from backbones.serving.service import Service
    from backbones.serving.telemetry import Metrics

    options, metrics = options or ServerOptions(), Metrics()
    sources = named_sources([what] if isinstance(what, str) else what)
    with listen(options.host, options.port) as sock:
        log_to_standard_error(options.host, options.token is not None)
        repository = ModelRepository(sources, opener, options, metrics)
        for name in sources:
            repository.load(name)
        Server(Service(options, repository, metrics), sock, started).serve_forever()
