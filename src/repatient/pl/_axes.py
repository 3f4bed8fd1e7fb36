"""Axes and figures in one style, without touching matplotlib's settings."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from repatient._files._atomic import replace_when_whole
from repatient._messages import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Save: TypeAlias = bool | str | Path | None

CONTEXT = "#d9d9d9"
SMALL = 8

_LINE, _MOST_LINES = 24, 3
# Inches that a letter and a line take in tick labels and legends.
LETTER, LINE_HEIGHT = 0.085, 0.16


def check_axes(ax: Any, show: Any = None, save: Any = None) -> None:
    """Accept what every figure takes: Axes to draw on or ``None``, whether to show it, and where to save it."""
    if ax is not None and not isinstance(ax, Axes):
        msg = f"`ax` is matplotlib Axes or None, not {type(ax).__name__}."
        raise TypeError(msg)
    if not isinstance(show, bool | None):
        msg = f"`show` is True, False or None, not {show!r}."
        raise TypeError(msg)
    if not isinstance(save, bool | str | Path | None) or save == "":
        msg = f"`save` is a file to write, True or None, not {save!r}."
        raise TypeError(msg)


def finish(ax: Axes, name: str, *, show: bool | None, save: Save) -> Axes:
    """Save and show the figure of ``ax`` where that is asked for, and hand the axes back."""
    if save:
        path = _path(name, save)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_whole(path) as new:
            figure_of(ax).savefig(new, bbox_inches="tight")
        logger.info("saved the figure to %s", path)
    if show:
        plt.show()
    return ax


def _path(name: str, save: bool | str | Path) -> Path:  # noqa: FBT001
    """A path as it is; scanpy's ways, ``True``, ``"_suffix"`` and ``".pdf"``, as scanpy understands them."""
    if isinstance(save, Path) or (isinstance(save, str) and save[0] not in "_."):
        return Path(save)
    if isinstance(save, str) and "/" in save:
        return Path(save)
    settings = getattr(sys.modules.get("scanpy"), "settings", None)
    file = name if save is True else f"{name}{save}"
    if not Path(file).suffix:
        file += f".{getattr(settings, 'file_format_figs', 'pdf')}"
    return Path(getattr(settings, "figdir", "figures")) / file


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """The user's axes, or those of a new figure of a size in inches."""
    return new_figure(width, height).subplots() if ax is None else ax


def map_and_bars(ax: Axes | None, width: float, height: float, ratios: tuple[float, float]) -> tuple[Axes, Axes | None]:
    """Axes of a map and of the bars beside it; on axes of the user's there is the map alone."""
    if ax is not None:
        return ax, None
    on_map, beside = new_figure(width, height).subplots(1, 2, width_ratios=ratios)
    return on_map, beside


def figure_of(ax: Axes) -> Figure:
    """Figure that axes are in, also where it is divided into parts."""
    return cast("Figure", ax.get_figure(root=True))


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


def written(name: Any) -> str:
    """A name of the user's as it is, in up to three lines; what is longer ends in an ellipsis."""
    lines = textwrap.wrap(str(name), _LINE, max_lines=_MOST_LINES, placeholder=" …", drop_whitespace=False) or [""]
    return verbatim("\n".join(line.strip() for line in lines) if len(lines) > 1 else str(name))


def with_number(name: Any, number: int | None) -> str:
    """A class and how many patients it has."""
    return written(name) if number is None else f"{written(name)}\n(n={number})"


def width_of(names: Sequence[str]) -> float:
    """Inches that the longest of some written names takes."""
    return LETTER * max((len(line) for name in names for line in written(name).split("\n")), default=0)


def open_frame(ax: Axes) -> None:
    """Take away the top and right edges of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def in_percent(axis: Axis) -> None:
    """Write shares as percentages, with as many digits as they need."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def legend_above(ax: Axes, handles: Sequence[Artist], labels: Sequence[str], width: float) -> None:
    """Legend over the axes, where it covers nothing, in as many columns as ``width`` inches hold.

    Labels are handed over beside their handles: matplotlib gives an empty one a name of its own.
    """
    longest = max(len(line) for label in labels for line in label.split("\n"))
    ax.legend(
        handles,
        labels,
        ncols=max(1, min(len(labels), int(width / (LETTER * 0.85 * longest + 0.45)))),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        frameon=False,
        fontsize=SMALL,
        handlelength=1.2,
        columnspacing=1.4,
    )


def legend_beside(ax: Axes, handles: Sequence[Artist], labels: Sequence[str] | None = None, **kwargs: Any) -> None:
    """Legend to the right of the axes; the labels are those of the handles, or names of the user's beside them."""
    labels = [str(handle.get_label()) for handle in handles] if labels is None else labels
    ax.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.3,
        frameon=False,
        fontsize=SMALL,
        **kwargs,
    )
