"""Where on the map cells are dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from repatient.pl._map import limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES_INSIDE = (0.25, 0.5, 0.75)

_BINS = 200
# Standard deviation of the kernel as a share of the map, for one cell; it falls as with Scott's rule for two dimensions.
_BANDWIDTH = 0.07
_MARGIN = 0.1


def draw_density(ax: Axes, xy: np.ndarray, weights: np.ndarray) -> None:
    """Contours within which given shares of the weighted cells are."""
    low, high = limits(xy)
    if not weights[((xy >= low) & (xy <= high)).all(axis=1)].any():
        return
    margin = _MARGIN * np.where(high > low, high - low, 1.0)
    density, x, y = density_on_grid(xy, weights, low - margin, high + margin)
    levels = [level_around(density, share) for share in sorted(SHARES_INSIDE, reverse=True)]
    ax.contour(
        x,
        y,
        density.T,
        levels=np.unique(levels),
        colors="black",
        linewidths=np.linspace(0.8, 1.6, len(np.unique(levels))),
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def density_on_grid(
    xy: np.ndarray, weights: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed share of the weights in each field of a grid, and the middles of its columns and rows.

    Counting and smoothing take the same time for a million cells as for thousands, where a kernel a cell would not.
    """
    counts, x_edges, y_edges = np.histogram2d(
        xy[:, 0], xy[:, 1], bins=_BINS, range=np.stack([low, high], axis=1), weights=weights
    )
    n_cells = weights.sum() ** 2 / (weights**2).sum()
    density = gaussian_filter(counts / counts.sum(), _BINS * _BANDWIDTH * n_cells ** (-1 / 6), mode="constant")
    return density, (x_edges[1:] + x_edges[:-1]) / 2, (y_edges[1:] + y_edges[:-1]) / 2


def level_around(density: np.ndarray, share: float) -> float:
    """Density above which a share of the whole lies."""
    falling = np.sort(density, axis=None)[::-1]
    inside = np.cumsum(falling)
    return float(falling[np.searchsorted(inside, share * inside[-1])])
