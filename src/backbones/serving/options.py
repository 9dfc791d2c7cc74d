"""What can be chosen about a server."""

from __future__ import annotations

from dataclasses import dataclass

from backbones.errors import WrongUse


@dataclass(frozen=True)
class ServerOptions:
    """How classifiers are served.

    Args:
        host: address to listen on; only this machine reaches 127.0.0.1.
        port: 0 takes a free one.
        max_queue_ms: predicted milliseconds that a request may have to wait for others; beyond
            that it is refused with 503 before its body is read.
        max_body: bytes of a request's body.
        max_pixels: of one image, read from its header.
        drain_s: seconds that requests in flight have to end after SIGTERM.
        workers: threads that decode; None takes one a core.
        admin: let clients load and unload the models that the server was started with.
        token: what clients have to send as `Authorization: Bearer TOKEN`; None asks for none.
        idle_s: the longest wait for the next bytes of a body.
        upload_s: the longest wait for a whole body.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    max_queue_ms: float = 500.0
    max_body: int = 20_000_000
    max_pixels: int = 100_000_000
    drain_s: float = 5.0
    workers: int | None = None
    admin: bool = False
    token: str | None = None
    idle_s: float = 10.0
    upload_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise WrongUse(f"port is {self.port}, expected 0 to 65535; 0 takes a free one")
        for name in ("max_queue_ms", "max_body", "max_pixels", "drain_s", "idle_s", "upload_s"):
            if getattr(self, name) <= 0:
                raise WrongUse(f"{name} is {getattr(self, name)}, expected more than 0")
        if self.workers is not None and self.workers < 1:
            raise WrongUse(f"workers is {self.workers}, expected at least 1")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise WrongUse("the token has characters that no HTTP header can hold; use ASCII")
        if self.token == "":
            raise WrongUse("the token is empty; omit it where none is wanted")
