"""The files of class names: complete, unambiguous, and right where others are wrong."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from backbones.data.sets.cifar import _CIFAR10_CLASSES
from backbones.data.sets.idx import FASHION_CLASSES
from backbones.data.sets.named import SETS
from backbones.errors import NotFound, WrongUse
from backbones.labels import LANGUAGES, LabelSet, label_set, label_sets, labels_of, shown

COUNTS = {"imagenet": 1000, "mnist": 10, "fashion-mnist": 10, "cifar10": 10, "cifar100": 100}
CHINESE = re.compile(r"[\u3400-\u9fff]")
BY_NAME = pytest.mark.parametrize("found", label_sets(), ids=lambda found: found.name)


def zh(place: int) -> str:
    return label_set("imagenet").labels[place].zh


def test_there_is_every_set_in_full() -> None:
    assert {found.name: len(found) for found in label_sets()} == COUNTS
    assert {row.name for row in SETS} < set(COUNTS)


@BY_NAME
def test_no_two_classes_share_an_id_or_a_name(found: LabelSet) -> None:
    for names in zip(*((label.id, label.en, label.zh) for label in found.labels), strict=True):
        assert len(set(names)) == len(found)


@BY_NAME
def test_every_name_is_written_properly(found: LabelSet) -> None:
    for label in found.labels:
        for name in (label.id, label.en, label.zh):
            assert name
            assert name == name.strip()
        assert "_" not in label.en
        assert not CHINESE.search(label.en)
        assert CHINESE.search(label.zh), label
        # One name, not a list of them; and no blank that a copy left behind.
        assert not re.search(r"[;；,，、()（）\s]", label.zh), label


def test_imagenet_is_in_the_order_of_its_labels() -> None:
    ids = [label.id for label in label_set("imagenet").labels]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"n\d{8}", each) for each in ids)
    assert (ids[0], ids[517], ids[999]) == ("n01440764", "n03126707", "n15075141")


def test_ids_are_the_names_that_the_readers_give() -> None:
    def ids(name: str) -> tuple[str, ...]:
        return tuple(label.id for label in label_set(name).labels)

    assert ids("cifar10") == tuple(_CIFAR10_CLASSES)
    assert ids("fashion-mnist") == FASHION_CLASSES
    assert ids("mnist") == tuple("0123456789")
    assert list(ids("cifar100")) == sorted(ids("cifar100"))
    assert {"aquarium_fish", "maple_tree", "worm"} < set(ids("cifar100"))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *((0, "丁鲷"), (15, "旅鸫"), (21, "鸢"), (129, "琵鹭"), (17, "松鸦"), (97, "公鸭")),
        *((134, "鹤"), (517, "起重机"), (264, "卡迪根威尔士柯基犬"), (474, "开襟毛衣")),
        *((445, "比基尼"), (638, "紧身连体泳衣"), (639, "背心式连体泳衣")),
        *(
            (16, "鹎"),
            (76, "捕鸟蛛"),
            (77, "狼蛛"),
            (396, "蓑鲉"),
            (389, "杖蛇鲭"),
            (44, "短吻鳄蜥"),
        ),
        *((282, "虎纹猫"), (281, "虎斑猫"), (254, "巴哥犬"), (358, "林鼬"), (361, "臭鼬")),
        *((456, "弓"), (457, "领结"), (439, "熊皮帽"), (452, "系带女帽"), (542, "鼓槌")),
        *(
            (657, "导弹"),
            (744, "射弹"),
            (666, "研钵"),
            (667, "学位帽"),
            (677, "钉子"),
            (680, "奶嘴"),
        ),
        *((620, "膝上型电脑"), (681, "笔记本电脑"), (527, "台式电脑"), (673, "鼠标")),
        *((664, "显示器"), (782, "屏幕"), (495, "瓷器柜"), (499, "剁肉刀"), (731, "马桶搋子")),
        *((832, "窣堵坡"), (908, "机翼"), (884, "拱顶"), (975, "湖滨"), (982, "新郎")),
        *((986, "黄杓兰"), (989, "蔷薇果"), (992, "伞菌"), (996, "灰树花"), (998, "玉米穗")),
    ],
)
def test_names_that_lists_get_wrong(place: int, name: str) -> None:
    assert zh(place) == name


def test_one_english_name_for_two_things_is_told_apart() -> None:
    names = {place: label_set("imagenet").labels[place].en for place in (134, 517, 638, 639)}
    assert names[134] == "crane (bird)"
    assert names[517] == "crane (machine)"
    assert names[638].startswith("maillot (")
    assert names[639].startswith("maillot (")
    spelled = [label.en.casefold() for label in label_set("imagenet").labels]
    assert len(set(spelled)) == 1000  # Cardigan and cardigan


def test_english_names_are_those_that_everyone_uses(
    timm: ModuleType, torchvision: ModuleType
) -> None:
    ids = timm.data.ImageNetInfo().label_names()
    names = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    for label, wordnet_id, name in zip(label_set("imagenet").labels, ids, names, strict=True):
        assert label.id == wordnet_id
        # Ours has a qualifier where the name alone misleads, theirs without brackets where at all.
        assert name in (re.sub(r" \([a-z -]+\)$", "", label.en), re.sub("[()]", "", label.en))


def test_a_set_is_found_by_its_classes() -> None:
    def found(*classes: str) -> str | None:
        labels = labels_of(classes)
        return labels and labels.name

    assert found("n01440764", "n02012849") == "imagenet"
    assert found("n01440764", "n99999999") is None
    assert found(*FASHION_CLASSES) == "fashion-mnist"
    assert found("dog", "cat") is None, "a network of our own must not get the words of CIFAR-10"
    assert found(*"0123456789") == "mnist"
    assert found("cat", "tabby") is None
    assert found() is None


def test_shown_in_every_language_and_as_they_are() -> None:
    ids = ("n02012849", "n03126707")
    assert [shown(ids, lang) for lang in LANGUAGES] == [
        ("crane (bird)", "crane (machine)"),
        ("鹤", "起重机"),
        ("crane (bird) 鹤", "crane (machine) 起重机"),
    ]
    assert shown(("cross", "disc"), "zh") == ("cross", "disc")
    with pytest.raises(WrongUse, match=r"'zhs'; expected en, zh, both\. Did you mean zh"):
        shown(ids, "zhs")  # type: ignore[arg-type]


def test_find_looks_in_ids_and_both_names() -> None:
    imagenet = label_set("imagenet")
    assert [place for place, _ in imagenet.find("鹤")] == [134, 135]
    assert [place for place, _ in imagenet.find("N0144")] == [0, 1]
    assert [label.zh for _, label in imagenet.find("TENCH")] == ["丁鲷"]
    with pytest.raises(NotFound, match="Did you mean tench"):
        imagenet.find("tenhc")
    with pytest.raises(NotFound, match="Did you mean imagenet"):
        label_set("imagnet")
