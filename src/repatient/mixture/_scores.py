"""What a block of rows is scored in, and what its scores are read from, however they are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._chunks import sum_of_squares
from repatient.mixture._statistics import FLOAT32_DISTANCE, LEAST_EXPONENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._whitening import Whitening


@dataclass(frozen=True)
class Scores(ABC):
    """One block: its slice, its rows (d, rows), whitened, and its log joint densities (K, rows), to be overwritten."""

    where: slice
    z: NDArray[Any]
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

    def whitened(self) -> NDArray[Any]:
        """The rows in the whitened space, (d, rows)."""
        return self.z

    @abstractmethod
    def add_sums(self, sums: NDArray[np.float64]) -> None:
        """Add the sums of the features, weighted with the responsibilities that ``normalise`` has left, to (K, p)."""


class Workspace(ABC):
    """What scores blocks in one dtype, in buffers that are used again for each of them."""

    @abstractmethod
    def whitened(self, n_rows: int) -> NDArray[Any]:
        """Where so many rows lie, whitened, (d, rows)."""

    @abstractmethod
    def score(self, where: slice, log_jacobian: float) -> Scores:
        """The block that was received."""

    def receive(self, block: NDArray[Any], whitening: Whitening) -> None:
        """Whiten the block into its place."""
        z = self.whitened(len(block))
        with np.errstate(over="ignore", invalid="ignore"):
            if block.dtype == z.dtype:
                whitening.columns(block, out=z)
            else:
                z[...] = whitening.columns(block)

    def is_near(self, n_rows: int) -> bool:
        """Whether all rows received are near enough to the centre for float32."""
        z = self.whitened(n_rows)
        with np.errstate(over="ignore", invalid="ignore"):
            # The cheap sum bounds every term; only blocks that exceed it are looked at closely.
            return bool(sum_of_squares(z) <= FLOAT32_DISTANCE**2 or np.abs(z).max() <= FLOAT32_DISTANCE)
