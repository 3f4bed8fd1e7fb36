"""Single observations: source, translation and nearest measured one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.pl._axes import SMALL, verbatim
from repatient.pl._views_read import ViewsRead, comparable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FURTHEST = 3.0


def draw_images(_: Any, place: Any, pair: ViewsRead, rows: np.ndarray, nearest: np.ndarray) -> None:
    """Three rows of images, one column an example."""
    axes = place.subgridspec(3, len(rows)).subplots(squeeze=False)
    shown = (pair.source[rows], pair.synthetic[rows], pair.measured[nearest])
    scales = (pair.source, pair.measured, pair.measured)
    names = (pair.names[0], f"translated to {pair.names[1]}", f"nearest in {pair.names[1]}")
    for line, images, scale, name in zip(axes, shown, scales, names, strict=True):
        low, high = float(scale.min()), float(scale.max())
        for ax, image in zip(line, images, strict=True):
            _draw_image(ax, np.clip((image - low) / ((high - low) or 1.0), 0, 1))
        line[0].set_ylabel(verbatim(name), fontsize=SMALL)


def draw_vectors(figure: Any, place: Any, pair: ViewsRead, rows: np.ndarray, nearest: np.ndarray) -> None:
    """Two matrices of observations × features, and the linked features of the source where there are links."""
    translated, measured = comparable(pair)
    panels = [
        (translated[rows], pair.features, f"translated to {pair.names[1]}"),
        (measured[nearest], pair.features, f"nearest in {pair.names[1]}"),
    ]
    links = pair.entry.get("links")
    if links is not None and set(links["source"]) <= set(pair.modalities[0].var_names):
        names = list(dict.fromkeys(str(name) for name in links["source"]))
        columns = pair.source[:, pair.modalities[0].var_names.get_indexer(names)].astype(np.float64)
        columns = np.log1p(columns) if columns.min() >= 0 else columns
        scale = columns.std(axis=0)
        standard = (columns - columns.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        panels.insert(0, (standard[rows], names, f"linked in {pair.names[0]}"))
    axes = place.subgridspec(1, len(panels)).subplots(squeeze=False)[0]
    for ax, (values, names, title) in zip(axes, panels, strict=True):
        image = ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-_FURTHEST, vmax=_FURTHEST)
        ax.set_title(verbatim(title), fontsize=SMALL + 1)
        if len(names) <= 40:
            ax.set_xticks(range(len(names)), [verbatim(name) for name in names], rotation=90, fontsize=SMALL - 1)
        ax.set_yticks([])
    axes[0].set_ylabel("observations", fontsize=SMALL)
    figure.colorbar(image, ax=list(axes), shrink=0.7, label="standard deviations")


def _draw_image(ax: Axes, image: np.ndarray) -> None:
    """Three channels as colours, others as the grey of their mean."""
    if len(image) == 3:
        ax.imshow(np.moveaxis(image, 0, -1))
    else:
        ax.imshow(image.mean(axis=0), cmap="gray", vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([])
