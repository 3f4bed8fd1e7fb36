"""Components side by side, one bar a class, with the spread over patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from repatient.pl._axes import figure_of, in_percent, legend_above, open_frame, written
from repatient.pl._stacked import SHARE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from repatient.pl._recipe_table import RecipeTable

_GROUP = 0.8
# Letters of a name that has room between its neighbours.
_SHORT = 3
# In grey, and for those who see few colours, strokes tell the classes apart.
_STROKES = ("", "///", "...", "\\\\\\", "xxx")


def draw_bars(
    ax: Axes, table: RecipeTable, class_colours: dict[str, str], component_colours: dict[str, str], interval: float
) -> None:
    """Bars of the mean share, whiskers over the interval of patients, grouped by component."""
    x = np.arange(len(table.components))
    width = _GROUP / len(table.classes)
    handles: list[Any] = []
    number = table.n_patients or {}
    labels = [written(name) for name in table.classes]
    for i, name in enumerate(table.classes):
        at = x + (i + 0.5) * width - _GROUP / 2
        colour = class_colours[name]
        strokes = _STROKES[i % len(_STROKES)]
        style: dict[str, Any] = {"color": colour, "alpha": 0.75, "hatch": strokes, "edgecolor": "white", "linewidth": 0}
        handles.append(ax.bar(at, table.mean.loc[name], width, **style))
        ax.vlines(at, table.low.loc[name], table.high.loc[name], color="#333333", linewidth=0.9)
    in_percent(ax.yaxis)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(SHARE)
    open_frame(ax)
    name_components(ax, table.components, component_colours, table.written)
    handles.append(Line2D([], [], color="#333333", linewidth=0.9))
    # Beside the names themselves they would no longer be what the object calls the classes.
    sizes = ", ".join(str(number[name]) for name in table.classes if name in number)
    labels.append(f"middle {interval * 100:g} % of patients" + (f" (n = {sizes})" if sizes else ""))
    legend_above(ax, handles, labels, figure_of(ax).get_figwidth() - 0.8)


def name_components(ax: Axes, components: list[str], colours: dict[str, str], names: list[str]) -> None:
    """Components under the axis, each below a patch of its colour."""
    x = np.arange(len(components))
    ax.set_xlim(-0.6, len(x) - 0.4)
    ax.set_xticks(x, names)
    if any(len(name) > _SHORT for name in names):
        ax.tick_params(axis="x", labelrotation=90)
    ax.tick_params(axis="x", length=0, pad=12)
    ax.scatter(
        x,
        np.zeros(len(x)),
        s=28,
        marker="s",
        color=[colours[name] for name in components],
        # The patches stand a fixed distance below the axis, however tall the axes are.
        transform=ax.get_xaxis_transform() + _below(ax, points=7),
        clip_on=False,
        zorder=3,
    )
    ax.set_xlabel("Component")


def _below(ax: Axes, points: float) -> ScaledTranslation:
    return ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)
