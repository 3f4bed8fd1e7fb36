"""Patients with values in place of classes: coloured by them, or along an axis of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from repatient.pl._axes import SMALL, legend_beside, verbatim

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLORMAP = "viridis"
UNCERTAINTY = {
    "entropy": "Uncertainty (predictive standard deviation)",
    "epistemic": "Epistemic uncertainty (standard deviation)",
    "random": "Random number",
}


def scale_of(values: np.ndarray[Any, Any], palette: Any = None) -> ScalarMappable:
    """Colours of values, from the lowest to the highest."""
    name = _COLORMAP if palette is None else palette
    if not isinstance(name, str) or name not in mpl.colormaps:
        msg = f"`palette` is the name of a colormap where patients have values, not {palette!r}."
        raise ValueError(msg)
    return ScalarMappable(Normalize(np.nanmin(values), np.nanmax(values)), mpl.colormaps[name])


def draw_scale(ax: Axes, scale: ScalarMappable, label: str) -> None:
    """A bar of the colours beside the axes."""
    bar = ax.figure.colorbar(scale, ax=ax, pad=0.02, aspect=25, shrink=0.8)
    bar.set_label(verbatim(label), fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def draw_uncertainty(ax: Axes, table: pd.DataFrame, label_key: str, by: str) -> None:
    """Uncertainty of generated patients over the values that they were generated at."""
    colour, selected = mpl.colormaps[_COLORMAP](0.35), table["selected"].to_numpy(dtype=bool)
    for chosen, face in ((~selected, "white"), (selected, colour)):
        ax.scatter(
            table["label"][chosen],
            table["uncertainty"][chosen],
            s=24,
            facecolors=[face],
            edgecolors=[colour],
            linewidths=0.9,
        )
    ax.set_xlabel(f"{verbatim(label_key)} of the generated patient")
    ax.set_ylabel(UNCERTAINTY[by])
    grey = "#555555"
    handles = [
        Line2D([], [], linestyle="none", marker="o", label=label, markerfacecolor=face, markeredgecolor=grey)
        for label, face in (("selected", grey), ("not selected", "white"))
    ]
    legend_beside(ax, handles=handles)
