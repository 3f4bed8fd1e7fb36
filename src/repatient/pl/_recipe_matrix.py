"""Classes by components: a heatmap, and dots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm

from repatient.pl._axes import SMALL, in_percent, legend_beside, open_frame, with_number
from repatient.pl._recipe_bars import name_components
from repatient.pl._stacked import SHARE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from repatient.pl._recipe_table import RecipeTable

_LARGEST_DOT = 220
_DOT_SHARES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
_STRONGEST_CHANGE, _LEAST_SIGNED = 2.0, 0.1


def draw_heatmap(ax: Axes, table: RecipeTable, component_colours: dict[str, str], colormap: str) -> None:
    """Mean share as colour; the scale is of square roots, so that rare components are seen, too."""
    image = ax.imshow(
        table.mean.to_numpy(),
        norm=PowerNorm(0.5, vmin=0, vmax=table.mean.to_numpy().max()),
        cmap=colormap,
        aspect="auto",
        interpolation="nearest",
    )
    _rows(ax, table)
    name_components(ax, table.components, component_colours, table.written)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, aspect=12)
    in_percent(bar.ax.yaxis)
    bar.set_label(SHARE.replace(" of ", "\nof "), fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)


def draw_dots(ax: Axes, table: RecipeTable, component_colours: dict[str, str], colormap: str) -> None:
    """Mean share as the area of a dot, its ratio to the mean over the classes as colour."""
    mean = table.mean.to_numpy()
    floor = 1e-6
    change = np.log2(np.maximum(mean, floor) / np.maximum(mean.mean(axis=0), floor))
    largest = mean.max()
    y, x = np.indices(mean.shape)
    strongest = float(np.clip(np.abs(change).max(), 0.5, _STRONGEST_CHANGE))
    dots = ax.scatter(
        x.ravel(),
        y.ravel(),
        s=_LARGEST_DOT * mean.ravel() / largest,
        c=change.ravel(),
        cmap=colormap,
        vmin=-strongest,
        vmax=strongest,
        edgecolors="#555555",
        linewidths=0.5,
    )
    _signs(ax, change, np.sqrt(_LARGEST_DOT * mean / largest) / 2)
    ax.set_ylim(len(table.classes) - 0.4, -0.6)
    _rows(ax, table)
    name_components(ax, table.components, component_colours, table.written)
    bar = ax.figure.colorbar(
        dots, ax=ax, pad=0.02, aspect=12, extend="both" if np.abs(change).max() > strongest else "neither"
    )
    bar.set_label("log₂ ratio to the\nmean of the classes", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    _size_legend(ax, largest)
    open_frame(ax)


def _signs(ax: Axes, change: np.ndarray, radii: np.ndarray) -> None:
    """The sign of what is more than a little, as both ends of a colour scale are dark in grey."""
    for (row, column), ratio in np.ndenumerate(change):
        if abs(ratio) >= _LEAST_SIGNED:
            beside = 0.7 * radii[row, column] + 1
            ax.annotate(
                "+" if ratio > 0 else "\u2212",
                (column, row),
                (beside, beside),
                textcoords="offset points",
                fontsize=SMALL,
                color="#333333",
            )


def _rows(ax: Axes, table: RecipeTable) -> None:
    ax.set_yticks(
        np.arange(len(table.classes)), [with_number(name, table.n_patients.get(name)) for name in table.classes]
    )


def _size_legend(ax: Axes, largest: float) -> None:
    shares = _DOT_SHARES[largest >= _DOT_SHARES][-3:]
    dots = [
        ax.scatter([], [], s=_LARGEST_DOT * share / largest, color="white", edgecolors="#555555") for share in shares
    ]
    legend_beside(ax, dots, [f"{share:.0%} of cells" for share in shares], labelspacing=0.9)
