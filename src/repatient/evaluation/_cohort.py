"""The patients of an evaluation, as arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags


@dataclass(frozen=True)
class Cohort:
    """Labelled patients of one cohort, or of a target cohort and an external one.

    Parameters
    ----------
    X
        Cells by features, shape (n, d).
    codes
        Patient of each cell, (n,); -1 for cells of none.
    y
        Class of each patient, from 0, (patients,).
    donors
        Donor of each patient, from 0 without gaps, (patients,).
    classes
        Names of the classes.
    is_external
        Which patients are of the external cohort, (patients,).
    """

    X: NDArray[np.floating]
    codes: NDArray[np.int64]
    y: NDArray[np.int64]
    donors: NDArray[np.int64]
    classes: tuple[str, ...]
    is_external: NDArray[np.bool_]

    @cached_property
    def bags(self) -> Bags:
        """A bag a patient, over ``X``."""
        from repatient.mil import Bags

        return Bags.from_codes(self.X, self.codes, len(self.y))

    @property
    def target(self) -> NDArray[np.int64]:
        """Patients of the target cohort."""
        return np.flatnonzero(~self.is_external)

    def fingerprint(self) -> str:
        """Digest of all that the cohort holds."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for array in (self.X, self.codes, self.y, self.donors, self.is_external):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]
