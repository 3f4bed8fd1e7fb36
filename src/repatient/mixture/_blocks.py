"""Rows scored under all components, block by block: where nearly all of the time of a fit goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._chunks import ROWS_SUMMED, block_length, compute_dtype, iter_blocks, sum_of_squares
from repatient.mixture._statistics import FLOAT32_DISTANCE, LEAST_EXPONENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from repatient.mixture._device import DeviceScores
    from repatient.mixture._features import FeatureMap
    from repatient.mixture._statistics import Coefficients
    from repatient.mixture._whitening import Whitening

# Whitening in float32 rounds more than the features do: it needs terms that are this much smaller.
_WHITENING_MARGIN = 10.0


@dataclass(frozen=True)
class Scores:
    """One block: its slice, its features (p, rows) and its log joint densities (K, rows), both to be overwritten."""

    where: slice
    features: NDArray[Any]
    log_joint: NDArray[Any]
    log_jacobian: float

    def normalise(self) -> NDArray[np.float64]:
        """Turn the log joint densities into responsibilities in place; return the log densities of the rows."""
        joint = self.log_joint
        peak = joint.max(axis=0)
        joint -= peak
        np.maximum(joint, LEAST_EXPONENT, out=joint)
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        joint /= total
        return peak.astype(np.float64) + np.log(total, dtype=np.float64) + self.log_jacobian

    def labels(self) -> NDArray[np.intp]:
        """Most probable component of each row."""
        return self.log_joint.argmax(axis=0)

    def responsibilities(self) -> NDArray[Any]:
        """What ``normalise`` has left, (rows, K)."""
        return self.log_joint.T

    def whitened(self, n_dims: int) -> NDArray[Any]:
        """The rows in the whitened space, (d, rows)."""
        return self.features[1 : n_dims + 1]

    def add_sums(self, sums: NDArray[np.float64]) -> None:
        """Add the sums of the features, weighted with the responsibilities that ``normalise`` has left, to (K, p)."""
        whole = self.features.shape[1] // ROWS_SUMMED * ROWS_SUMMED
        joint, features = (
            part[:, :whole].reshape(len(part), -1, ROWS_SUMMED).swapaxes(0, 1)
            for part in (self.log_joint, self.features)
        )
        by_feature = sums.T
        by_feature += (features @ joint.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
        if whole < self.features.shape[1]:
            by_feature += self.features[:, whole:] @ self.log_joint[:, whole:].T


@dataclass(frozen=True)
class _Workspace:
    """Coefficients of one dtype, and the buffers that are used again for each block."""

    values: NDArray[Any]
    rounding: NDArray[Any]
    features: NDArray[Any]
    log_joint: NDArray[Any]

    @classmethod
    def of(cls, feature_map: FeatureMap, coefficients: Coefficients, length: int, dtype: np.dtype[Any]) -> _Workspace:
        """Buffers for blocks of at most ``length`` rows."""
        values, rounding = coefficients.values.astype(dtype), coefficients.rounding(dtype).astype(dtype)[:, None]
        log_joint = np.empty((len(values), length), dtype)
        return cls(values, rounding, feature_map.buffer(length, dtype), log_joint)

    def receive(self, block: NDArray[Any], whitening: Whitening) -> None:
        """Whiten the block into the features."""
        z = self._whitened(block)
        with np.errstate(over="ignore", invalid="ignore"):
            if block.dtype == z.dtype:
                whitening.columns(block, out=z)
            else:
                z[...] = whitening.columns(block)

    def is_near(self, block: NDArray[Any]) -> bool:
        """Whether all rows of the block received are near enough to the centre for float32."""
        z = self._whitened(block)
        with np.errstate(over="ignore", invalid="ignore"):
            # The cheap sum bounds every term; only blocks that exceed it are looked at closely.
            return bool(sum_of_squares(z) <= FLOAT32_DISTANCE**2 or np.abs(z).max() <= FLOAT32_DISTANCE)

    def _whitened(self, block: NDArray[Any]) -> NDArray[Any]:
        """Where the block lies, whitened, among the features."""
        return self.features[1 : block.shape[1] + 1, : len(block)]


def score_blocks(
    rows: Any,
    whitening: Whitening,
    feature_map: FeatureMap,
    coefficients: Coefficients,
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
    if device is None:
        return _score_blocks(rows, whitening, feature_map, coefficients, usual, whitened_in, near=near)
    from repatient.mixture._device import score_blocks_on

    return score_blocks_on(device, rows, whitening, feature_map, coefficients, usual, whitened_in, near=near)


def precisions(
    rows: Any, whitening: Whitening, coefficients: Coefficients, *, double: bool
) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """What the products are usually computed in, and what rows are whitened in."""
    float64 = np.dtype(np.float64)
    usual = compute_dtype(rows) if coefficients.suits_float32() and not double else float64
    direct = whitening.suits_float32 and coefficients.suits_float32(_WHITENING_MARGIN)
    return usual, usual if direct and np.can_cast(rows.dtype, usual) else float64


def _score_blocks(
    rows: Any,
    whitening: Whitening,
    feature_map: FeatureMap,
    coefficients: Coefficients,
    usual: np.dtype[Any],
    whitened_in: np.dtype[Any],
    *,
    near: bool,
) -> Iterator[Scores]:
    log_jacobian, float64 = whitening.log_jacobian, np.dtype(np.float64)
    length = block_length(feature_map.n_features, usual.itemsize)
    spaces = {usual: _Workspace.of(feature_map, coefficients, length, usual)}
    for where, block in iter_blocks(rows, length, whitened_in, finite=near):
        space = spaces[usual]
        space.receive(block, whitening)
        if not near and usual != float64 and not space.is_near(block):
            if float64 not in spaces:
                spaces[float64] = _Workspace.of(feature_map, coefficients, length, float64)
            space = spaces[float64]
            space.receive(block.astype(np.float64), whitening)
        features, log_joint = space.features[:, : len(block)], space.log_joint[:, : len(block)]
        feature_map.fill(features, coefficients.factor)
        np.subtract(_product(space.values, features), space.rounding, out=log_joint)
        yield Scores(where, features, log_joint, log_jacobian)


def _product(few: NDArray[Any], many: NDArray[Any]) -> NDArray[Any]:
    """``few @ many`` for few rows: up to 1.6 times as fast where OpenBLAS need not transpose the large right factor."""
    return few @ many if many.strides[1] == many.itemsize else (many.T @ few.T).T
