"""What a server says when it does not answer, as an exception that becomes the response."""

from __future__ import annotations

import math


class Refusal(Exception):
    """A request that gets no answer.

    Args:
        status: of the response.
        message: what happened, what was expected, what to do; one line.
        reason: one word for the metrics.
        retry_after_s: when to ask again; None says nothing about it.
        close: end the connection, since more of the body may still be coming.
    """

    def __init__(
        self,
        status: int,
        message: str,
        reason: str,
        *,
        retry_after_s: float | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason
        self.retry_after_s, self.close = retry_after_s, close

    @property
    def headers(self) -> dict[str, str]:
        """Of the response."""
        found = {}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.close:
            found["connection"] = "close"
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


def overloaded(predicted_s: float) -> Refusal:
    """More waits than may wait."""
    return Refusal(
        503,
        f"{1000 * predicted_s:.0f} ms of work wait already; ask again later",
        "overload",
        retry_after_s=predicted_s,
    )


def stopping() -> Refusal:
    """The server is ending, or the model that was asked for."""
    return Refusal(
        503, "the server is stopping; ask another one", "stopping", retry_after_s=1, close=True
    )
