"""Cells as points of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.patheffects import withStroke

from repatient.pl._axes import verbatim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_LARGEST_POINT = 15.0
_POINTS_ALTOGETHER = 120_000
# Labels closer than this, as shares of the map's width and height, would be written over each other.
_ROOM = np.array([0.05, 0.045])
_GRID_STEPS = 201


def point_size(n_cells: int, size: float | None) -> float:
    """Area of a point in square points: the more cells, the smaller."""
    return min(_LARGEST_POINT, _POINTS_ALTOGETHER / n_cells) if size is None else size


def draw_cells(ax: Axes, xy: np.ndarray, colours: Any, size: float, **kwargs: Any) -> PathCollection:
    """Points without edges, as pixels within a vector file."""
    return ax.scatter(xy[:, 0], xy[:, 1], s=size, c=colours, linewidths=0, rasterized=True, **kwargs)


def draw_groups(
    ax: Axes, xy: np.ndarray, groups: np.ndarray, colours: Sequence[str], size: float, **kwargs: Any
) -> PathCollection:
    """Points in the colours of their groups, the last colour for cells of none (group -1).

    They are drawn in random order, the same each time: else the last group would hide the others.
    """
    order = np.random.default_rng(0).permutation(len(xy))
    return draw_cells(ax, xy[order], to_rgba_array(list(colours))[groups[order]], size, **kwargs)


def name_axes(ax: Axes, names: tuple[str, str]) -> None:
    """Axes without numbers: the coordinates of a map mean nothing by themselves."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(verbatim(names[0]))
    ax.set_ylabel(verbatim(names[1]))


def name_groups(ax: Axes, xy: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> None:
    """Write the name of each group at its middle, or led to it by a line where it would run into another."""
    present = [i for i in range(len(names)) if (groups == i).any()]
    low, high = xy.min(axis=0), xy.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    middles = (np.array([_middle(xy[groups == i]) for i in present]) - low) / extent
    places = spread(middles, _ROOM)
    # A dot at the end, or a short line beside a number would be read as its sign.
    led = (np.abs(places - middles) > _ROOM).any(axis=1)
    ends = middles[led] * extent + low
    ax.scatter(ends[:, 0], ends[:, 1], s=7, color="black", linewidths=0, zorder=3)
    for middle, place, is_led, i in zip(middles, places, led, present, strict=True):
        ax.annotate(
            verbatim(names[i]),
            middle * extent + low,
            place * extent + low,
            ha="center",
            va="center",
            fontsize=9,
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 6, "shrinkB": 0} if is_led else None,
        )


def spread(places: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Places (n, 2) in the unit square, each as near to where it was as those before it leave ``room``.

    Where the whole square is taken, a place stays.
    """
    steps = np.linspace(0, 1, _GRID_STEPS)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    free = np.ones(len(grid), dtype=bool)
    taken = np.empty((0, 2))
    for place in places:
        if (np.abs(taken - place) < room).all(axis=1).any() and free.any():
            place = grid[free][np.linalg.norm((grid[free] - place) / room, axis=1).argmin()]
        taken = np.vstack([taken, place])
        free &= (np.abs(grid - place) >= room).any(axis=1)
    return taken


def _middle(xy: np.ndarray) -> np.ndarray:
    """The cell nearest to the median: the median itself may lie where no cell is."""
    return xy[np.linalg.norm(xy - np.median(xy, axis=0), axis=1).argmin()]
