"""Axes and figures in one style, without touching matplotlib's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

CONTEXT = "#d9d9d9"
SMALL = 8


def check_axes(ax: Any) -> None:
    """Accept ``None`` and Axes."""
    if ax is not None and not isinstance(ax, Axes):
        msg = f"`ax` is matplotlib Axes or None, not {type(ax).__name__}."
        raise TypeError(msg)


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """The user's axes, or those of a new figure of a size in inches."""
    return new_figure(width, height).subplots() if ax is None else ax


def new_figure(width: float, height: float) -> Figure:
    """Empty figure whose layout leaves room for all labels."""
    return plt.figure(figsize=(width, height), layout="constrained")


def verbatim(name: Any) -> str:
    """A name of the user's as it is: what stands between two dollar signs would be read as a formula."""
    return str(name).replace("$", r"\$")


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters, its middle left out: ends are where names differ."""
    name = str(name)
    head = (most - 1) // 2
    return name if len(name) <= most else f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def open_frame(ax: Axes) -> None:
    """Take away the top and right edges of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def in_percent(axis: Axis) -> None:
    """Write shares as percentages, with as many digits as they need."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def legend_above(ax: Axes, **kwargs: Any) -> None:
    """Legend over the axes, where it covers nothing."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        frameon=False,
        fontsize=SMALL,
        handlelength=1.2,
        columnspacing=1.4,
        **kwargs,
    )


def legend_beside(ax: Axes, **kwargs: Any) -> None:
    """Legend to the right of the axes."""
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.3, frameon=False, fontsize=SMALL, **kwargs)
