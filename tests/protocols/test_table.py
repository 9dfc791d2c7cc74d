"""The protocol table: names, citations, and errors that help."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from backbones.errors import ProtocolError
from backbones.protocols.table import PROTOCOLS, ShorterSide, find_protocol, protocol_names
from backbones.protocols.viewing import views
from backbones.spec import InputSpec


def test_names_are_unique_and_found() -> None:
    assert len(set(protocol_names())) == len(PROTOCOLS)
    for row in PROTOCOLS:
        assert find_protocol(row.name) is row
        assert row.summary
        assert row.citation.year >= 1989


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(ProtocolError, match="Did you mean ten_crop"):
        find_protocol("tencrop")


@pytest.mark.parametrize(("protocol", "count"), [("single", 1), ("ten_crop", 10)])
def test_number_of_views(protocol: str, count: int) -> None:
    cut = list(views(protocol, torch.zeros(3, 9, 9), spec=InputSpec(size=7, resize=9)))
    assert len(cut) == count
    assert {tuple(view.shape) for view in cut} == {(3, 7, 7)}


def test_views_larger_than_the_image_are_refused() -> None:
    with pytest.raises(ProtocolError, match="views of 12 px do not fit into 10 x 10 px"):
        list(views("ten_crop", torch.zeros(3, 10, 10), spec=InputSpec(size=12, resize=10)))


def test_papers_that_test_around_the_training_scale_fit() -> None:
    row = replace(PROTOCOLS[0], resize=tuple(ShorterSide(plus=plus) for plus in (-32, 0, 32)))
    assert [side.length_px(256) for side in row.resize] == [224, 256, 288]
    assert ShorterSide(px=480).length_px(256) == 480
