"""From rows of a view to what an encoder reads: normalised, standardised and, in training, changed at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import torch

from repatient.views._augmentations import (
    Augmentation,
    CountAugmentation,
    ImageAugmentation,
    VectorAugmentation,
    in_pose,
)
from repatient.views._spaces import WIDE, VectorSpace, are_counts, as_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ViewKind: TypeAlias = Literal["images", "vectors", "counts"]
# Standard deviations: far enough for heavy tails, near enough that one value cannot drive an embedding anywhere.
CLIP = 10.0
ROWS_AT_A_TIME = 1024
AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "images": ImageAugmentation,
    "vectors": VectorAugmentation,
    "counts": CountAugmentation,
}


def find_kind(rows: NDArray[np.float32], kind: str, name: str) -> ViewKind:
    """What the rows are; ``"auto"`` takes wide vectors of whole numbers from 0, some above 1, for counts."""
    if kind not in ("auto", *AUGMENTATIONS):
        msg = f"kind of {name} must be one of 'auto', 'images', 'vectors' and 'counts', found {kind!r}."
        raise ValueError(msg)
    if kind != "auto" and (rows.ndim == 4) != (kind == "images"):
        msg = f"kind of {name} is {kind!r}, which does not fit its shape {rows.shape}."
        raise ValueError(msg)
    if kind == "counts" and not are_counts(rows):
        msg = f"kind of {name} is 'counts', but its values are not whole numbers from 0, some of them above 1."
        raise ValueError(msg)
    if rows.ndim == 4:
        return "images"
    if kind == "vectors":
        return "vectors"
    return "counts" if kind == "counts" or (rows.shape[1] >= WIDE and are_counts(rows)) else "vectors"


@dataclass(frozen=True)
class Preparation:
    """How rows of a view become what its encoder reads, by the training rows.

    Parameters
    ----------
    kind
        What a row is.
    shape
        Shape of a row.
    augmentation
        How rows are changed in training.
    arrays
        Of images ``mean`` and ``scale`` of every channel (C, 1, 1); of vectors and counts those of a
        :class:`VectorSpace`.
    """

    kind: ViewKind
    shape: tuple[int, ...]
    augmentation: Augmentation
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def fit(
        cls, rows: NDArray[np.float32], kind: ViewKind, augmentation: Augmentation | None, *, random_state: int = 0
    ) -> Self:
        """Learn from the training rows."""
        chosen = AUGMENTATIONS[kind]() if augmentation is None else augmentation
        if kind != "images":
            return cls(kind, rows.shape[1:], chosen, VectorSpace.fit(rows, random_state).arrays())
        mean, scale = rows.mean(axis=(0, 2, 3), dtype=np.float64), rows.std(axis=(0, 2, 3), dtype=np.float64)
        arrays = {"mean": mean, "scale": np.where(scale > 0, scale, 1.0)}
        return cls(kind, rows.shape[1:], chosen, {k: v.astype(np.float32)[:, None, None] for k, v in arrays.items()})

    @classmethod
    def stored(
        cls, kind: ViewKind, shape: tuple[int, ...], augmentation: Augmentation, arrays: dict[str, NDArray[Any]]
    ) -> Self:
        """What was read from a file, if the arrays are those of such rows."""
        arrays = {name: array if name == "depth" else as_float32(array, name) for name, array in arrays.items()}
        wanted = (shape[0], 1, 1) if kind == "images" else shape
        fits = len(shape) == (3 if kind == "images" else 1) and arrays["mean"].shape == arrays["scale"].shape == wanted
        if not fits or not (arrays["scale"] > 0).all() or not isinstance(augmentation, AUGMENTATIONS[kind]):
            msg = f"its arrays are not those of {kind} of shape {shape}"
            raise ValueError(msg)
        if kind != "images":
            VectorSpace.from_arrays(arrays)
        return cls(kind, shape, augmentation, arrays)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what the encoder reads of a row."""
        n_components = len(self.arrays.get("components", ()))
        return (n_components,) if n_components else self.shape

    def plain(self, rows: Tensor) -> Tensor:
        """What the encoder reads of rows as they are."""
        mean, scale = self._tensor("mean", rows), self._tensor("scale", rows)
        if self.kind == "images":
            return ((rows - mean) / scale).clamp_(-CLIP, CLIP)
        logged = _logged(rows, float(self.arrays["depth"]))
        if len(self.arrays["components"]):
            coordinates = (logged - mean) @ self._tensor("components", rows).T
            return (coordinates / self._tensor("component_scale", rows)).clamp_(-CLIP, CLIP)
        return ((logged - mean) / scale).clamp_(-CLIP, CLIP)

    def draw_pose(self, n: int, generator: torch.Generator) -> Tensor | None:
        """A pose for each of n images; None for what has none."""
        return self.augmentation.draw_pose(n, generator) if isinstance(self.augmentation, ImageAugmentation) else None

    def moved(self, rows: Tensor, pose: Tensor | None) -> Tensor:
        """What the encoder reads of rows as they are, images in a pose."""
        return in_pose(self.plain(rows), pose if self.kind == "images" else None)

    def augmented(self, rows: Tensor, pose: Tensor | None, generator: torch.Generator) -> Tensor:
        """What the encoder reads of rows that are changed at random, images in a pose."""
        if isinstance(self.augmentation, CountAugmentation):
            return self.augmentation.hide(self.plain(self.augmentation(rows, generator)), generator)
        if isinstance(self.augmentation, ImageAugmentation):
            return self.augmentation.tint(self.moved(rows, pose), generator)
        return self.augmentation(self.plain(rows), generator)

    def flat(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the encoder reads, as vectors (n, values)."""
        pieces = [
            self.plain(torch.from_numpy(rows[start : start + ROWS_AT_A_TIME])).flatten(1).numpy()
            for start in range(0, len(rows), ROWS_AT_A_TIME)
        ]
        return np.concatenate(pieces)

    def _tensor(self, name: str, like: Tensor) -> Tensor:
        return torch.from_numpy(self.arrays[name]).to(like.device)


def _logged(values: Tensor, depth: float) -> Tensor:
    """Logarithms as :class:`VectorSpace` takes them: of counts, scaled to one total where there is a depth."""
    if np.isnan(depth):
        return values
    values = values.clamp(min=0.0)
    if depth > 0:
        values = values * (depth / values.sum(dim=1, keepdim=True).clamp(min=1.0))
    return torch.log1p(values)


def check_augmentation(augmentation: Any, kind: ViewKind, name: str) -> None:
    """Raise on an augmentation of another kind of rows."""
    wanted = AUGMENTATIONS[kind]
    if augmentation is not None and not isinstance(augmentation, wanted):
        msg = f"{name} must be a {wanted.__name__} for {kind}, found {augmentation!r}."
        raise TypeError(msg)
