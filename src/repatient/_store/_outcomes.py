"""Outcomes that are no plain classes, read from ``obs``: ordered grades, and values of patients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import listed, name_of
from repatient._store._patients import Patients, check_missing_values, one_each, read_patients
from repatient._store._validate import obs_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData

OUTCOMES = ("class", "ordinal", "continuous")


def read_grades(data: AnnData | MuData, label_key: str, missing_values: Sequence[Any] | None = None) -> list[str]:
    """Names of all grades of an ordered column, the lowest first."""
    column = obs_column(data, label_key, "label_key")
    if not isinstance(column.dtype, pd.CategoricalDtype) or not column.cat.ordered:
        found = [str(name) for name in column.dropna().unique()]
        msg = (
            f"`label_key`: {label_key!r} has no order, and `outcome='ordinal'` needs one. Write "
            f"`data.obs[{label_key!r}] = pd.Categorical(data.obs[{label_key!r}], categories=[…], ordered=True)` with "
            f"the grades from the lowest to the highest; there are {listed(found)}."
        )
        raise ValueError(msg)
    grades = [str(name) for name in column.cat.categories]
    absent = {name_of(value, grades) for value in check_missing_values(missing_values)}
    return [name for name in grades if name not in absent]


def read_valued_patients(
    data: AnnData | MuData,
    patient_key: str,
    label_key: str,
    donor_key: str | None = None,
    mask: np.ndarray | None = None,
    *,
    missing_values: Sequence[Any] | None = (),
) -> Patients:
    """Patients whose labels are numbers, ``None`` where the value is missing, and who have no classes."""
    patients = read_patients(data, patient_key, None, donor_key, mask)
    numbers = _numbers(obs_column(data, label_key, "label_key"), label_key)
    numbers = np.where(np.isin(numbers, _as_numbers(missing_values)), np.nan, numbers)
    codes, values = pd.factorize(numbers, sort=True)
    codes = np.where(patients.codes >= 0, codes, -1)
    names = [str(name) for name in patients.names]
    of_patients = one_each(patients.codes, codes, names, [f"{value:g}" for value in values], "label_key", label_key)
    labels = np.array([None if code < 0 else float(values[code]) for code in of_patients], dtype=object)
    return replace(patients, labels=labels)


def read_recorded_patients(
    data: AnnData | MuData, params: Mapping[str, Any], mask: np.ndarray | None = None
) -> Patients:
    """Patients with their classes or values, as a result with these parameters read them."""
    read = read_valued_patients if is_continuous(params) else read_patients
    keys = (params["patient_key"], params["label_key"], params.get("donor_key"))
    missing = params.get("missing_values")
    return read(data, *keys, mask, missing_values=() if missing is None else missing)


def read_classed_patients(
    data: AnnData | MuData, params: Mapping[str, Any], mask: np.ndarray | None = None
) -> Patients:
    """Patients as recipes with these parameters know them: those with a value are all of one class, named by the column."""
    patients = read_recorded_patients(data, params, mask)
    return of_one_class(patients, params["label_key"]) if is_continuous(params) else patients


def of_one_class(patients: Patients, name: str) -> Patients:
    """The same patients, the labelled ones being of one class."""
    labels = np.array([name if known else None for known in patients.labelled], dtype=object)
    return replace(patients, labels=labels, classes=[name] if patients.labelled.any() else [])


def _numbers(column: pd.Series, label_key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A numeric column in double precision, NaN where it is missing."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        msg = (
            f"`label_key`: {label_key!r} is of type {column.dtype}, and `outcome='continuous'` needs numbers. Turn it into "
            "numbers (`pd.to_numeric`), or predict its classes or grades."
        )
        raise ValueError(msg)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        msg = f"`label_key`: {label_key!r} has infinite values in {int(np.isinf(numbers).sum())} cells."
        raise ValueError(msg)
    return numbers


def _as_numbers(missing_values: Sequence[Any] | None) -> list[float]:
    try:
        return [float(value) for value in check_missing_values(missing_values)]
    except (TypeError, ValueError) as error:
        msg = f"`missing_values` holds numbers where values are predicted, not {missing_values!r}."
        raise TypeError(msg) from error


def check_values(patients: Patients, label_key: str) -> None:
    """Refuse a cohort whose patients have no value, or one for all."""
    values = np.unique(patients.labels[patients.labelled].astype(np.float64))
    if len(values) < 2:
        found = f"the value {values[0]:g} in all of them" if len(values) else "no value in any of them"
        msg = (
            f"`label_key`: {label_key!r} has {found} ({int(patients.labelled.sum())} patients with one); values that "
            "differ are needed to learn from."
        )
        raise ValueError(msg)


def is_continuous(params: Mapping[str, Any]) -> bool:
    """Whether recipes or generated patients with these parameters are of values; classes are where nothing is said."""
    return params.get("outcome", "class") == "continuous"


def check_outcome(params: Mapping[str, Any], outcome: str, key: str) -> None:
    """Refuse generated patients of classes for a model of values, and the other way round."""
    if is_continuous(params) == (outcome == "continuous"):
        return
    have, want = ("values", "classes") if is_continuous(params) else ("classes", "values")
    msg = (
        f"`generated_key`: the generated patients of `uns[{key!r}]` have {have} as labels, and `outcome={outcome!r}` "
        f"needs {want}. Learn recipes with `rp.tl.recipes(..., outcome={outcome!r})` and generate from them."
    )
    raise ValueError(msg)
