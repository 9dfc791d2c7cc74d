"""Names of classes in English and Chinese, in small text files that ship with the package.

A file has one class a row, in the order of the set's labels: its id (in ImageNet a WordNet id,
elsewhere the name that the set's own files give), the English name, the Chinese name. A name says
what the WordNet id means; where ImageNet's images plainly show something else (638 `maillot`,
836 `sunglass`, 968 `cup`), it says what they show.
"""

from backbones.labels.table import (
    LANGUAGES,
    Label,
    LabelSet,
    Lang,
    label_set,
    label_sets,
    labels_of,
    shown,
)

__all__ = [
    "LANGUAGES",
    "Label",
    "LabelSet",
    "Lang",
    "label_set",
    "label_sets",
    "labels_of",
    "shown",
]
