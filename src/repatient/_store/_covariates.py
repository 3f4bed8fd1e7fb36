"""Covariates of patients, read from ``obs``: one value a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import check_key, listed
from repatient._store._patients import Patients, as_categories, one_each
from repatient._store._validate import obs_column

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

# Columns of the tables of real and of generated patients.
_TAKEN = (
    "patient",
    "label",
    "donor",
    "n_cells",
    "n_donors",
    "recipe",
    "reference",
    "n_moved",
    "n_repeated",
    "uncertainty",
    "predicted",
    "selected",
)


def read_covariates(data: AnnData | MuData, covariates: Any, patients: Patients) -> pd.DataFrame | None:
    """Covariates of each patient: numbers as float64, all else as categories; ``None`` where none are named.

    Labelled patients have a value of each, and all patients no more than one.
    """
    if covariates is None:
        return None
    if isinstance(covariates, str):
        msg = f"`covariates` is a sequence of columns of `obs`, not the string {covariates!r}; write [{covariates!r}]."
        raise TypeError(msg)
    names = list(dict.fromkeys(covariates))
    for name in names:
        check_key(name, "covariates")
        if name in _TAKEN:
            msg = f"`covariates`: {name!r} is a column of the table of patients; rename the column of `obs`."
            raise ValueError(msg)
    if not names:
        msg = "`covariates` is empty; name columns of `obs`, or pass `None`."
        raise ValueError(msg)
    index = pd.Index(patients.names.astype(str), name="patient")
    return pd.DataFrame({name: _of_patients(data, name, patients) for name in names}, index=index)


def _of_patients(data: AnnData | MuData, name: str, patients: Patients) -> Any:
    column = obs_column(data, name, "covariates")
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if is_number:
        codes, values = pd.factorize(column.to_numpy(dtype=np.float64, na_value=np.nan), sort=True)
    else:
        categorical = as_categories(column, "covariates")
        codes, values = categorical.codes, categorical.categories
    codes = np.where(patients.codes >= 0, codes, -1)
    of_patients = one_each(
        patients.codes,
        codes,
        [str(one) for one in patients.names],
        [f"{value:g}" if is_number else value for value in values],
        "covariates",
        name,
    )
    missing = patients.labelled & (of_patients < 0)
    if missing.any():
        msg = (
            f"`covariates`: {int(missing.sum())} labelled patients have no value of {name!r}: "
            f"{listed(patients.names[missing])}. Leave these patients out (`mask_obs`), or fill the column."
        )
        raise ValueError(msg)
    present = np.unique(of_patients[patients.labelled])
    if len(present) < 2:
        msg = f"`covariates`: {name!r} has one value in all labelled patients, {listed(values[present])}; leave it out."
        raise ValueError(msg)
    if is_number:
        if not np.isfinite(values).all():
            msg = f"`covariates`: {name!r} has infinite values."
            raise ValueError(msg)
        return np.append(values, np.nan)[of_patients]
    return pd.Categorical.from_codes(of_patients, values).remove_unused_categories()
