"""Maps of both modalities, with translated observations in that of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient.pl._axes import CONTEXT, SMALL, legend_beside, verbatim, written
from repatient.pl._palette import COMPONENT_START, distinct_colours
from repatient.pl._views_read import ViewsRead, nearest_measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINT = 4
_MOST_POINTS = 5000


def n_maps(pair: ViewsRead, basis: str) -> int:
    """How many of the two modalities have a map."""
    return sum(basis in adata.obsm for adata in pair.modalities)


def draw_maps(axes: list[Axes], pair: ViewsRead, basis: str, color: str | None) -> None:
    """The source where it lies, and its translations among the measured target."""
    rows = np.linspace(0, len(pair.source) - 1, min(len(pair.source), _MOST_POINTS)).astype(np.int64)
    colours, names = _colours(pair, color, rows)
    source, target = pair.modalities
    left = list(axes)
    if basis in source.obsm:
        ax = left.pop(0)
        _scatter(ax, np.asarray(source.obsm[basis])[rows, :2], colours, pair.names[0])
    if basis in target.obsm:
        ax = left.pop(0)
        map_of_target = np.asarray(target.obsm[basis])[:, :2]
        ax.scatter(map_of_target[:, 0], map_of_target[:, 1], s=_POINT, color=CONTEXT, linewidths=0)
        _scatter(ax, map_of_target[nearest_measured(pair, rows)], colours, f"{pair.names[1]}, translated in colour")
    handles = [
        axes[-1].scatter(
            [],
            [],
            s=20,
            color=colour,
        )
        for colour in names.values()
    ]
    if names:
        legend_beside(axes[-1], handles, [written(name) for name in names])


def _scatter(ax: Axes, points: np.ndarray, colours: np.ndarray, title: str) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=_POINT, c=list(colours), linewidths=0)
    ax.set_title(verbatim(title), fontsize=SMALL + 1)
    ax.set_xticks([])
    ax.set_yticks([])


def _colours(pair: ViewsRead, color: str | None, rows: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    """Colour of each of the rows, and of each group."""
    obs = pair.modalities[0].obs
    if color is None or color not in obs:
        return np.full(len(rows), COMPONENT_START[0]), {}
    column = obs[color].iloc[rows]
    names = sorted(column.dropna().astype(str).unique())
    of_names = dict(zip(names, distinct_colours(len(names), COMPONENT_START), strict=True))
    labels = pd.Series(column.astype(object).to_numpy()).map(lambda name: of_names.get(str(name), CONTEXT))
    return labels.to_numpy(dtype=object), of_names
