"""Where cells are drawn: on a map of all of them, or on the slides of a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient import _store
from repatient.pl._basis import read_basis

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_SLIDE = "slide"
# Room between slides, as a share of their width.
_GAP = 0.1


def is_slide(basis: str | None) -> bool:
    """Whether a basis is places on slides and no map: equal units of both axes, and cells of others lie elsewhere."""
    return basis is not None and basis.rpartition(":")[2].removeprefix("X_") == "spatial"


def read_places(
    data: AnnData | MuData, basis: str | None, inside: np.ndarray
) -> tuple[np.ndarray, tuple[str, str], np.ndarray]:
    """Places of all cells (n_obs, 2), names of the axes, and which cells are drawn: all, or those of the patient's slides.

    Several slides of a patient (``obs["slide"]``) have coordinates of their own and are put side by side.
    """
    xy, names = read_basis(data, basis)
    if not is_slide(basis):
        return xy, names, np.ones(data.n_obs, dtype=bool)
    slides = np.zeros(data.n_obs, dtype=np.int64)
    if _SLIDE in data.obs:
        slides = pd.factorize(_store.obs_column(data, _SLIDE, "basis"))[0]
        names = (", ".join(map(str, pd.unique(_store.obs_column(data, _SLIDE, "basis")[inside]))), "")
    else:
        names = ("", "")
    start = 0.0
    for slide in pd.unique(slides[inside]):
        cells = inside & (slides == slide)
        left, right = xy[cells, 0].min(), xy[cells, 0].max()
        xy[cells, 0] += start - left
        start += (right - left) * (1 + _GAP) + 1
    return xy, names, inside


def finish_places(ax: Axes, basis: str | None) -> None:
    """Slides are seen from above, without distortion."""
    if is_slide(basis):
        ax.set_aspect("equal")
        if not ax.yaxis_inverted():
            ax.invert_yaxis()
