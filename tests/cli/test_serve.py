"""`backbones serve` where it cannot begin."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lenet5.digits", "lenet5.digits"], "two models are called lenet5.digits"),
        (["lenet5.digits", "--max-body", "much"], "--max-body is 'much', expected a size"),
        (["lenet5.digits", "--workers", "many"], "--workers is 'many', expected auto"),
        (["nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_one_line(backbones, arguments, said) -> None:
    answer = backbones("serve", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_a_port_that_is_taken(backbones) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = backbones("serve", "lenet5.digits", "--port", port)
    assert answer.code == 2
    assert f"cannot listen on port {port} of 127.0.0.1" in answer.err
