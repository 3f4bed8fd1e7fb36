"""The cells that generated patients are mixed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_name, listed

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@dataclass(frozen=True)
class Pool:
    """Cells that may be drawn.

    Parameters
    ----------
    components
        Component of each cell, -1 for cells that may not be drawn, (n_obs,).
    labels
        Class of each cell's patient, -1 for the same cells, (n_obs,).
    donors
        Donor of each cell, -1 for the same cells, (n_obs,).
    classes
        Names of the classes.
    sizes
        Sizes of the real patients of the pool.
    patient_names
        Names of all real patients.
    patients
        Patient of each cell, as numbered in ``patient_names``, -1 for cells that may not be drawn, (n_obs,).
    """

    components: np.ndarray
    labels: np.ndarray
    donors: np.ndarray
    classes: list[str]
    sizes: np.ndarray
    patient_names: np.ndarray
    patients: np.ndarray

    def check_option(self, pool: Any) -> str:
        """Refuse a pool that is neither an option nor a class."""
        return check_name(pool, "pool", self.classes, ["all", "same"])

    def components_of(self, pool: str, label: str) -> np.ndarray:
        """Component of each cell that may be drawn for a patient of class ``label``, -1 elsewhere."""
        if pool == "all":
            return self.components
        name = label if pool == "same" else pool
        if name not in self.classes:
            msg = (
                f"`pool`: the class {name!r} has no patient here to draw cells from; classes with patients are "
                f"{listed(self.classes)}. Use `pool='all'`."
            )
            raise ValueError(msg)
        return np.where(self.labels == self.classes.index(name), self.components, -1)


def read_pool(data: AnnData | MuData, params: dict[str, Any], learnt_from: pd.DataFrame, mask_obs: Any) -> Pool:
    """Cells of the labelled patients that recipes were learnt on, or of those inside ``mask_obs``."""
    if mask_obs is None and params["mask_obs"] == "array":
        msg = (
            "`mask_obs`: the recipes were learnt on the cells of a mask given as an array, which is not stored; pass the "
            "cells that may be drawn, usually the same array."
        )
        raise ValueError(msg)
    mask = _store.read_mask(data, params["mask_obs"] if mask_obs is None else mask_obs)
    patients = _store.read_classed_patients(data, params, mask)
    usable = patients.labelled
    if mask_obs is None:
        usable = usable & np.isin(patients.names.astype(str), np.asarray(learnt_from.index, dtype=str))
    if not usable.any():
        msg = "There is no cell to draw: the pool has no patient with a label."
        raise ValueError(msg)
    inside = (patients.codes >= 0) & usable[patients.codes]
    components, _ = _store.read_components(data, params["gmm_key"])
    label_codes = np.array([patients.classes.index(label) if label is not None else -1 for label in patients.labels])
    _, donor_codes = np.unique(patients.donors.astype(str), return_inverse=True)
    return Pool(
        components=np.where(inside, components, -1),
        labels=np.where(inside, label_codes[patients.codes], -1),
        donors=np.where(inside, donor_codes[patients.codes], -1),
        classes=patients.classes,
        sizes=patients.n_cells[usable],
        patient_names=patients.names.astype(str),
        patients=np.where(inside, patients.codes, -1),
    )
