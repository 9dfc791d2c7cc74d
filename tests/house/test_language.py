"""Pages, charts and reports are whole in both languages: no sentence is forgotten."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.classifier.assembly import Member
from backbones.classifier.classifier import Classifier
from backbones.classifier.evaluation import evaluate
from backbones.classifier.evaluation_files import write_evaluation
from backbones.classifier.explanation_files import write_explanations
from backbones.classifier.options import InferenceOptions
from backbones.classifier.prediction_files import Output, write_answers
from backbones.compute import choose_compute
from backbones.data.source import FileImages, Split
from backbones.language import catalogue, said, speaking, spoken
from backbones.models import build
from backbones.protocols.table import find_protocol
from backbones.spec import InputSpec

SOURCE = Path(__file__).parents[2] / "src" / "backbones"
CLASSES = ("猫", "狗")

# What stays as it is in Chinese text: names of methods, engines, precisions, protocols, files.
NAMES = {
    *("Grad", "CAM", "single", "torch", "test", "png", "softmax", "top", "onnxruntime", "openvino"),
    *("vgg_tiny", "features", "conv", "relu", "network"),  # of layers, and what the caller says
}


def trees() -> Iterator[ast.Module]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def constants(node: ast.AST) -> set[str]:
    return {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def test_every_sentence_has_its_chinese_one_and_none_is_left_over() -> None:
    asked, written = set(), set()
    for tree in trees():
        written |= constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "said":
                first = node.args[0]
                if isinstance(first, ast.Constant | ast.IfExp):
                    asked |= constants(first)
    assert len(asked) > 40
    assert asked - catalogue().keys() == set(), "sentences without a Chinese one"
    assert catalogue().keys() - written == set(), "Chinese sentences that nothing says"


@pytest.mark.parametrize("sentence", catalogue())
def test_a_sentence_and_its_chinese_one_say_the_same_names(sentence: str) -> None:
    def names(text: str) -> list[tuple[str, str]]:
        parts = string.Formatter().parse(text)
        return sorted((name, how or "") for _, name, how, _ in parts if name)

    assert names(sentence) == names(catalogue()[sentence])
    assert re.search("[一-鿿]|{", catalogue()[sentence]), "no Chinese in it"


def test_the_language_ends_with_its_block_and_both_is_english() -> None:
    assert (spoken(), said("loss")) == ("en", "loss")
    with speaking("zh"):
        assert (spoken(), said("loss")) == ("zh", "损失")
        with speaking("both"):
            assert said("loss") == "loss"
        assert said("and {count:,} more", count=1234) == "另有 1,234 张"
    assert spoken() == "en"


def english_in(text: str) -> set[str]:
    """Words of plain English that a reader sees: no tags, styles, images, names or figures."""
    text = re.sub('<style>.*?</style>|<!doctype[^>]*>|data:image[^"]*', "", text, flags=re.DOTALL)
    text = re.sub("<[^>]+>", " ", text)
    text = re.sub(r"\S*\.(?:png|csv|html|json)|:\S+", " ", text)  # files
    words = set(re.findall("[A-Za-z][A-Za-z_]{2,}", text))
    return {word for word in words if word not in NAMES and not word.startswith("fp")}


def test_nothing_in_a_chinese_page_or_report_is_english(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    names = []
    for place in range(6):
        names.append(f"{CLASSES[place % 2]}/{place}.png")
        (tmp_path / names[-1]).parent.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (60, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / names[-1])
    network = build("vgg_tiny", num_classes=2, seed=1).eval()
    member = Member(lambda: network, InputSpec(size=32, resize=40), CLASSES)
    classifier = Classifier((member,), choose_compute("cpu"))
    labels = np.arange(6) % 2
    split = Split("test", CLASSES, labels, FileImages(tmp_path, tuple(names)))
    with speaking("zh"):
        found = evaluate(network, split, member.spec, compute=classifier.compute)
        found = replace(found, selected_on_this_split=True)
        write_evaluation(found, tmp_path / "report", explainer=classifier)
        methods = ["grad_cam", "occlusion"]
        write_explanations(
            classifier.explain(tmp_path / names[0], method=methods), tmp_path / "explained"
        )
        output = Output("text", tmp_path / "answers.txt", images=tmp_path / "copies")
        write_answers(
            classifier, tmp_path / "猫", output, InferenceOptions(find_protocol("single"))
        )
    title, _, report = (tmp_path / "report" / "evaluation.txt").read_text("utf-8").partition("\n")
    assert title.startswith("single: ")  # what a protocol says of itself is the paper's
    assert english_in(report) == set()
    for page in ("report/mistakes.html", "explained/index.html", "copies/index.html"):
        assert english_in((tmp_path / page).read_text(encoding="utf-8")) == set(), page
    assert "最严重的错误" in (tmp_path / "report" / "mistakes.html").read_text(encoding="utf-8")
