"""`backbones playground`."""

from __future__ import annotations


def test_it_says_what_it_wrote_and_refuses_in_one_line(backbones, trained, tmp_path) -> None:
    answer = backbones("playground", "lenet5.digits", "-o", tmp_path)
    assert answer.code == 0
    assert f"wrote {tmp_path / 'index.html'} (" in answer.err
    refused = backbones("playground", trained, "-o", tmp_path)
    assert refused.code == 2
    assert "the playground computes LeNet-5" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
