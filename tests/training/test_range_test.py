"""The learning-rate range test: what it finds, and that it leaves everything as it was."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from backbones.errors import BadData, WrongUse
from backbones.models import build
from backbones.training.range_test import judged, range_test


def digest(*things: object) -> str:
    """Of tensors, nested anyhow, and of whatever prints all that it is."""
    found = hashlib.sha256()

    def add(thing: object) -> None:
        if isinstance(thing, torch.Tensor):
            found.update(repr((thing.dtype, tuple(thing.shape))).encode())
            found.update(thing.detach().contiguous().numpy().tobytes())
        elif isinstance(thing, dict):
            for key in thing:
                add(key)
                add(thing[key])
        elif isinstance(thing, list | tuple):
            for each in thing:
                add(each)
        elif isinstance(thing, np.ndarray):
            found.update(thing.tobytes())
        else:
            found.update(repr(thing).encode())

    add(things)
    return found.hexdigest()


def test_weights_optimiser_gradients_and_random_state_are_untouched(squares, recipe):
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    data = squares(8)
    batch = next(data.epoch(0))
    model.train()
    nn.functional.cross_entropy(model(batch.images), batch.labels).backward()
    optimizer.step()

    def all_of_it() -> str:
        gradients = [parameter.grad for parameter in model.parameters()]
        modes = [module.training for module in model.modules()]
        needs = [parameter.requires_grad for parameter in model.parameters()]
        states = (torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate())  # noqa: NPY002
        return digest(model.state_dict(), optimizer.state_dict(), gradients, modes, needs, states)

    before = all_of_it()
    for settings in (("freeze=features",), ("ema=0.9", "mixup=0.2"), ()):
        test = range_test(model, recipe(*settings), data, steps=20)
        assert len(test.rates) >= 10
        assert all_of_it() == before
    torch.rand(1)
    assert all_of_it() != before  # the hash sees the random state


def test_the_rates_rise_by_one_factor_from_end_to_end(squares, recipe):
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    heard = []
    test = range_test(
        model,
        recipe("schedule.kind=cosine", "schedule.warmup=3steps"),
        squares(8),
        rates=(1e-5, 1e-2),
        steps=31,
        progress=lambda done, total: heard.append((done, total)),
    )
    np.testing.assert_allclose(test.rates, np.geomspace(1e-5, 1e-2, 31), rtol=1e-9)
    assert heard == [(number, 31) for number in range(1, 32)]
    assert test.ending == "all 31 steps were taken"


def test_an_exploding_loss_ends_it(squares, recipe):
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    test = range_test(model, recipe(), squares(8), rates=(1e-4, 1e6), steps=60)
    assert len(test.rates) < 60
    assert "loss" in test.ending


def test_the_suggestion_is_where_a_known_curve_is_steepest():
    """A logistic fall around 1e-3, then an explosion."""
    rates = np.geomspace(1e-6, 10, 141)
    place = np.log10(rates) + 3
    losses = 2 - 1.5 / (1 + np.exp(-4 * place)) + np.exp(6 * (place - 2.5))
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(rates))
    test = judged(tuple(rates), tuple(losses + noise), ending="")
    assert test.suggestion == pytest.approx(1e-3, rel=0.6)
    assert 1e-2 < test.lowest_at < 1


def test_a_loss_that_only_rises_suggests_nothing():
    rates = np.geomspace(1e-6, 10, 50)
    assert judged(tuple(rates), tuple(np.linspace(1, 3, 50)), ending="").suggestion is None
    assert judged(tuple(rates), (1.0,) * 50, ending="").suggestion is None


def test_wrong_use_is_one_line(squares, recipe):
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    with pytest.raises(WrongUse, match="3 steps are too few"):
        range_test(model, recipe(), squares(8), steps=3)
    with pytest.raises(WrongUse, match="expected 0 < low < high"):
        range_test(model, recipe(), squares(8), rates=(1.0, 0.1))
    with pytest.raises(BadData, match="too few to see a curve"):
        range_test(model, recipe(), squares(8, bad=tuple(range(22))), steps=12)
