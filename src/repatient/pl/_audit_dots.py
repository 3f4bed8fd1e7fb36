"""Measures of an audit as dots beside what they should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from repatient.pl._axes import SMALL, in_percent, legend_above, open_frame, written
from repatient.pl._shapes import class_shapes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_BOUND = "#ececec"
_GREY = "#777777"
_LANE = 0.62


@dataclass(frozen=True)
class Measure:
    """One row of a panel: a column of the audit, and another to draw with it.

    Parameters
    ----------
    column
        Drawn as a dot.
    label
        Name of the row.
    beside
        Drawn as an open dot at the end of a line from the first: the extreme of what ``column`` is the middle of.
    chance
        Drawn as a stroke: what ``column`` would be by chance.
    """

    column: str
    label: str
    beside: str = ""
    chance: str = ""


@dataclass(frozen=True)
class Panel:
    """Measures of one scale; ``band`` and ``line`` are what the bounds and the reference mean."""

    title: str
    rows: tuple[Measure, ...]
    reference: float | None = None
    bounds: tuple[float, float] | None = None
    band: str = ""
    line: str = ""
    ticks: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)
    logarithmic: bool = False
    open_ended: bool = False


PANELS = {
    "auroc": Panel(
        "AUROC",
        (
            Measure("generated_auroc", "generated from real"),
            Measure("size_auroc_generated", "generated from real, by size alone"),
            Measure("component_auroc", "class within components (open: worst)", beside="component_auroc_worst"),
            Measure("size_auroc_class", "class by size alone"),
            Measure("membership_auroc", "member of the pool"),
        ),
        reference=0.5,
        bounds=(0.3, 0.7),
        band="0.3 to 0.7: hardly told",
        line="0.5: cannot be told",
    ),
    "variance": Panel(
        "Variance of generated over that of real patients",
        (
            Measure("variance_ratio", "means of the cells"),
            Measure("variance_ratio_composition", "compositions"),
        ),
        reference=1.0,
        bounds=(0.6, 1.4),
        band="0.6 to 1.4: nearly as varied",
        line="1: as varied as real patients",
        ticks=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        logarithmic=True,
    ),
    "shares": Panel(
        "Share",
        (
            Measure("reidentification", "re-identified (stroke: by chance)", chance="reidentification_chance"),
            Measure("donor_share_median", "cells of the main donor (open: most)", beside="donor_share_max"),
            Measure("repeated_cells", "repeated cells"),
        ),
    ),
    "nearest": Panel(
        "Distance to the nearest real one over that between people",
        (
            Measure("nearest_patient_ratio", "patients"),
            Measure("nearest_cell_ratio", "cells"),
        ),
        reference=1.0,
        line="1: as far as people are from each other",
        ticks=(0, 0.5, 1, 1.5, 2, 3, 4),
        open_ended=True,
    ),
}


def draw_measures(
    ax: Axes, table: pd.DataFrame, panel: Panel, colours: dict[str, str], *, classes: dict[str, str] | None = None
) -> None:
    """One row a measure, and in it one dot a class; ``classes`` are those that the legend is to name."""
    _legend(ax, panel, classes or {}, class_shapes(colours))
    _draw_rows(ax, table, panel, colours)


def _legend(ax: Axes, panel: Panel, classes: dict[str, str], shapes: dict[str, str]) -> None:
    marks: list[tuple[Artist, str]] = [
        (Line2D([], [], linestyle="none", marker=shapes[name], color=colour, markersize=6), written(name))
        for name, colour in classes.items()
    ]
    if panel.bounds is not None:
        marks.append((Patch(color=_BOUND), panel.band))
    if panel.reference is not None:
        marks.append((Line2D([], [], color=_GREY, linestyle="--", linewidth=1), panel.line))
    if marks:
        legend_above(ax, [mark for mark, _ in marks], [label for _, label in marks], 5.0)


def _draw_rows(ax: Axes, table: pd.DataFrame, panel: Panel, colours: dict[str, str]) -> None:
    classes = [str(name) for name in table.index]
    shapes = class_shapes(colours)
    lanes = (np.arange(len(classes)) - (len(classes) - 1) / 2) * _LANE / max(len(classes), 2)
    _set_scale(ax, table, panel)
    if panel.bounds is not None:
        ax.axvspan(*panel.bounds, color=_BOUND, linewidth=0, zorder=0)
    if panel.reference is not None:
        ax.axvline(panel.reference, color=_GREY, linestyle="--", linewidth=1, zorder=1)
    for y, measure in enumerate(panel.rows):
        for lane, name in zip(lanes, classes, strict=True):
            _draw_measure(ax, table.iloc[classes.index(name)], measure, y + lane, colours[name], shapes[name])
        if table[measure.column].isna().all():
            ax.annotate(
                "not measured",
                (0.01, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=SMALL,
                color=_GREY,
            )
    ax.set_yticks(np.arange(len(panel.rows)), [measure.label for measure in panel.rows], fontsize=SMALL)
    ax.set_ylim(len(panel.rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=SMALL)
    ax.set_xlabel(panel.title, fontsize=SMALL + 1)
    for y in np.arange(1, len(panel.rows)) - 0.5:
        ax.axhline(y, color="#dddddd", linewidth=0.6, zorder=0.5)
    open_frame(ax)
    ax.spines["left"].set_visible(False)


def _set_scale(ax: Axes, table: pd.DataFrame, panel: Panel) -> None:
    if not panel.logarithmic:
        largest = np.nanmax(table[[measure.column for measure in panel.rows]].to_numpy(dtype=np.float64), initial=1)
        last = max(largest, 1.5) if panel.open_ended else 1
        ax.set_xlim(-0.02 * last, 1.02 * last)
        ax.set_xticks([tick for tick in panel.ticks if tick <= last])
        if panel.reference is None:
            in_percent(ax.xaxis)
        return
    values = table[[measure.column for measure in panel.rows]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    ax.set_xscale("log")
    ax.set_xlim(min(0.18, 0.85 * values.min(initial=1)), max(2.2, 1.18 * values.max(initial=1)))
    ax.xaxis.set_major_locator(FixedLocator(panel.ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _draw_measure(ax: Axes, row: pd.Series, measure: Measure, y: float, colour: str, shape: str) -> None:
    value = float(row[measure.column])
    if measure.chance:
        ax.plot(float(row[measure.chance]), y, "|", color=colour, markersize=12, markeredgewidth=1.6, zorder=3)
    if measure.beside:
        other = float(row[measure.beside])
        ax.plot([value, other], [y, y], color=colour, linewidth=1, zorder=2)
        ax.plot(other, y, shape, color=colour, markerfacecolor="white", markersize=5, zorder=3)
    ax.plot(value, y, shape, color=colour, markersize=6, markeredgecolor="white", markeredgewidth=0.5, zorder=4)
