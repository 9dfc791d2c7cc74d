"""Names that say nothing about what an image shows: what has only these wants to be told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from backbones.data.sets.listing import some, split_of, splits_by_one_word
from backbones.text import same_name

# What cameras, telephones and programs put in front of a number.
_PREFIXES = frozenset(
    [
        *("img", "image", "images", "imag", "imgp", "dsc", "_dsc", "dscn", "dscf", "dsc_", "pict"),
        *("pxl", "mvimg", "burst", "gopr", "gp", "dji", "cimg", "sam", "hpim", "kodak"),
        *("screenshot", "screen shot", "screen", "bildschirmfoto", "whatsapp image", "whatsapp"),
        *("telegram", "signal", "fb_img", "received", "snapchat", "instagram", "vlcsnap"),
        *("photo", "photos", "foto", "pic", "pics", "picture", "bild", "frame", "frames", "scan"),
        *("scanned", "file", "untitled", "unnamed", "download", "snapshot", "capture", "video"),
        *("im", "id", "item", "sample", "crop", "tile", "patch", "page"),
        *("微信图片", "图片", "照片", "截图", "屏幕截图"),
    ]
)
_PARTS = re.compile(
    r".*?(part|shard|batch|chunk|volume|vol|disc|disk|archive|zip|images?|imgs?|photos?|pictures?"
    r"|dir|folder|fold|subset|split|export|upload|download)s?[\s_.-]*\(?\d+\)?"
    r"|(?-i:[1-9]\d\d[A-Z0-9_]{5})",  # of cameras: 100CANON
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(19|20)\d\d([\s_.-]?(0?[1-9]|1[0-2]))?([\s_.-]?[0-3]?\d)?|[0-3]?\d[\s_.-][01]?\d[\s_.-](19|20)\d\d"
    r"|(19|20)\d\d[_.-]?(0[1-9]|1[0-2])[_.-]?[0-3]\d[\s_.-].*|(photos|fotos) \w+ (19|20)\d\d"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*([\s_.-]*(19|20)?\d\d)?",
    re.IGNORECASE,
)
_FEW = 3  # classes, which may be called by a word and a number
_IMAGES = frozenset(
    ["images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "raw", "input", "rgb"]
)
_ABOUT_IMAGES = frozenset(
    [
        *("masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "gt"),
        *("segmentationclass", "segmentationobject", "groundtruth", "ground_truth", "depth"),
        *("thumbnails", "thumbs", "targets", "target", "output", "bboxes", "edges", "originals"),
    ]
)
_NEVER_IMAGES = frozenset(  # of these, what may be called so as a class is left out
    [
        *("masks", "annotations", "annotation", "segmentations", "segmentationclass"),
        *("segmentationobject", "groundtruth", "ground_truth", "thumbnails", "thumbs", "bboxes"),
    ]
)
_UNSORTED = frozenset(["unlabeled", "unlabelled", "unsorted", "unsup", "未标注", "未分类"])
_UNNAMED = re.compile(
    r"(new|untitled|unnamed) folder.*|neuer ordner.*|新建文件夹.*|未命名文件夹.*"
    r"|.* - copy( \(\d+\))?|copy of .*|.* - kopie|.* - 副本",
    re.IGNORECASE,
)


def no_classes_in_folders(names: Iterable[str]) -> str:
    """What is wrong with folders' names as classes; nothing where they may be classes.

    Example:
        >>> no_classes_in_folders(["2023-01", "2023-02"])
        'are dates'
        >>> no_classes_in_folders(["cat", "dog"])
        ''
    """
    called = sorted(names)
    lower = {name.lower() for name in called}
    if all(_DATE.fullmatch(name) for name in called):
        return "are dates"
    if all(_PARTS.fullmatch(name) for name in called):
        return "look like the parts of one set"
    if are_parts_of_images(called) or (len(lower) > 1 and lower & _NEVER_IMAGES):
        return "look like images and what belongs to each of them"
    if unsorted := [name for name in called if name.lower() in _UNSORTED]:
        return f"hold images that nobody has sorted ({some(unsorted)})"
    if unnamed := [name for name in called if _UNNAMED.fullmatch(name)]:
        return f"have names that file managers give ({some(unnamed)})"
    if by_word := splits_by_one_word(called):
        return f"have words for splits in their names ({some(_names_in(by_word))})"
    if alike := spelled_twice(called):
        return f"have one name in two spellings ({alike[0]!r} and {alike[1]!r})"
    if all(re.fullmatch(r"[0-9a-f]{2}", name) for name in lower) and len(lower) > 100:
        return "look like the parts of one set"
    if len(lower) > 1 and all(re.fullmatch(r"\d+000|0+", name) for name in lower):
        return "look like the parts of one set"
    return ""


def are_parts_of_images(names: Iterable[str]) -> bool:
    """Whether folders are images and what belongs to each: `images` and `masks`."""
    lower = {name.lower() for name in names}
    return bool(lower & _IMAGES and lower & _ABOUT_IMAGES)


def belongs_to_images(folders: Iterable[str]) -> bool:
    """Whether one of a path's folders is called as what belongs to images is: `masks`."""
    return any(name.lower() in _ABOUT_IMAGES for name in folders)


def spelled_twice(labels: Iterable[str]) -> tuple[str, str] | None:
    """Two labels that are one to a person: other case, blanks, or zeros in front of a number.

    Example:
        >>> spelled_twice(["cat", "dog", "Cat "]), spelled_twice(["01", "1"]), spelled_twice("aA")
        (('Cat ', 'cat'), ('01', '1'), None)
    """
    known: dict[str, str] = {}
    for label in sorted(labels):
        form = unicodedata.normalize("NFC", " ".join(label.split())).casefold()
        form = str(int(form)) if form.isascii() and form.isdigit() else form
        other = known.setdefault(form, label)
        if other != label and len(other + label) > 2 and same_name(other) != same_name(label):
            return other, label  # letters may be classes: A and a
    return None


def no_classes_in_names(labels: Iterable[str]) -> str:
    """What is wrong with the first words of files' names as classes; nothing where they may be.

    Example:
        >>> no_classes_in_names(["IMG", "cat"])
        'IMG: what cameras and programs call their files'
    """
    called = sorted(labels)
    if cameras := [name for name in called if name.lower().strip(" _-.") in _PREFIXES]:
        return f"{some(cameras)}: what cameras and programs call their files"
    if splits := [name for name in called if split_of(name) or split_of(_last(name))]:
        return f"{some(splits)}: words for splits"
    if numbers := [name for name in called if not any(map(str.isalpha, name))]:
        return f"{some(numbers)}: numbers"
    if len(called) > _FEW and all(any(map(str.isdigit, name)) for name in called):
        return f"{some(called)}: serial numbers"
    if alike := spelled_twice(called):
        return f"{alike[0]!r} and {alike[1]!r}: one name in two spellings"
    if dates := [name for name in called if _DATE.fullmatch(name)]:
        return f"{some(dates)}: dates"
    return ""


def _names_in(splits: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [name for each in splits.values() for name in each.values()]


def _last(name: str) -> str:
    return re.split(r"[\s_.-]", name)[-1]
