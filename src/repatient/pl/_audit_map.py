"""Real and generated patients as points, with an ellipse around those of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from scipy.stats import chi2

from repatient.pl._axes import legend_above, open_frame, written
from repatient.pl._shapes import class_shapes, give_shapes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COVERED = 0.8
_GREY, _DARK = "#8c8c8c", "#222222"
_CROWD = 150


def draw_patients(ax: Axes, table: pd.DataFrame, explained: np.ndarray, colours: dict[str, str]) -> None:
    """Filled markers for real patients, with a dark edge for those held out, open ones for generated patients."""
    xy = table[["axis_1", "axis_2"]].to_numpy(dtype=np.float64)
    labels = table["label"].astype(str)
    of_patients = np.array([colours[label] for label in labels])
    shapes = class_shapes(colours)
    roles = table["role"].astype(str).to_numpy()
    is_generated, is_held_out = roles == "generated", roles == "held out"
    scale = min(1.0, max((_CROWD / len(xy)) ** 0.5, 0.35))
    for chosen, edge in ((~is_generated & ~is_held_out, "white"), (is_held_out, _DARK)):
        points = ax.scatter(
            xy[chosen, 0],
            xy[chosen, 1],
            s=42 * scale,
            c=of_patients[chosen],
            edgecolors=edge,
            linewidths=(0.6 if edge == "white" else 1.2) * scale,
            alpha=0.35 + 0.4 * scale,
            zorder=3,
        )
        give_shapes(points, labels[chosen].tolist(), shapes)
    points = ax.scatter(
        xy[is_generated, 0],
        xy[is_generated, 1],
        s=22 * max(scale, 0.6),
        facecolors="none",
        edgecolors=of_patients[is_generated],
        linewidths=1.0,
        zorder=4,
    )
    give_shapes(points, labels[is_generated].tolist(), shapes)
    for name in dict.fromkeys(labels):
        of_class = labels.to_numpy() == name
        for chosen, style in ((of_class & ~is_generated, "-"), (of_class & is_generated, "--")):
            _draw_ellipse(ax, xy[chosen], colours[name], style)
    for axis, number, share in zip((ax.xaxis, ax.yaxis), (1, 2), explained, strict=True):
        axis.set_label_text(f"Mean of the cells, PC {number} ({share:.0%} of the variance)")
    open_frame(ax)
    shown = {name: colour for name, colour in colours.items() if name in set(labels)}
    numbers = labels[~is_generated].value_counts()
    handles, labels = _handles(shown, shapes, numbers.to_dict(), has_held_out=bool(is_held_out.any()))
    legend_above(ax, handles, labels, 5.0)


def _draw_ellipse(ax: Axes, xy: np.ndarray, colour: str, style: str) -> None:
    if len(xy) < 3:
        return
    values, vectors = np.linalg.eigh(np.cov(xy.T))
    width, height = 2 * np.sqrt(np.maximum(values, 0) * chi2.ppf(_COVERED, 2))
    angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
    ax.add_patch(
        Ellipse(
            tuple(xy.mean(axis=0)),
            width,
            height,
            angle=angle,
            fill=False,
            edgecolor=colour,
            linestyle=style,
            linewidth=1.3,
            zorder=5,
        )
    )


def _handles(
    colours: dict[str, str], shapes: dict[str, str], numbers: dict[str, int], *, has_held_out: bool
) -> tuple[list[Line2D], list[str]]:
    def mark(**kwargs: Any) -> Line2D:
        return Line2D([], [], color=_GREY, **kwargs)

    marks = [
        (
            Line2D([], [], linestyle="none", marker=shapes[name], color=colour, markersize=6),
            f"{written(name)} (n={numbers.get(name, 0)})",
        )
        for name, colour in colours.items()
    ]
    marks.append((mark(marker="o", markersize=6, linestyle="-"), f"real (line: {_COVERED:.0%} of a normal)"))
    if has_held_out:
        marks.append(
            (
                mark(marker="o", markersize=6, markeredgecolor=_DARK, markeredgewidth=1.5, linestyle="none"),
                "real, held out",
            )
        )
    marks.append((mark(marker="o", markersize=4.5, markerfacecolor="white", linestyle="--"), "generated"))
    return [handle for handle, _ in marks], [label for _, label in marks]
