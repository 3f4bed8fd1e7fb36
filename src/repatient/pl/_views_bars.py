"""Fidelity of groups and errors of arms, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.pl._axes import SMALL, legend_above, open_frame, written
from repatient.pl._palette import CLASS_COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_CHANCE = 0.5
_HEIGHT = 0.38


def draw_groups_fidelity(ax: Axes, table: pd.DataFrame) -> None:
    """FOSCTTM of each group, and the share of its observations that do not look like it."""
    places = np.arange(len(table))
    if "foscttm" in table:
        ax.barh(places - _HEIGHT / 2, table["foscttm"], _HEIGHT, color=CLASS_COLOURS[0], label="FOSCTTM")
        ax.axvline(_CHANCE, color="#777777", linestyle="--", linewidth=1)
    if "read_as_own" in table:
        misread = 1 - table["read_as_own"]
        ax.barh(places + _HEIGHT / 2, misread, _HEIGHT, color=CLASS_COLOURS[1], label="read as another group")
    missing = table["missing"] if "missing" in table else [False] * len(table)
    names = [f"{name} (not in target)" if gone else str(name) for name, gone in zip(table.index, missing, strict=True)]
    ax.set_yticks(places, [written(name) for name in names], fontsize=SMALL)
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.set_xlabel("Share (dashed: FOSCTTM by chance)")
    handles, labels = ax.get_legend_handles_labels()
    legend_above(ax, handles, labels, 3.2)
    open_frame(ax)


def draw_errors(ax: Axes, results: pd.DataFrame, metric: str) -> None:
    """Mean error of each arm over seeds, with its standard deviation."""
    chosen = results[results["metric"].astype(str) == metric]
    arms = list(dict.fromkeys(chosen["arm"].astype(str)))
    grouped = chosen.groupby(chosen["arm"].astype(str))["value"]
    means, spread = grouped.mean().reindex(arms), grouped.std().fillna(0.0).reindex(arms)
    colours = [CLASS_COLOURS[1] if arm == "synthetic" else CLASS_COLOURS[0] for arm in arms]
    ax.barh(range(len(arms)), means, xerr=spread, color=colours, error_kw={"linewidth": 1})
    ax.set_yticks(range(len(arms)), [arm.replace("_", " ") for arm in arms], fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlabel(f"Error ({metric.replace('_', ', ')} labels)" if metric == "linear_few" else f"Error ({metric})")
    open_frame(ax)
