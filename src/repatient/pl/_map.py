"""Cells as points of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.patheffects import withStroke

from repatient.pl._axes import SMALL, verbatim, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_LARGEST_POINT = 15.0
_POINTS_ALTOGETHER = 120_000
# Points that a letter and a line of a name take, and the least room of a name as shares of the map's width and height.
_LETTER, _LINE = 6.2, 12.5
_ROOM = np.array([0.05, 0.045])
# Cells further than this from the middle 99 % of them, in widths of that middle, do not rule the map.
_FAR, _MIDDLE = 0.5, (0.005, 0.995)
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


def limits(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (2,) of a map: of all cells, without the few that lie far from all others."""
    low, high = np.quantile(xy, _MIDDLE, axis=0)
    margin = _FAR * np.where(high > low, high - low, 1.0)
    inside = ((xy >= low - margin) & (xy <= high + margin)).all(axis=1)
    return xy[inside].min(axis=0), xy[inside].max(axis=0)


def frame(ax: Axes, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Set the ends of a map, say how many cells lie beyond them, and return the ends."""
    low, high = limits(xy)
    beyond = int(((xy < low) | (xy > high)).any(axis=1).sum())
    if beyond:
        margin = 0.05 * np.where(high > low, high - low, 1.0)
        ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
        ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
        ax.text(
            0.01,
            0.01,
            f"{beyond} far cell{'s' * (beyond > 1)} not shown",
            transform=ax.transAxes,
            fontsize=SMALL,
            color="#555555",
        )
    return low, high


def name_axes(ax: Axes, names: tuple[str, str]) -> None:
    """Axes without numbers: the coordinates of a map mean nothing by themselves."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(verbatim(names[0]))
    ax.set_ylabel(verbatim(names[1]))


def name_groups(ax: Axes, xy: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> None:
    """Write the name of each group at its middle, or led to it by a line where it would run into another."""
    present = [i for i in range(len(names)) if (groups == i).any()]
    low, high = limits(xy)
    extent = np.where(high > low, high - low, 1.0)
    middles = (np.array([_middle(xy[groups == i]) for i in present]) - low) / extent
    middles = np.clip(middles, 0, 1)
    texts = [written(names[i]) for i in present]
    size = np.array([[_LETTER * max(map(len, text.split("\n"))), _LINE * (1 + text.count("\n"))] for text in texts])
    box = ax.get_window_extent()
    room = np.maximum(size * ax.figure.dpi / 72 / (box.width, box.height), _ROOM)
    places = spread(middles, room)
    # A dot at the end, or a short line beside a number would be read as its sign.
    led = (np.abs(places - middles) > _ROOM).any(axis=1)
    ends = middles[led] * extent + low
    ax.scatter(ends[:, 0], ends[:, 1], s=7, color="black", linewidths=0, zorder=3)
    for middle, place, is_led, text in zip(middles, places, led, texts, strict=True):
        ax.annotate(
            text,
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
    """Places (n, 2) in the unit square, each as near to where it was as those before it leave room.

    ``room`` is the width and height (2,) that each takes, or those of each (n, 2). Where the whole square is taken, a
    place stays.
    """
    room = np.broadcast_to(room, places.shape)
    steps = np.linspace(0, 1, _GRID_STEPS)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    taken = np.empty((0, 2))
    for place, own in zip(places, room, strict=True):
        apart = (own + room[: len(taken)]) / 2
        # Names stay within the map as far as they fit into it.
        edge = np.minimum(own / 2, 0.5) if (own > _ROOM).any() else np.zeros(2)
        wished = np.clip(place, edge, 1 - edge)
        if (np.abs(taken - wished) < apart).all(axis=1).any():
            free = ((grid >= edge - 1e-9) & (grid <= 1 - edge + 1e-9)).all(axis=1)
            for other, between in zip(taken, apart, strict=True):
                free &= (np.abs(grid - other) >= between).any(axis=1)
            if free.any():
                wished = grid[free][np.linalg.norm((grid[free] - place) / own, axis=1).argmin()]
        taken = np.vstack([taken, wished])
    return taken


def _middle(xy: np.ndarray) -> np.ndarray:
    """The cell nearest to the median: the median itself may lie where no cell is."""
    return xy[np.linalg.norm(xy - np.median(xy, axis=0), axis=1).argmin()]
