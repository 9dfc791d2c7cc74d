"""Who may ask, what is counted, and what a log never holds."""

from __future__ import annotations

import json
import logging

import pytest

from backbones.errors import WrongUse
from backbones.serving.options import ServerOptions
from backbones.serving.repository import named_sources
from backbones.serving.telemetry import JsonLines


def test_a_token_is_asked_for_but_not_by_health(serving, images) -> None:
    ask = serving(token="secret")
    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}):
        refused = ask("POST", "/predict", content=images[0], headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert ask("GET", "/metrics", headers=headers).status_code == 401
    right = {"authorization": "Bearer secret"}
    assert ask("POST", "/predict", content=images[0], headers=right).status_code == 200
    assert ask("GET", "/v2/health/ready").status_code == 200


def test_other_sites_may_not_read_answers(serving, images) -> None:
    ask = serving()
    origin = {"origin": "http://elsewhere", "access-control-request-method": "POST"}
    answers = [ask("POST", "/predict", content=images[0], headers=origin)]
    answers.append(ask("OPTIONS", "/predict", headers=origin))
    for answer in answers:
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_request_is_found_again_by_its_id(serving, images, caplog) -> None:
    ask = serving()
    with caplog.at_level(logging.INFO, "backbones.serving"):
        named = ask("POST", "/predict", content=images[0], headers={"x-request-id": "my-1"})
        files = {"image": ("holiday.png", images[0])}
        other = ask(
            "POST", "/predict?secret=holiday", files=files, headers={"x-request-id": b"\xe9 x"}
        )
    assert named.headers["x-request-id"] == "my-1"
    assert len(other.headers["x-request-id"]) == 16
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [line["request_id"] for line in lines if line["event"] == "request"] == [
        "my-1",
        other.headers["x-request-id"],
    ]
    assert "holiday" not in "".join(map(str, lines))
    assert lines[-1]["images"] == 1


def test_figures_for_prometheus(serving, images) -> None:
    ask = serving()
    for image in (images[0], images[1], b"none"):
        ask("POST", "/predict", content=image)
    lines = ask("GET", "/metrics").text.splitlines()
    for line in (
        'backbones_requests_total{code="200",route="/predict"} 2.0',
        'backbones_requests_total{code="422",route="/predict"} 1.0',
        'backbones_refused_total{reason="undecodable"} 1.0',
        "backbones_decode_errors_total 1.0",
        'backbones_batch_images_count{model="digits"} 2.0',
        'backbones_batch_images_sum{model="digits"} 2.0',
        'backbones_request_seconds_count{route="/predict"} 3.0',
        'backbones_queue_seconds_count{model="digits"} 2.0',
        'backbones_queue_predicted_ms{model="digits"} 0.0',
    ):
        assert line in lines
    assert any(
        line.startswith("backbones_model_info{") and 'variant="lenet5"' in line for line in lines
    )


def test_an_error_of_ours_is_logged_whole_and_told_in_a_line(serving, images, caplog) -> None:
    ask = serving()
    ask.service.repository.get().guesses = None
    caplog.clear()  # that it was loaded
    with caplog.at_level(logging.INFO, "backbones.serving"):
        answer = ask("POST", "/predict", content=images[0])
    assert answer.status_code == 500
    assert answer.json()["error"] == "an error of the server; its log says more"
    failed, request = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert "TypeError" in failed["traceback"]
    assert failed["request_id"] == request["request_id"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"max_queue_ms": 0},
        {"max_body": -1},
        {"workers": 0},
        {"token": "pass wörd"},
        {"token": ""},
    ],
)
def test_options_that_cannot_be(wrong) -> None:
    with pytest.raises(WrongUse):
        ServerOptions(**wrong)


def test_names_of_models_are_plain_and_differ() -> None:
    assert named_sources(["a/b.pth", "x=a/b.pth"]) == {"b": "a/b.pth", "x": "a/b.pth"}
    for wrong in ([], ["a/b", "c/b"], ["a/b=c"]):
        with pytest.raises(WrongUse):
            named_sources(wrong)
