"""Colours that can be told apart, as many as are needed."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib.colors import to_hex, to_rgb

# Okabe and Ito's colours, which people of all kinds of colour vision can tell apart, without the yellow, too light for
# thin lines.
CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
COMPONENT_START = ("#1f77b4",)

# Neither so dark that numbers on top are lost, nor so light that points on white are, nor grey: grey is for context.
_LIGHTNESS = (0.5, 0.86)
_CHROMA = (0.07, 0.19)
_GRID_STEPS = 18

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@cache
def distinct_colours(n: int, start: tuple[str, ...]) -> tuple[str, ...]:
    """``start`` and as many more as make ``n``, each as far as can be from all before it.

    So neighbours in the sequence contrast, and a colour does not depend on how many follow.
    """
    rgb, lab = _candidates()
    chosen = [to_hex(colour) for colour in start[:n]]
    distance = np.full(len(lab), np.inf)
    for colour in chosen:
        distance = np.minimum(distance, np.linalg.norm(lab - oklab(np.array(to_rgb(colour))), axis=1))
    while len(chosen) < n:
        furthest = int(distance.argmax())
        chosen.append(to_hex(rgb[furthest]))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[furthest], axis=1))
    return tuple(chosen)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Coordinates (..., 3) of sRGB colours in OKLab, where distances are as people see them (Ottosson 2020)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_OPPONENTS.T


def contrasting(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    return "black" if oklab(np.array(to_rgb(colour)))[0] > 0.62 else "white"


@cache
def _candidates() -> tuple[np.ndarray, np.ndarray]:
    levels = np.linspace(0, 1, _GRID_STEPS)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (
        (lab[:, 0] >= _LIGHTNESS[0]) & (lab[:, 0] <= _LIGHTNESS[1]) & (chroma >= _CHROMA[0]) & (chroma <= _CHROMA[1])
    )
    return rgb[usable], lab[usable]
