"""The labelled cells of a cohort, and the statistics of them that a recipes file carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._store._embedding import read_embedding
from repatient._store._outcomes import read_classed_patients
from repatient._store._patients import Patients, read_patients
from repatient.recipe import is_covariance
from repatient.sampling import (
    Moments,
    Spread,
    can_hold_out,
    class_moments,
    donor_spread,
    held_out_log_density,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_BLOCK_ROWS = 1 << 16
_MOST_CELLS = 50_000


@dataclass(frozen=True)
class LabelledCells:
    """Cells with their classes and patients.

    Parameters
    ----------
    embedding
        Coordinates of all cells (n_obs, d), possibly not in memory.
    classes
        Names of the classes.
    labels
        Class of each cell as a position in ``classes``, -1 for cells outside the mask or without one, (n_obs,).
    patients
        Patient of each cell, -1 outside the mask, (n_obs,).
    donors
        Donor of each cell, likewise, who may be several patients.
    """

    embedding: Any
    classes: list[str]
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]
    donors: NDArray[np.int64]

    def moments(self, names: Sequence[str]) -> Moments:
        """Mean and covariance of some of the classes."""
        return class_moments(self.embedding, self._positions(names), self.patients, names)

    def spread(self, names: Sequence[str]) -> Spread:
        """Mean and covariance of the donors' mean cells in some of the classes."""
        return donor_spread(self.embedding, self._positions(names), self.donors, names)

    def sample(self, name: str, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw cells of a class, at most ``most``, as evenly from its patients as their sizes allow."""
        return draw_evenly(np.where(self._positions([name]) == 0, self.patients, -1), most, rng)

    def rows(self, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Coordinates of some cells, (len(which), d)."""
        return read_rows(self.embedding, which)

    def _positions(self, names: Sequence[str]) -> NDArray[np.int64]:
        position = np.array([names.index(name) if name in names else -1 for name in self.classes] + [-1])
        return position[self.labels]


def read_cohort(
    data: AnnData | MuData,
    use_rep: str,
    patient_key: str,
    label_key: str,
    donor_key: str | None,
    mask: NDArray[np.bool_] | None,
    *,
    missing_values: Sequence[Any] | None = (),
) -> LabelledCells:
    """Read the cells of the labelled patients in ``mask``."""
    patients = read_patients(data, patient_key, label_key, donor_key, mask, missing_values=missing_values)
    return _cells_of(data, use_rep, patient_key, patients)


def read_recorded_cohort(
    data: AnnData | MuData, use_rep: str, params: Mapping[str, Any], mask: NDArray[np.bool_] | None
) -> LabelledCells:
    """The same of a result with these parameters; patients that have values are of one class."""
    return _cells_of(data, use_rep, params["patient_key"], read_classed_patients(data, params, mask))


def _cells_of(data: AnnData | MuData, use_rep: str, patient_key: str, patients: Patients) -> LabelledCells:
    embedding, _ = read_embedding(data, use_rep, patient_key=patient_key, lazy=True)
    codes = np.array([patients.classes.index(label) if label is not None else -1 for label in patients.labels] + [-1])
    donors = np.append(np.unique(patients.donors.astype(str), return_inverse=True)[1], -1)
    return LabelledCells(embedding, patients.classes, codes[patients.codes], patients.codes, donors[patients.codes])


def embedding_of_mixture(entry: dict[str, Any]) -> str:
    """Name of the embedding in which cells were assigned to a stored mixture: the aligned one where there is one."""
    return str(entry.get("reference", {}).get("use_rep", entry["params"]["use_rep"]))


def has_embedding(data: AnnData | MuData, use_rep: str) -> bool:
    """Whether the embedding that cells were assigned in is still there."""
    try:
        read_embedding(data, use_rep, lazy=True)
    except KeyError:
        return False
    return True


def density_quantiles(embedding: Any, patients: NDArray[np.int64], mixture: Any) -> dict[str, NDArray[np.float64]]:
    """Quantiles of the log-density of the patients' cells, over at most 50,000 of them."""
    rows = draw_evenly(patients, _MOST_CELLS, np.random.default_rng(0))
    log_density = mixture.score_samples(read_rows(embedding, rows))
    return {"probability": np.array(QUANTILES), "value": np.quantile(log_density, QUANTILES)}


def held_out_quantiles(
    embedding: Any, patients: NDArray[np.int64], mixture: Any, random_state: int = 0
) -> dict[str, NDArray[np.float64]] | None:
    """Quantiles of the log-density of cells whose patient the mixture does not know, over at most 50,000 cells.

    None where there is but one patient, or too few cells to fit the mixture without some of the patients.
    """
    rows = draw_evenly(patients, _MOST_CELLS, np.random.default_rng(random_state))
    if not can_hold_out(patients[rows], len(mixture.weights_), random_state=random_state):
        return None
    log_density = held_out_log_density(mixture, read_rows(embedding, rows), patients[rows], random_state=random_state)
    return {"probability": np.array(QUANTILES), "value": np.quantile(log_density, QUANTILES)}


def draw_evenly(patients: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw at most ``most`` cells of the patients of code 0 or more: all of small ones, equally many of large ones."""
    cells = rng.permutation(np.flatnonzero(patients >= 0))
    if len(cells) <= most:
        return np.sort(cells)
    order = np.argsort(patients[cells], kind="stable")
    sizes = np.bincount(patients[cells])
    rank = np.empty(len(cells), dtype=np.int64)
    rank[order] = np.arange(len(cells)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(cells[np.argsort(rank, kind="stable")[:most]])


def read_rows(embedding: Any, which: NDArray[np.int64]) -> NDArray[np.float64]:
    """Some rows, in increasing order, of an embedding that need not be in memory."""
    if isinstance(embedding, np.ndarray):
        return embedding[which].astype(np.float64)
    pieces = []
    for start in range(0, embedding.shape[0], _BLOCK_ROWS):
        inside = which[(which >= start) & (which < start + _BLOCK_ROWS)]
        if len(inside):
            pieces.append(np.asarray(embedding[start : start + _BLOCK_ROWS], dtype=np.float64)[inside - start])
    return np.concatenate(pieces)


def moments_entry(moments: Moments) -> dict[str, Any]:
    """Moments as a recipes file holds them."""
    return {
        "classes": np.array(moments.classes, dtype=object),
        "means": moments.means,
        "covariances": moments.covariances,
        "n_cells": moments.n_cells,
    }


def read_moments(entry: dict[str, Any]) -> Moments:
    """Rebuild the moments of a recipes file; refuse those whose shapes do not fit."""
    classes = tuple(str(name) for name in entry["classes"])
    means = np.asarray(entry["means"], dtype=np.float64)
    covariances = np.asarray(entry["covariances"], dtype=np.float64)
    n_cells = np.asarray(entry["n_cells"])
    fitting = means.ndim == 2 and 0 < len(means) == len(set(classes)) == len(classes) and n_cells.shape == (len(means),)
    if not fitting or covariances.shape != (*means.shape, means.shape[1]):
        msg = (
            f"The moments of {len(classes)} classes have means of shape {means.shape} and covariances of shape "
            f"{covariances.shape}; (classes, d) and (classes, d, d) are needed."
        )
        raise ValueError(msg)
    if not (np.isfinite(means).all() and is_covariance(covariances)):
        msg = "The moments of the classes have NaN, infinity, or a covariance with a direction of negative variance."
        raise ValueError(msg)
    if n_cells.dtype.kind not in "iu" or (n_cells < 1).any():
        msg = f"The moments of the classes are of {n_cells.tolist()} cells; whole numbers of 1 or more are needed."
        raise ValueError(msg)
    return Moments(classes, means, covariances, n_cells)


def spread_entry(spread: Spread) -> dict[str, Any]:
    """Spread of the donors as a recipes file holds it, beside the moments of the same classes."""
    return {"means": spread.means, "covariances": spread.covariances, "n_donors": spread.n_donors}


def read_spread(entry: dict[str, Any], moments: Moments) -> Spread | None:
    """Rebuild the spread of a recipes file that holds one; refuse one that does not fit the moments."""
    if "spread" not in entry:
        return None
    means, covariances = (np.asarray(entry["spread"][name], dtype=np.float64) for name in ("means", "covariances"))
    n_donors = np.asarray(entry["spread"]["n_donors"])
    fitting = means.shape == moments.means.shape and covariances.shape == moments.covariances.shape
    if not fitting or n_donors.shape != (len(means),) or n_donors.dtype.kind not in "iu" or (n_donors < 1).any():
        msg = (
            f"The spread of the donors has means of shape {means.shape}, covariances of shape {covariances.shape} and "
            f"{n_donors.tolist()} donors; it does not fit the moments of {len(moments.classes)} classes."
        )
        raise ValueError(msg)
    if not (np.isfinite(means).all() and is_covariance(covariances)):
        msg = "The spread of the donors has NaN, infinity, or a covariance with a direction of negative variance."
        raise ValueError(msg)
    return Spread(moments.classes, means, covariances, n_donors)
