"""Too much, too slow, too late: who is refused, when, and that nobody else is disturbed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from backbones.errors import NotFinite


def call(app: Any, messages: list[Any], *, path: str = "/predict", query: str = "") -> Any:
    """Ask an ASGI application with a body of our own making; gives (status, headers, unread)."""

    async def ask() -> Any:
        sent: list[Any] = []

        async def receive() -> Any:
            if not messages:
                await asyncio.sleep(3600)
            following = messages.pop(0)
            return await following() if callable(following) else following

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": [(b"host", b"here")],
        }
        await app(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), messages

    return asyncio.run(ask())


def part(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


@contextmanager
def held(ask: Any) -> Iterator[Callable[[], None]]:
    """A model whose thread is busy until the block lets it go."""
    worker = ask.service.repository.get().worker
    busy, free = threading.Event(), threading.Event()

    def compute() -> None:
        busy.set()
        free.wait(30)

    worker.submit(compute, 1)
    assert busy.wait(30)
    try:
        yield free.set
    finally:
        free.set()


def test_overload_is_refused_before_the_body_is_read(serving, images) -> None:
    ask = serving(max_queue_ms=50)
    worker = ask.service.repository.get().worker
    worker.image_s.value = 1.0
    with held(ask):
        for _ in range(3):
            worker.submit(lambda: None, 1)
        status, headers, unread = call(ask.app, [part(images[0], more=False)])
        assert (status, len(unread)) == (503, 1)
        assert 1 <= int(headers[b"retry-after"]) <= 4
    while worker.predicted_s:
        time.sleep(0.01)
    assert ask("POST", "/predict", content=images[0]).status_code == 200
    assert 'backbones_refused_total{reason="overload"} 1.0' in ask("GET", "/metrics").text


def test_a_batch_that_takes_longer_than_usual_lets_nobody_else_in(serving, images) -> None:
    """Its time was taken off the whole queue's, which seemed empty while the network was slow."""
    ask = serving(max_queue_ms=100)
    worker = ask.service.repository.get().worker
    worker.image_s.value = 0.02
    with held(ask):
        for _ in range(3):
            worker.submit(lambda: None, 1)
        time.sleep(0.3)
        assert worker.predicted_s >= 0.9  # three images of what one has taken
        status, _, unread = call(ask.app, [part(images[0], more=False)])
        assert (status, len(unread)) == (503, 1)


def test_what_waits_is_answered_as_one_batch(serving, images) -> None:
    ask = serving(max_queue_ms=60_000)
    worker, sizes = ask.service.repository.get().worker, []
    answer = worker._answer
    worker._answer = lambda prepared: sizes.append(len(prepared)) or answer(prepared)
    with held(ask) as release:
        model = ask.service.repository.get()
        work = [future for _ in range(5) for future in model.submit(images[0])]
        while len(worker._ready) < 5:
            time.sleep(0.01)
        release()
        found = [future.result(30) for future in work]
    assert sizes == [5]
    first, *others = (each.answer.log_probabilities for each in found)
    for other in others:  # rows of a batch may be added up in another order
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-6)


def test_a_body_is_counted_while_it_comes(serving) -> None:
    parts = [part(b"x" * 400) for _ in range(5)]
    status, headers, unread = call(serving(max_body=1000).app, parts)
    assert (status, len(unread)) == (413, 2)
    assert headers[b"connection"] == b"close"


def test_uploads_share_a_limit_of_memory(serving, images) -> None:
    ask = serving(max_body=1000)
    ask.service.uploads._held = 16 * 1000 - 100
    status, headers, _ = call(ask.app, [part(images[0], more=False)])
    assert status == 503
    assert b"retry-after" in headers
    assert ask.service.uploads._held == 16 * 1000 - 100


@pytest.mark.parametrize("limits", [{"idle_s": 0.05}, {"upload_s": 0.1}])
def test_who_sends_slowly_is_cut_off(serving, limits) -> None:
    async def late() -> Any:
        await asyncio.sleep(0.04)
        return part(b"x")

    ask = serving(**limits)
    messages = [part(b"x")] if "idle_s" in limits else [late for _ in range(50)]
    assert call(ask.app, messages)[0] == 408
    assert ask.service.uploads._held == 0


@pytest.mark.parametrize(("query", "status"), [("", 499), ("deadline_ms=100", 504)])
def test_work_that_nobody_waits_for_is_dropped(serving, images, query, status) -> None:
    ask = serving()
    worker, answered = ask.service.repository.get().worker, []
    worker._answer = lambda prepared: answered.append(prepared)
    with held(ask):
        end = [{"type": "http.disconnect"}] if status == 499 else []
        assert call(ask.app, [part(images[0], more=False), *end], query=query)[0] == status
    worker.end(30)
    assert answered == []
    assert worker._pending == 0


def test_a_client_that_leaves_while_it_sends(serving) -> None:
    assert call(serving().app, [part(b"x"), {"type": "http.disconnect"}])[0] == 499


def test_one_image_without_an_answer_is_not_the_others_trouble(serving, images) -> None:
    ask = serving()
    model = ask.service.repository.get()
    answer = model.worker._answer

    def of_small_ones(prepared: Any) -> Any:
        if any(each.size == (97, 61) for each in prepared):
            raise NotFinite(float("nan"), "image 1")
        return answer(prepared)

    model.worker._answer = of_small_ones
    with held(ask) as release:
        work = [future for each in images for future in model.submit(each)]
        while len(model.worker._ready) < 3:
            time.sleep(0.01)
        release()
    errors = [future.exception(30) for future in work]
    assert [type(error) for error in errors] == [type(None), NotFinite, type(None)]
    refused = ask("POST", "/predict", content=images[1])
    assert refused.status_code == 500
    assert "finite" in refused.json()["error"]
