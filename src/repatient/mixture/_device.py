"""Rows scored on a device of torch: the same as in ``_blocks``, in larger blocks that are kept rows by features."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from repatient.mixture._chunks import iter_blocks
from repatient.mixture._statistics import FLOAT32_DISTANCE, LEAST_EXPONENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from repatient.mixture._features import WrittenFeatures
    from repatient.mixture._statistics import Coefficients
    from repatient.mixture._whitening import Whitening

# Large enough to keep a device busy, small beside its memory.
FEATURE_BYTES = 256 << 20
_MIN_ROWS, _MAX_ROWS = 256, 1 << 16
# Rows summed in the dtype of the features before double precision takes over: longer sums would round by more.
_ROWS_SUMMED = 256
_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


@dataclass(frozen=True)
class DeviceScores:
    """One block: its slice, its rows (rows, d), whitened, their features (rows, p) and log joint densities (rows, K).

    The last are overwritten.
    """

    where: slice
    z: torch.Tensor
    features: torch.Tensor
    log_joint: torch.Tensor
    log_jacobian: float

    def normalise(self) -> NDArray[np.float64]:
        """Turn the log joint densities into responsibilities in place; return the log densities of the rows."""
        joint = self.log_joint
        peak = joint.amax(dim=1, keepdim=True)
        joint.sub_(peak).clamp_(min=LEAST_EXPONENT).exp_()
        total = joint.sum(dim=1, keepdim=True)
        joint.div_(total)
        densities: NDArray[np.float64] = (peak.double() + total.double().log()).squeeze(1).cpu().numpy()
        return densities + self.log_jacobian

    def labels(self) -> NDArray[np.int64]:
        """Most probable component of each row."""
        return self.log_joint.argmax(dim=1).cpu().numpy()

    def responsibilities(self) -> NDArray[Any]:
        """What ``normalise`` has left, (rows, K)."""
        return self.log_joint.cpu().numpy()

    def whitened(self) -> NDArray[Any]:
        """The rows in the whitened space, (d, rows)."""
        return self.z.T.cpu().numpy()

    def add_sums(self, sums: NDArray[np.float64]) -> None:
        """Add the sums of the features, weighted with the responsibilities that ``normalise`` has left, to (K, p)."""
        whole = len(self.features) // _ROWS_SUMMED * _ROWS_SUMMED
        groups = (part.unflatten(0, (-1, _ROWS_SUMMED)) for part in (self.log_joint[:whole], self.features[:whole]))
        joint, features = groups
        with _whole_precision():
            total = (joint.mT @ features).sum(dim=0, dtype=torch.float64)
            total += self.log_joint[whole:].T @ self.features[whole:]
        sums += total.cpu().numpy()


class _DeviceWorkspace:
    """What is needed on the device in one dtype."""

    def __init__(
        self,
        device: str,
        feature_map: WrittenFeatures,
        coefficients: Coefficients,
        whitening: Whitening,
        length: int,
        dtype: np.dtype[Any],
    ) -> None:
        self.feature_map, self.coefficients, self.whitening = feature_map, coefficients, whitening
        self.features = torch.ones((length, feature_map.n_features), dtype=_DTYPES[dtype], device=device)
        self.values = self.features.new_tensor(coefficients.values.T)
        self.rounding = self.features.new_tensor(coefficients.rounding(dtype))

    def receive(self, block: torch.Tensor) -> torch.Tensor:
        """Whiten the block into the features, and return it whitened."""
        z = self.features[: len(block), 1 : block.shape[1] + 1]
        mean, forward = block.new_tensor(self.whitening.mean), block.new_tensor(self.whitening.forward)
        centred = block - mean
        with _whole_precision():
            z[...] = centred * forward if self.whitening.diagonal else centred @ forward
        return z

    def score(self, where: slice) -> DeviceScores:
        """The block that was received."""
        features = self.features[: where.stop - where.start]
        with _whole_precision():
            self.feature_map.fill_rows(features, self.coefficients.factor)
            log_joint = (features @ self.values).sub_(self.rounding)
        z = features[:, 1 : self.feature_map.n_dims + 1]
        return DeviceScores(where, z, features, log_joint, self.whitening.log_jacobian)


def score_blocks_on(
    device: str,
    rows: Any,
    whitening: Whitening,
    feature_map: WrittenFeatures,
    coefficients: Coefficients,
    usual: np.dtype[Any],
    whitened_in: np.dtype[Any],
    *,
    near: bool,
) -> Iterator[DeviceScores]:
    """Score the rows block by block on the device, in double precision where a block needs it."""
    length = int(np.clip(FEATURE_BYTES // (feature_map.n_features * usual.itemsize), _MIN_ROWS, _MAX_ROWS))
    float64 = np.dtype(np.float64)
    spaces: dict[np.dtype[Any], _DeviceWorkspace] = {}

    def space(dtype: np.dtype[Any]) -> _DeviceWorkspace:
        if dtype not in spaces:
            spaces[dtype] = _DeviceWorkspace(device, feature_map, coefficients, whitening, length, dtype)
        return spaces[dtype]

    for where, block in iter_blocks(rows, length, whitened_in, finite=near):
        here = torch.tensor(block, device=device)
        chosen = space(usual)
        z = chosen.receive(here)
        if not near and usual != float64 and not bool(z.abs().amax() <= FLOAT32_DISTANCE):
            chosen = space(float64)
            chosen.receive(here.double())
        yield chosen.score(where)


@contextmanager
def _whole_precision() -> Iterator[None]:
    """Products in single precision as they are meant, not in TF32, which keeps 10 bits."""
    settings = torch.backends.cuda.matmul
    # The second is the name before torch 2.9; to read it fails where the first was set.
    name, whole = ("fp32_precision", "ieee") if hasattr(settings, "fp32_precision") else ("allow_tf32", False)
    before = getattr(settings, name)
    setattr(settings, name, whole)
    try:
        yield
    finally:
        setattr(settings, name, before)
