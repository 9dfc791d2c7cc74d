"""`inspect --explain`, `--explain-field`: what is written out comes to the tables' numbers."""

from __future__ import annotations

import math

import pytest

import backbones as package
from backbones.inspection.formulas import sum_of_products
from backbones.inspection.recurrence import FieldStep

NETWORKS = [
    *("lenet5_1998", "alexnet_2012", "vgg16", "vgg11_bn", "nin_imagenet", "inception_v1"),
    *("inception_v3", "inception_resnet_v2", "resnet50", "resnet20_cifar", "densenet121"),
    *("mobilenet_v2", "efficientnet_b0_same"),
]


def value(formula: str) -> int:
    """What Python makes of the written sum, after checking that it ends in that."""
    written, _, total = formula.rpartition(" = ")
    result = int(total.replace(",", ""))
    assert not written or eval(written) == result
    return result


@pytest.mark.parametrize("name", NETWORKS)
def test_formulas_come_to_the_counts(name: str) -> None:
    found = package.inspect(name)
    formulas = found.formulas()
    assert [value(row["params_formula"]) for row in formulas] == [row["params"] for row in formulas]
    assert [value(row["macs_formula"]) for row in formulas] == [row["macs"] for row in formulas]
    assert sum(row["macs"] for row in formulas) == found.macs
    assert sum(row["params"] for row in formulas) + found.training_only_params == found.params
    sums = [line for line in found.explain().splitlines() if line.startswith(("param", "MACs"))]
    for line, total in zip(sums, (found.params, found.macs), strict=False):
        terms, _, last = line.partition(": ")[2].rpartition(" = ")
        numbers = [int(term.split(" ")[0].replace(",", "")) for term in terms.split(" + ")]
        assert sum(numbers) == int(last.replace(",", "")) == total


def grown(step: FieldStep) -> float:
    """r after a step, by the formula that everybody knows."""
    window, before = step.window, step.before[0]
    assert window is not None
    return float(before.size + (window.size - 1) * window.gap * before.jump)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_line_of_the_recurrence_comes_to_the_field_of_its_layer(name: str) -> None:
    found = package.inspect(name, functions=True)
    known = {layer.name: layer.field for layer in found.layers}
    assert found.field_steps
    for step in found.field_steps:
        assert step.after == known[step.name].spans[step.axis]
        if step.window is not None:
            assert grown(step) == float(step.after.size)
            right, _, total = step.to_text()[1].removeprefix("r = ").partition(" = ")
            assert eval(right) == float(total)
        elif step.rule == "joined":
            assert float(step.after.size) >= max(float(span.size) for span in step.before)
    sizes = {float(step.after.size) for step in found.field_steps}
    assert float(found.layers[-1].field.spans[0].size) in sizes


def test_vgg_by_hand() -> None:
    found = package.inspect("vgg16")
    text = found.explain().splitlines()
    assert "conv1_2  parameters  3*3*64*64 + 64 = 36,928" in text
    assert "fc6      parameters  7*7*512*4096 + 4096 = 102,764,544" in text
    assert text[text.index("conv1_2  parameters  3*3*64*64 + 64 = 36,928") + 1].strip() == (
        "MACs        3*3*64*64*224*224 = 1,849,688,064"
    )
    rows = [line.split("  ") for line in found.explain_field().splitlines()]
    pool5 = next(row for row in rows if row[0] == "pool5")
    assert [cell.strip() for cell in pool5 if cell.strip()][1:] == [
        *("k=2 s=2", "r = 196 + (2-1)*16 = 212", "j = 16*2 = 32")
    ]
    assert "flatten  all 7 units  r = 212 + (7-1)*32 = 404  j = 32" in found.explain_field()


def test_rows_and_columns_are_told_apart_where_kernels_are_not_square() -> None:
    text = package.inspect("inception_v3").explain_field().splitlines()
    assert "rows" in text
    assert "columns" in text
    assert "columns" not in package.inspect("resnet50").explain_field().splitlines()


def test_a_batch_is_in_the_products() -> None:
    rows = package.inspect("lenet5", batch=32).formulas()
    assert rows[0]["macs_formula"] == "5*5*1*6*28*28*32 = 3,763,200"
    assert sum_of_products([]) == "0"
    assert math.prod((5, 5, 6, 784, 32)) == rows[0]["macs"]
