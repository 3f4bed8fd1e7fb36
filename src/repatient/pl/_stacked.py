"""One bar a class, made of its components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.pl._axes import in_percent, open_frame, shortened, with_number
from repatient.pl._palette import contrasting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from repatient.pl._recipe_table import RecipeTable

SHARE = "Share of a patient's cells"
# A number of this height, in points, needs so much of the axis.
_NUMBER = 7
# Letters that a bar is wide.
_LETTERS = 12


_GREYS = ("#e4e4e4", "#cfcfcf")


def draw_stacked(ax: Axes, table: RecipeTable, colours: dict[str, str] | None) -> None:
    """Stack the mean shares, first component on top, as one reads; numbers in the parts that have room.

    Without colours, neighbours are two greys.
    """
    if colours is None:
        colours = {name: _GREYS[i % 2] for i, name in enumerate(table.components)}
    x = np.arange(len(table.classes))
    top = table.mean.sum(axis=1).to_numpy()
    for component, written_name in zip(table.components, table.written, strict=True):
        height = table.mean[component].to_numpy()
        bottom = top - height
        ax.bar(x, height, 0.8, bottom, color=colours[component], edgecolor="white", linewidth=0.4, label=written_name)
        _number(ax, shortened(written_name, _LETTERS), x, bottom, height, contrasting(colours[component]))
        top = bottom
    ax.set_xlim(-0.55, len(x) - 0.45)
    ax.set_ylim(0, 1)
    name_classes(ax, [with_number(name, table.n_patients.get(name)) for name in table.classes])
    in_percent(ax.yaxis)
    ax.set_ylabel(SHARE)
    ax.tick_params(axis="x", length=0)
    open_frame(ax)
    ax.spines["bottom"].set_visible(False)


def name_classes(ax: Axes, classes: list[str]) -> None:
    """Names, as :func:`written`, under the axis, aslant where they would run into each other."""
    crowded = len(classes) > 1 and max(len(line) for name in classes for line in name.split("\n")) > 8
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(np.arange(len(classes)), classes, **slant)


def _number(ax: Axes, component: str, x: np.ndarray, bottom: np.ndarray, height: np.ndarray, colour: str) -> None:
    points = ax.get_window_extent().height * 72 / ax.figure.dpi
    for position in np.flatnonzero(height * points > _NUMBER + 1):
        ax.text(
            x[position],
            bottom[position] + height[position] / 2,
            component,
            ha="center",
            va="center_baseline",
            fontsize=_NUMBER,
            color=colour,
        )
