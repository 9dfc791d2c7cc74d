"""What an explanation says: answers, maps, where they lie, and how they are drawn and written."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from backbones.classifier.predictions import Guess
from backbones.compute import Compute
from backbones.data.render import Pixels
from backbones.errors import BadImage
from backbones.explanation.maps import spread
from backbones.explanation.run import Box, Method
from backbones.language import said
from backbones.report.heat import HeatMap, draw_heat_maps, panel_image
from backbones.report.tiles import draw_feature_maps

Values = npt.NDArray[np.float32]

_LISTED_VALUES = 4096


@dataclass(frozen=True)
class ClassMap:
    """Where in one image a network sees a class.

    Args:
        guess: the class, and its probability.
        index: its place among the network's outputs.
        method: "grad_cam", "cam" or "occlusion".
        layer: module path of the layer that the map is made of; None for an occlusion.
        values: the map. It spans the square that the network saw. Of an occlusion: by how much the
            probability falls when the pixel is covered.
        note: how it was made, in words.
        share: how much of the square's sides the map's cells take, around its middle.

    Shapes: values (h, w).
    """

    guess: Guess
    index: int
    method: Method
    layer: str | None
    values: Values = field(repr=False, compare=False)
    note: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Explanation:
    """What a network says about one image, and where it sees it.

    Args:
        path: as the input named it.
        predictions: the likeliest classes, best first; empty where there is an error.
        maps: one for each method and class.
        size: width and height of the image, px, upright.
        seen: left, top, width and height of what the network saw, px of the image; it may reach
            beyond the image, where the network saw black.
        image: its pixels, uint8 (H, W, 1 or 3), reduced to a longer side of at most 1,280 px.
        features: of the layer whose maps were asked for: its name, and (C, h, w).
        error: why the image could not be read, or None.
        compute: device, precision and threads; None where there is an error.
    """

    path: str
    predictions: tuple[Guess, ...] = ()
    maps: tuple[ClassMap, ...] = ()
    size: tuple[int, int] = (0, 0)
    seen: Box = (0.0, 0.0, 0.0, 0.0)
    image: Pixels | None = field(default=None, repr=False, compare=False)
    features: tuple[str, Values] | None = field(default=None, repr=False, compare=False)
    error: str | None = None
    compute: Compute | None = field(default=None, repr=False, compare=False)

    def over(self, found: ClassMap, size: tuple[int, int] | None = None) -> Values:
        """A map laid over the whole image.

        Args:
            found: one of `maps`.
            size: width and height of the result, px; the image's own where None.

        Returns:
            float32 (height, width), NaN where the network saw nothing.
        """
        width, height = size or self.size
        across, down = width / self.size[0], height / self.size[1]
        left, top, box_width, box_height = self.seen
        box = (left * across, top * down, box_width * across, box_height * down)
        return spread(found.values, box, width, height, found.share)

    def heat_maps(self) -> tuple[HeatMap, ...]:
        """The maps as they are drawn."""
        if self.image is None:
            return ()
        size = panel_image(self.image).size
        return tuple(
            HeatMap(
                each.guess.name,
                f"{100 * each.guess.probability:.1f} %, {each.note}",
                self.over(each, size),
                each.method == "occlusion",
                _ends(each),
            )
            for each in self.maps
        )

    @property
    def note(self) -> str:
        """How large the image is, and how much of it the network saw."""
        (width, height), (_, _, across, down) = self.size, self.seen
        whole = f"{width}x{height} px"
        if across >= width and down >= height:
            return whole
        across, down = min(across, width), min(down, height)
        if abs(across - down) < 1:  # a square; the sides of a resized image are whole
            across = down = (across + down) / 2
        seen = f"{across:.0f}x{down:.0f}"
        return said("{whole}, the network saw {seen} of it", whole=whole, seen=seen)

    @property
    def guesses(self) -> tuple[tuple[str, float], ...]:
        """The likeliest classes as names with probabilities."""
        return tuple((guess.name, guess.probability) for guess in self.predictions)

    def draw(self) -> Image.Image:
        """The image, its maps over it, and the answers.

        Raises:
            BadImage: the image could not be read.
        """
        if self.image is None:
            raise BadImage(f"{self.path}: {self.error}")
        caption = (Path(self.path).name, self.note)
        return draw_heat_maps(self.image, self.heat_maps(), self.guesses, caption=caption)

    def draw_features(self) -> Image.Image | None:
        """The feature maps that were asked for, on one sheet."""
        if self.features is None:
            return None
        layer, maps = self.features
        return draw_feature_maps(maps, title=f"{Path(self.path).name} at {layer}")

    def _repr_png_(self) -> bytes | None:
        """For notebooks."""
        if self.image is None:
            return None
        data = io.BytesIO()
        self.draw().save(data, "PNG")
        return data.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Plain values; a map's own numbers only where they are at most 4,096."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        return {
            "path": self.path,
            "size_px": list(self.size),
            "seen_px": [round(value, 3) for value in self.seen],
            "predictions": [_guess_json(guess) for guess in self.predictions],
            "maps": [self._map_json(each) for each in self.maps],
            **(self.compute.to_json() if self.compute else {}),
        }

    def _map_json(self, found: ClassMap) -> dict[str, Any]:
        rows, columns = found.values.shape
        y, x = np.unravel_index(int(found.values.argmax()), found.values.shape)
        left, top, width, height = self.seen
        across = 0.5 + found.share * ((x + 0.5) / columns - 0.5)
        down = 0.5 + found.share * ((y + 0.5) / rows - 0.5)
        at = (left + across * width, top + down * height)
        listed = found.values.size <= _LISTED_VALUES
        return {
            "method": found.method,
            "layer": found.layer,
            "note": found.note,
            "class": {**_guess_json(found.guess), "index": found.index},
            "shape": [rows, columns],
            "lowest": float(found.values.min()),
            "highest": float(found.values.max()),
            "highest_at_px": [round(float(value), 1) for value in at],
            "values": [[float(f"{v:.5g}") for v in row] for row in found.values]
            if listed
            else None,
        }


def _guess_json(guess: Guess) -> dict[str, Any]:
    known = {} if guess.id is None else {"id": guess.id}
    return {"name": guess.name, **known, "probability": guess.probability}


def _ends(found: ClassMap) -> tuple[str, str]:
    if found.method != "occlusion":
        strongest = float(found.values.max())
        if strongest <= 0:
            return said("nothing anywhere"), ""
        return said("nothing"), said("most, {amount}", amount=f"{strongest:.2g}")
    points = 100 * float(np.abs(found.values).max())
    amount = f"{points:.0f}" if points >= 10 else f"{points:.2g}"
    amount = amount if points >= 0.01 else said("under 0.01")
    return (
        said("gains {amount} points", amount=amount),
        said("loses {amount} points when covered", amount=amount),
    )
