"""What people see first where they program: `help(backbones)`, and results in a notebook."""

from __future__ import annotations

import pydoc

import pytest

import backbones


def test_help_begins_with_the_verbs() -> None:
    text = pydoc.render_doc(backbones, renderer=pydoc.plaintext)
    said = text.split("DESCRIPTION")[1].split("Example:")[0]
    rows = [line.split() for line in said.splitlines() if "," in line and "   " in line.strip()]
    verbs = [name.strip(",") for row in rows for name in row[1:]]
    assert [row[0] for row in rows] == ["look", "train", "use", "ship", "manage"]
    assert set(verbs) <= set(backbones.__all__)
    assert {"inspect", "train", "predict", "evaluate", "explain", "export", "serve"} <= set(verbs)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda: backbones.open_data("digits"), "<th>class</th><th>train</th><th>test</th>"),
        (lambda: backbones.show("lenet5_tiny"), "lenet5_tiny"),
        (lambda: backbones.inspect("lenet5_tiny"), "conv"),
        (lambda: backbones.memory("lenet5_tiny", batch=1), "peak"),
        (lambda: backbones.compare(["lenet5_tiny", "vgg_tiny"]), "<td>vgg_tiny</td>"),
        (lambda: backbones.evaluate("lenet5.digits", "digits", limit=5), "top-1"),
        (lambda: backbones.open("lenet5.digits"), "10 classes"),
        (lambda: backbones.predict("lenet5.digits", [bytes_of_a_digit()]), "<table>"),
    ],
    ids=["open_data", "show", "inspect", "memory", "compare", "evaluate", "open", "predict"],
)
def test_results_show_themselves_in_a_notebook(result, said) -> None:  # type: ignore[no-untyped-def]
    found = result()._repr_html_()
    assert said in found
    assert found.startswith("<")


def bytes_of_a_digit() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (28, 28), 7).save(file, "PNG")
    return file.getvalue()
