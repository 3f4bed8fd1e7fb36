"""Between the units of a view and those in which networks compute."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.decomposition import PCA

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDE = 200

_N_COMPONENTS = 50
_MOST_ROWS_FOR_COMPONENTS = 20_000
_FURTHEST = 10.0


def are_counts(view: NDArray[np.float32]) -> bool:
    """Whether a view holds counts: whole numbers from 0 on, some of them above 1."""
    return bool(view.min() >= 0 and view.max() > 1 and (view == np.rint(view)).all())


@dataclass(frozen=True)
class VectorSpace:
    """Logarithms of counts, standardised features and principal components of vectors, by the training rows.

    Parameters
    ----------
    depth
        Total that counts of a row are scaled to: the median of the training rows; 0 where they stay as they are, since
        the total of a panel of few features is itself a signal; NaN for values that are no counts.
    mean, scale
        Of each feature, (d,), after the logarithm.
    components, component_scale
        Principal axes (k, d) and standard deviations (k,) along them; none (0, d) for narrow views.
    """

    depth: float
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    components: NDArray[np.float32]
    component_scale: NDArray[np.float32]

    @classmethod
    def fit(cls, view: NDArray[np.float32], random_state: int) -> Self:
        """Learn from the training rows (n, d)."""
        depth = np.nan
        if are_counts(view):
            depth = float(np.median(view.sum(axis=1))) if view.shape[1] >= WIDE else 0.0
        logged = _logged(view, depth)
        mean, scale = logged.mean(axis=0), logged.std(axis=0)
        scale[scale == 0] = 1.0
        axes, along = np.empty((0, view.shape[1]), dtype=np.float32), np.empty(0, dtype=np.float32)
        if view.shape[1] >= WIDE:
            rows = np.random.default_rng(random_state).permutation(len(view))[:_MOST_ROWS_FOR_COMPONENTS]
            most = min(_N_COMPONENTS, len(rows) - 1)
            pca = PCA(most, svd_solver="randomized", random_state=random_state).fit(logged[np.sort(rows)])
            axes, along = pca.components_.astype(np.float32), np.sqrt(pca.explained_variance_).astype(np.float32)
            along = np.maximum(along, 1e-6)
        return cls(depth, mean.astype(np.float32), scale.astype(np.float32), axes, along)

    def logged(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithms where there were counts, values where there were not."""
        return _logged(view, self.depth)

    def features(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardised features (n, d), in which a target is predicted and compared."""
        features = np.clip((self.logged(view) - self.mean) / self.scale, -_FURTHEST, _FURTHEST)
        return np.asarray(features, dtype=np.float32)

    def coordinates(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where neighbours are looked for: principal components of wide views, standardised features of narrow ones."""
        if not len(self.components):
            return self.features(view)
        return np.asarray((self.logged(view) - self.mean) @ self.components.T, dtype=np.float32)

    def inputs(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a network reads: standardised features, or components half-way to unit variance.

        Of equal variance, small components would be noise that few pairs cannot tell from signal.
        """
        coordinates = self.coordinates(view)
        if len(self.components):
            unit = np.sqrt(self.component_scale * self.component_scale[0])
            coordinates = np.clip(coordinates / unit, -_FURTHEST, _FURTHEST)
        return coordinates

    def restore(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardised features in the units of the view; counts of wide views at the median depth."""
        logged = features * self.scale + self.mean
        return logged if np.isnan(self.depth) else np.expm1(np.maximum(logged, 0.0))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether rows of this shape are of the space."""
        return self.mean.shape == shape

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is to be saved."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Inverse of :meth:`arrays`, of arrays that fit together."""
        others = {name: as_float32(array, name) for name, array in arrays.items() if name != "depth"}
        space = cls(depth=float(arrays["depth"]), **others)
        (n_axes, n_features), depth = space.components.shape, space.depth
        if not space.mean.shape == space.scale.shape == (n_features,) or space.component_scale.shape != (n_axes,):
            msg = "the shapes of its means, scales and principal axes do not fit together"
            raise ValueError(msg)
        if not (
            (space.scale > 0).all() and (space.component_scale > 0).all() and (np.isnan(depth) or 0 <= depth < np.inf)
        ):
            msg = "a scale of its features is not above 0, or their depth no finite number of 0 or more"
            raise ValueError(msg)
        return space


@dataclass(frozen=True)
class ImageSpace:
    """Intensities of each channel between -1 and 1, by the least and the greatest of the training images, (C, 1, 1)."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def fit(cls, view: NDArray[np.float32]) -> Self:
        """Learn from the training images (n, C, H, W)."""
        low, high = view.min(axis=(0, 2, 3)), view.max(axis=(0, 2, 3))
        high = np.where(high > low, high, low + 1)
        return cls(low[:, None, None], high[:, None, None].astype(np.float32))

    def features(self, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images between -1 and 1; what is darker or lighter than any training image is cut."""
        return np.clip((view - self.low) / (self.high - self.low) * 2 - 1, -1, 1)

    inputs = features

    def restore(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images in the units of the view."""
        return (features + 1) / 2 * (self.high - self.low) + self.low

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether rows of this shape are of the space."""
        return self.low.shape[:1] == shape[:1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is to be saved."""
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Inverse of :meth:`arrays`, of arrays that fit together."""
        space = cls(**{name: as_float32(array, name) for name, array in arrays.items()})
        if space.low.shape != space.high.shape or space.low.shape[1:] != (1, 1) or not (space.high > space.low).all():
            msg = "it has no range of intensities for each channel"
            raise ValueError(msg)
        return space


def as_float32(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Numbers that were read, of the type that networks work with."""
    if array.dtype.kind not in "iuf":
        msg = f"{name!r} holds {array.dtype}, no numbers"
        raise ValueError(msg)
    return array.astype(np.float32, copy=False)


Space = VectorSpace | ImageSpace


def fit_space(view: NDArray[np.float32], random_state: int) -> Space:
    """Space of vectors or of images."""
    return VectorSpace.fit(view, random_state) if view.ndim == 2 else ImageSpace.fit(view)


def _logged(view: NDArray[np.float32], depth: float) -> NDArray[np.float32]:
    if np.isnan(depth):
        return view
    view = np.maximum(view, 0)
    if depth > 0:
        view = view * (depth / np.maximum(view.sum(axis=1, keepdims=True), 1.0)).astype(np.float32)
    return np.log1p(view)
