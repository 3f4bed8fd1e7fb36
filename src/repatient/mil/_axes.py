"""Wide embeddings as the members of an average see them: along a few principal axes of the training cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.decomposition import PCA

from repatient.mil._cell_reader import CellReader
from repatient.mil._inputs import apply_scaler, compact, fit_scaler, stored_scaler
from repatient.mil._persistence import array_of
from repatient.mil._shared import once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags

# Features up to which an embedding is seen as it is.
_WIDE = 256
# Cells for each axis below which axes are those of chance.
_CELLS_OF_AN_AXIS = 8
# Cells that the axes are learnt from.
_MOST_CELLS = 10_000


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Principal axes of standardised cells; whoever standardises what lies along them sees whitened cells.

    Parameters
    ----------
    mean, scale
        Of each feature over the training cells, (d,).
    axes
        One a column, the one of the largest variance first, (d, r).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float32]

    @staticmethod
    def allowed(n_axes: int, n_cells: int, n_features: int) -> bool:
        """Whether so many axes of so many features are learnt from so many training cells."""
        return n_features > max(_WIDE, n_axes) and n_cells >= _CELLS_OF_AN_AXIS * n_axes

    @classmethod
    def fit(cls, bags: Bags, n_axes: int, rng: np.random.Generator) -> Self:
        """Learn from training bags, cells of all of them in equal parts."""
        mean, scale = fit_scaler(bags, standardize=True)
        cells, _ = CellReader(bags, mean, scale).sample(rng, _MOST_CELLS)
        solver = "covariance_eigh" if len(cells) >= cells.shape[1] else "full"
        found = PCA(min(n_axes, len(cells)), svd_solver=solver).fit(cells)
        return cls(mean, scale, np.ascontiguousarray(found.components_.T, dtype=np.float32))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> Self:
        """The inverse of :attr:`arrays`, for arrays that may be anything."""
        axes = array_of(arrays, "axes", n_features, None).astype(np.float32)
        return cls(*stored_scaler(arrays, n_features), axes)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, for files."""
        return {"mean": self.mean, "scale": self.scale, "axes": self.axes}

    def along(self, bags: Bags) -> Bags:
        """The same bags over what their cells are along the axes."""

        def project(X: NDArray[Any]) -> NDArray[np.float32]:
            return apply_scaler(X, self.mean, self.scale, clip=True) @ self.axes

        return compact([bags], project, width=self.axes.shape[1])[0]


def seen_by(models: Sequence[Any], axes: PrincipalAxes | None, bags: Bags) -> list[Bags]:
    """The bags as each of some predictors sees them: along the axes, but for those that are linear in the mean cell."""
    if axes is None:
        return [bags] * len(models)
    along = once("along", (bags, *axes.arrays.values()), lambda: axes.along(bags))
    return [bags if getattr(model, "linear_in_mean", False) else along for model in models]
