"""What partners say beside an embedding: how they are read, and put into one unit with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repatient._checks import check_integer, check_option
from repatient.views._arrays import read_view
from repatient.views._preparation import AUGMENTATIONS, CLIP, Preparation
from repatient.views._torch import single_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Beside:
    """Partners as features that have mean 0 and variance 1 over the training rows.

    Parameters
    ----------
    preparation
        How partners are read: images pixel by pixel, wide vectors through their principal components.
    mean, scale
        Of what is read, (f,).
    """

    preparation: Preparation
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, preparation: Preparation, partners: NDArray[np.float32]) -> Self:
        """Learn the unit from partners of the training rows."""
        with single_thread():
            read = preparation.flat(partners).astype(np.float64)
        scale = read.std(axis=0)
        return cls(preparation, read.mean(axis=0), np.where(scale > 0, scale, 1.0))

    @classmethod
    def stored(cls, entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """What :meth:`description` and :meth:`arrays` gave, if the parts fit."""
        kind = entry["kind"]
        check_option(kind, "kind", AUGMENTATIONS)
        shape = tuple(check_integer(size, "shape", minimum=1) for size in entry["shape"])
        others = {name: array for name, array in arrays.items() if not name.startswith("unit_")}
        preparation = Preparation.stored(kind, shape, AUGMENTATIONS[kind](), others)
        mean, scale = arrays["unit_mean"], arrays["unit_scale"]
        width = (int(np.prod(preparation.input_shape)),)
        if not mean.shape == scale.shape == width or not (scale > 0).all():
            msg = "its partners have no mean and no scale above 0 for each value"
            raise ValueError(msg)
        return cls(preparation, mean, scale)

    def description(self) -> dict[str, Any]:
        """What a file says of partners."""
        return {"kind": self.preparation.kind, "shape": list(self.preparation.shape)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a file holds of them."""
        return {**self.preparation.arrays, "unit_mean": self.mean, "unit_scale": self.scale}

    def features(self, partner: ArrayLike, n_rows: int) -> NDArray[np.float32]:
        """Partners of so many rows as features (n, f)."""
        partners = np.ascontiguousarray(read_view(partner, "partner", fitting=False))
        shape = self.preparation.shape
        if partners.shape != (n_rows, *shape):
            msg = f"`partner` has shape {partners.shape}; {n_rows} rows of shape {shape} belong to `X`."
            raise ValueError(msg)
        with single_thread():
            read = (self.preparation.flat(partners) - self.mean) / self.scale
        return np.clip(read, -CLIP, CLIP).astype(np.float32)
