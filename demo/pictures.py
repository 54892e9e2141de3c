# SPDX-License-Identifier: Apache-2.0
"""Draw the pictures of products: vases, each of another shape and color. Pure."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 270
_TOP, _BOTTOM, _TABLE = 35, 235, 200
_LIGHT = -0.6  # the angle that it comes from, from the left

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Vase:
    """What a vase looks like.

    :param hue: of its glaze, 0 to 1.
    :param rim: half of its width at the top, in pixels; so for the others.
    :param belly: half of its width where it is widest.
    :param foot: half of its width at the bottom.
    :param height: where it is widest, from 0 at the top to 1.
    :param bands: how many bands of a second color go around it.
    """

    hue: float
    rim: float
    belly: float
    foot: float
    height: float
    bands: int

    def half_width(self, at: float) -> float:
        """Return half of its width, between 0 at the top and 1 at the bottom."""
        end, share = (self.rim, at / self.height) if at < self.height else (self.foot, (1 - at) / (1 - self.height))
        return end + (self.belly - end) * math.sin(share * math.pi / 2) ** 2

    def color(self, at: float) -> Color:
        """Return the color of its glaze, between 0 at the top and 1 at the bottom."""
        is_band = self.bands > 0 and 0.3 < at < 0.8 and math.sin((at - 0.3) * 4 * math.pi * self.bands) > 0.2
        return (
            colorsys.hsv_to_rgb((self.hue + 0.08) % 1, 0.25, 0.95)
            if is_band
            else colorsys.hsv_to_rgb(self.hue, 0.7, 0.85)
        )


def vase(number: int, count: int) -> Vase:
    """Return one of so many vases, from 0; the same one each time."""
    shape = random.Random(number)
    return Vase(
        hue=number / count,
        rim=shape.uniform(14, 40),
        belly=shape.uniform(45, 85),
        foot=shape.uniform(22, 45),
        height=shape.uniform(0.35, 0.7),
        bands=number % 4,
    )


def draw(subject: Vase) -> Sequence[bytes]:
    """Draw a vase on a table, and return the rows of the picture, each with three bytes for every pixel."""
    return [_row(subject, y) for y in range(HEIGHT)]


def _row(subject: Vase, y: int) -> bytes:
    background = _background(subject.hue, y)
    if not _TOP <= y < _BOTTOM:
        return _bytes(background) * WIDTH
    at = (y - _TOP) / (_BOTTOM - _TOP)
    half, color = subject.half_width(at), subject.color(at)
    first = math.floor(WIDTH / 2 - half)
    pixels = [_pixel(background, color, x - WIDTH / 2, half) for x in range(first, WIDTH - first)]
    side = _bytes(background) * first
    return side + b"".join(map(_bytes, pixels)) + side


def _pixel(background: Color, color: Color, x: float, half: float) -> Color:
    """Light a point of a round body, and blend its edge with the background."""
    angle = math.asin(max(-1.0, min(x / half, 1.0)))
    light = 0.3 + 0.7 * max(0.0, math.cos(angle - _LIGHT))
    gloss = 0.6 * max(0.0, math.cos(angle - _LIGHT)) ** 40
    lit = [part * light + (1 - part) * gloss for part in color]
    edge = max(0.0, min(half - abs(x) + 0.5, 1.0))
    red, green, blue = (edge * inside + (1 - edge) * outside for inside, outside in zip(lit, background, strict=True))
    return red, green, blue


def _background(hue: float, y: int) -> Color:
    if y < _TABLE:
        return colorsys.hsv_to_rgb((hue + 0.5) % 1, 0.12, 0.92 - 0.25 * y / _TABLE)
    return colorsys.hsv_to_rgb(0.08, 0.35, 0.45 + 0.25 * (y - _TABLE) / (HEIGHT - _TABLE))


def _bytes(color: Color) -> bytes:
    return bytes(round(255 * max(0.0, min(part, 1.0))) for part in color)
