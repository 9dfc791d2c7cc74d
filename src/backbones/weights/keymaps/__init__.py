"""Maps from other people's checkpoints to ours, and back: data only; `rules.py` reads them."""

from __future__ import annotations

from backbones.weights.keymaps import caffe, keras, timm, torchvision
from backbones.weights.keymaps.rules import KeyMap

KEYMAPS: dict[str, KeyMap] = {
    keymap.name: keymap
    for keymap in (*torchvision.KEYMAPS, *timm.KEYMAPS, *caffe.KEYMAPS, *keras.KEYMAPS)
}
