"""Checks of what translators are given: views, pairs and links as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

IMAGE_STRIDE = 4
FEWEST_ROWS = 2

_MOST_CHANNELS = 4
# Squares of greater values, summed over rows, are beyond single precision.
_GREATEST = 1e15


def read_view(values: ArrayLike, name: str, *, fitting: bool) -> NDArray[np.float32]:
    """Rows of a view as finite float32, vectors (n, d) or images (n, C, H, W); not constant where it is fitted on."""
    view = np.asarray(values)
    if view.dtype.kind not in "fiub":
        msg = f"`{name}` is of type {view.dtype}; a view holds real numbers."
        raise TypeError(msg)
    _check_shape(view, name)
    fewest = FEWEST_ROWS if fitting else 1
    if len(view) < fewest:
        msg = f"`{name}` has {len(view)} rows; {fewest} or more are needed."
        raise ValueError(msg)
    _check_values(view, name)
    view = view.astype(np.float32)
    if fitting and (view == view[:1]).all():
        msg = f"`{name}` is constant: all of its {len(view)} rows are equal, and nothing can be learnt from it."
        raise ValueError(msg)
    return view


def read_like(values: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Rows of a view, of the shape that was fitted on."""
    view = read_view(values, name, fitting=False)
    if view.shape[1:] != shape:
        msg = f"`{name}` has rows of shape {view.shape[1:]}; the translator was fitted on rows of shape {shape}."
        raise ValueError(msg)
    return view


def check_together(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Accept two views between which there can be a map."""
    if source.ndim != target.ndim:
        msg = (
            f"The source has rows of shape {source.shape[1:]} and the target of shape {target.shape[1:]}: vectors are "
            "translated into vectors and images into images."
        )
        raise ValueError(msg)
    if source.ndim == 4 and source.shape[2:] != target.shape[2:]:
        msg = (
            f"The images of the source are {source.shape[2]} × {source.shape[3]}, those of the target "
            f"{target.shape[2]} × {target.shape[3]} pixels; resize one of the two."
        )
        raise ValueError(msg)
    if source.shape == target.shape and np.array_equal(source, target):
        msg = "`source` and `target` hold the same values; there is nothing to translate."
        raise ValueError(msg)


def read_pairs(pairs: ArrayLike | None, n_source: int, n_target: int) -> NDArray[np.int64]:
    """Table (n_pairs, 2) of a row of the source and its row of the target; empty for none."""
    if pairs is None:
        return np.empty((0, 2), dtype=np.int64)
    return _index_table(pairs, "pairs", "row", n_source, n_target)


def read_links(links: ArrayLike | None, source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.int64]:
    """Table (n_links, 2) of a column of the source and one of the target that rise together; empty for none."""
    if links is None:
        return np.empty((0, 2), dtype=np.int64)
    if source.ndim == 4:
        msg = "`links` join features of vectors; images have none. Give `pairs` instead."
        raise ValueError(msg)
    return _index_table(links, "links", "column", source.shape[1], target.shape[1])


def _check_shape(view: NDArray[Any], name: str) -> None:
    if view.ndim not in (2, 4) or 0 in view.shape[1:]:
        msg = (
            f"`{name}` has shape {view.shape}; vectors (n, features) or images (n, channels, height, width) are needed."
        )
        raise ValueError(msg)
    if view.ndim == 2:
        return
    _, channels, height, width = view.shape
    if width <= _MOST_CHANNELS < min(channels, height):
        msg = (
            f"`{name}` has shape {view.shape}, which looks like channels last; images are (n, channels, height, width): "
            "`np.moveaxis(images, -1, 1)`."
        )
        raise ValueError(msg)
    if height % IMAGE_STRIDE or width % IMAGE_STRIDE:
        msg = (
            f"`{name}` has images of {height} × {width} pixels; both sides must be divisible by {IMAGE_STRIDE}, the "
            "stride of the networks. Pad or crop them."
        )
        raise ValueError(msg)


def _check_values(view: NDArray[Any], name: str) -> None:
    flat = view.reshape(len(view), -1)
    furthest = np.maximum(flat.max(axis=1), -flat.min(axis=1).astype(np.float64))
    finite, near = np.isfinite(furthest), furthest <= _GREATEST
    if not finite.all():
        msg = (
            f"`{name}` has NaN or infinity in {int((~finite).sum())} of {len(view)} rows; fill or leave out those rows."
        )
        raise ValueError(msg)
    if not near.all():
        msg = (
            f"`{name}` has values beyond ±{_GREATEST:g} in {int((~near).sum())} of {len(view)} rows, the greatest "
            f"{furthest.max():g}: single precision cannot hold their variance. Rescale the view."
        )
        raise ValueError(msg)


def _index_table(table: ArrayLike, name: str, what: str, n_source: int, n_target: int) -> NDArray[np.int64]:
    values = np.asarray(table)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        msg = (
            f"`{name}` is an integer table (n, 2), a {what} of the source and a {what} of the target in each row; "
            f"found {values.dtype} of shape {values.shape}."
        )
        raise ValueError(msg)
    wrong = (values < 0).any(axis=1) | (values[:, 0] >= n_source) | (values[:, 1] >= n_target)
    if wrong.any():
        msg = (
            f"`{name}` has {int(wrong.sum())} entries outside the {n_source} {what}s of the source and the {n_target} "
            f"of the target, the first {values[wrong][0].tolist()}."
        )
        raise ValueError(msg)
    if len(np.unique(values, axis=0)) < len(values):
        msg = f"`{name}` holds the same entry more than once."
        raise ValueError(msg)
    return values.astype(np.int64)
