"""Rows scored under all components, block by block: where nearly all of the time of a fit goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from repatient.mixture._chunks import ROWS_SUMMED, block_length, compute_dtype, iter_blocks
from repatient.mixture._factors import Factors, FactorWorkspace
from repatient.mixture._scores import Scores, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from repatient.mixture._device import DeviceScores
    from repatient.mixture._features import FeatureMap, WrittenFeatures
    from repatient.mixture._statistics import Coefficients
    from repatient.mixture._whitening import Whitening

# Whitening in float32 rounds more than the features do: it needs terms that are this much smaller; less so where every
# feature is scaled by itself, which rounds twice.
_WHITENING_MARGIN, _SCALING_MARGIN = 10.0, 3.0


@dataclass(frozen=True)
class _FeatureScores(Scores):
    """Scores with the features (p, rows) of the block, which may be overwritten, too."""

    features: NDArray[Any]

    def add_sums(self, sums: NDArray[np.float64]) -> None:
        """Sums of the features as products with the responsibilities, over so many rows at a time."""
        whole = self.features.shape[1] // ROWS_SUMMED * ROWS_SUMMED
        joint, features = (
            part[:, :whole].reshape(len(part), -1, ROWS_SUMMED).swapaxes(0, 1)
            for part in (self.log_joint, self.features)
        )
        by_feature = sums.T
        by_feature += (features @ joint.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
        if whole < self.features.shape[1]:
            by_feature += self.features[:, whole:] @ self.log_joint[:, whole:].T


class _FeatureWorkspace(Workspace):
    """Coefficients of one dtype, and features and scores of a block of at most ``length`` rows."""

    def __init__(
        self, feature_map: WrittenFeatures, coefficients: Coefficients, length: int, dtype: np.dtype[Any]
    ) -> None:
        self.feature_map, self.factor = feature_map, coefficients.factor
        self.values = coefficients.values.astype(dtype)
        self.rounding = coefficients.rounding(dtype).astype(dtype)[:, None]
        self.features = feature_map.buffer(length, dtype)
        self.log_joint = np.empty((len(self.values), length), dtype)

    def whitened(self, n_rows: int) -> NDArray[Any]:
        """Among the features."""
        return self.features[1 : self.feature_map.n_dims + 1, :n_rows]

    def score(self, where: slice, log_jacobian: float) -> Scores:
        """One product of the coefficients and the features."""
        n_rows = where.stop - where.start
        features, log_joint = self.features[:, :n_rows], self.log_joint[:, :n_rows]
        self.feature_map.fill(features, self.factor)
        np.subtract(_product(self.values, features), self.rounding, out=log_joint)
        return _FeatureScores(where, self.whitened(n_rows), log_joint, log_jacobian, features)


def score_blocks(
    rows: Any,
    whitening: Whitening,
    feature_map: FeatureMap,
    coefficients: Coefficients | Factors,
    *,
    double: bool = False,
    device: str | None = None,
    near: bool = False,
) -> Iterator[Scores | DeviceScores]:
    """Score the rows block by block, in double precision if wanted or needed; buffers are used again for each block.

    ``device`` is the name of a device of torch; None computes with numpy. Rows that are known to be finite and ``near``
    enough to the centre for single precision are not looked at again.
    """
    usual, whitened_in = precisions(rows, whitening, coefficients, double=double)
    if isinstance(coefficients, Factors):
        length = block_length(feature_map.n_dims, usual.itemsize)
        return _score_blocks(
            rows, whitening, partial(FactorWorkspace, coefficients, length), length, usual, whitened_in, near=near
        )
    feature_map = cast("WrittenFeatures", feature_map)
    if device is None:
        length = block_length(feature_map.n_features, usual.itemsize)
        workspace = partial(_FeatureWorkspace, feature_map, coefficients, length)
        return _score_blocks(rows, whitening, workspace, length, usual, whitened_in, near=near)
    from repatient.mixture._device import score_blocks_on

    return score_blocks_on(device, rows, whitening, feature_map, coefficients, usual, whitened_in, near=near)


def precisions(
    rows: Any, whitening: Whitening, coefficients: Coefficients | Factors, *, double: bool
) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """What the products are usually computed in, and what rows are whitened in."""
    float64 = np.dtype(np.float64)
    usual = compute_dtype(rows) if coefficients.suits_float32() and not double else float64
    margin = _SCALING_MARGIN if whitening.diagonal else _WHITENING_MARGIN
    direct = whitening.suits_float32 and coefficients.suits_float32(margin)
    return usual, usual if direct and np.can_cast(rows.dtype, usual) else float64


def _score_blocks(
    rows: Any,
    whitening: Whitening,
    workspace: Callable[[np.dtype[Any]], Workspace],
    length: int,
    usual: np.dtype[Any],
    whitened_in: np.dtype[Any],
    *,
    near: bool,
) -> Iterator[Scores]:
    log_jacobian, float64 = whitening.log_jacobian, np.dtype(np.float64)
    spaces = {usual: workspace(usual)}
    for where, block in iter_blocks(rows, length, whitened_in, finite=near):
        space = spaces[usual]
        space.receive(block, whitening)
        if not near and usual != float64 and not space.is_near(len(block)):
            if float64 not in spaces:
                spaces[float64] = workspace(float64)
            space = spaces[float64]
            space.receive(block.astype(np.float64), whitening)
        yield space.score(where, log_jacobian)


def _product(few: NDArray[Any], many: NDArray[Any]) -> NDArray[Any]:
    """``few @ many`` for few rows: up to 1.6 times as fast where OpenBLAS need not transpose the large right factor."""
    return few @ many if many.strides[1] == many.itemsize else (many.T @ few.T).T
