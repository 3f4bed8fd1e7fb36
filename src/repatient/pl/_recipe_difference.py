"""Where two classes differ: in how much of a component they have, inside it, or in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient import _store
from repatient._checks import listed
from repatient.pl._axes import SMALL, open_frame, verbatim

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._recipe_table import RecipeTable

_LEAST, _MOST = 25, 260
_FLOOR = 1e-6


def inside_components(data: AnnData | MuData, table: RecipeTable, recipes_key: str) -> tuple[np.ndarray, np.ndarray]:
    """How far the cells of the second class lie from those of the first, in standard deviations of the component.

    Returns
    -------
    The root of the mean square over the dimensions of the shrunk offset (components drawn,), and whether both classes
    have two donors or more there.
    """
    if len(table.classes) != 2:
        msg = f"`classes`: kind='difference' compares two classes; name two of {listed(table.every_class)}."
        raise ValueError(msg)
    offsets = _store.offsets_of(data.uns[recipes_key], recipes_key, table.classes)
    if offsets is None:
        msg = (
            f"`recipes_key`: `uns[{recipes_key!r}]` has no offsets of {listed(table.classes)} from one cohort; learn the "
            "recipes with `rp.tl.recipes` while the embedding is in the object."
        )
        raise ValueError(msg)
    covariances = np.asarray(_store.uns_entry(data, table.gmm_key, "gmm_key", "gmm")["covariances"], dtype=np.float64)
    delta = offsets.delta(*table.classes)
    if covariances.ndim == 3:
        variances = np.einsum("kdd->kd", covariances)
    else:
        variances = covariances if covariances.shape == delta.shape else np.diag(covariances)
    size = np.sqrt((delta**2 / variances).mean(axis=1))
    rows = [int(name) for name in table.components]
    return size[rows], offsets.known(*table.classes)[rows]


def draw_difference(
    ax: Axes, table: RecipeTable, inside: np.ndarray, known: np.ndarray, component_colours: dict[str, str]
) -> None:
    """A dot a component: to the right what the second class has more of, upwards what its cells differ inside."""
    first, second = (np.maximum(table.mean.loc[name].to_numpy(dtype=float), _FLOOR) for name in table.classes)
    ratio, share = np.log2(second / first), (first + second) / 2
    colours = [component_colours[name] for name in table.components]
    faces = [colour if there else "white" for colour, there in zip(colours, known, strict=True)]
    ax.axvline(0, color="#bbbbbb", linewidth=0.9, zorder=1)
    ax.axhline(0, color="#bbbbbb", linewidth=0.9, zorder=1)
    sizes = _LEAST + (_MOST - _LEAST) * share / share.max()
    ax.scatter(ratio, inside, s=sizes, c=faces, edgecolors=colours, linewidths=1.2, zorder=3)
    for x, y, area, name in zip(ratio, inside, sizes, table.written, strict=True):
        ax.annotate(
            name,
            (x, y),
            (0, np.sqrt(area) / 2 + 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL - 1,
        )
    if not known.all():
        ax.scatter([], [], s=_LEAST, c="white", edgecolors="#555555", label="too few donors to tell inside")
        ax.legend(frameon=False, fontsize=SMALL, loc="best")
    of, to = (verbatim(name) for name in table.classes)
    ax.set_xlabel(f"Share of cells: log₂ ratio, {to} to {of}", fontsize=SMALL + 1)
    ax.set_ylabel(
        "Inside the component: shift of the cells\n(standard deviations of the component)", fontsize=SMALL + 1
    )
    ax.set_ylim(bottom=min(0.0, -0.05 * max(float(inside.max()), 0.1)), top=1.2 * max(float(inside.max()), 0.1))
    ax.margins(x=0.12)
    open_frame(ax)
