"""Patients, their classes and their donors, read from ``obs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from natsort import natsorted

from repatient._checks import listed, name_of
from repatient._messages import warn
from repatient._store._keys import IS_GENERATED
from repatient._store._validate import obs_column

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_MIXED = ("mixed", "mixed-integer", "unknown-array")
_LIKE_MISSING = ("", "na", "n/a", "nan", "null", "<na>", "nat")


@dataclass(frozen=True)
class Patients:
    """The bags of a cohort.

    Parameters
    ----------
    names
        Names of the patients, (P,).
    codes
        Patient of each cell, (n_obs,); -1 for cells outside the mask.
    labels
        Class of each patient, (P,), ``None`` where it is not known.
    classes
        Names of the classes that have patients, in the order of the categories.
    donors
        Donor of each patient, (P,).
    """

    names: np.ndarray
    codes: np.ndarray
    labels: np.ndarray
    classes: list[str]
    donors: np.ndarray

    @property
    def n_cells(self) -> np.ndarray:
        """Cells of each patient, (P,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    @property
    def labelled(self) -> np.ndarray:
        """Whether the class of a patient is known, (P,)."""
        return np.array([label is not None for label in self.labels], dtype=bool)


def read_patients(
    data: AnnData | MuData,
    patient_key: str,
    label_key: str | None = None,
    donor_key: str | None = None,
    mask: np.ndarray | None = None,
    *,
    missing_values: Sequence[Any] | None = (),
    strict: bool = False,
) -> Patients:
    """Read the patients whose cells are in ``mask``; each has one class and one donor.

    Labels in ``missing_values`` are none. With ``None``, names such as ``"NA"`` are asked about: by an error where
    ``strict``, else by a warning.
    """
    inside = np.ones(data.n_obs, dtype=bool) if mask is None else mask
    column = obs_column(data, patient_key, "patient_key")
    if column[inside].isna().any():
        msg = f"`patient_key`: {int(column[inside].isna().sum())} cells have no patient in {patient_key!r}; leave them out."
        raise ValueError(msg)
    codes, names = read_codes(column, inside, "patient_key")
    classes: list[str] = []
    labels = np.full(len(names), None, dtype=object)
    if label_key is not None:
        of_cells, names_found = read_codes(obs_column(data, label_key, "label_key"), inside, "label_key")
        if missing_values is None:
            _ask_about(names_found, label_key, strict=strict)
        absent = {name_of(value, names_found) for value in check_missing_values(missing_values)}
        known = np.array([name not in absent for name in names_found], dtype=bool)
        classes = [name for name in names_found if name not in absent]
        of_cells = np.append(np.where(known, np.cumsum(known) - 1, -1), -1)[of_cells]
        of_patients = one_each(codes, of_cells, names, classes, "label_key", label_key)
        labels[of_patients >= 0] = np.asarray(classes, dtype=object)[of_patients[of_patients >= 0]]
    donors = np.asarray(names, dtype=object)
    if donor_key is not None:
        of_cells, donor_names = read_codes(obs_column(data, donor_key, "donor_key"), inside, "donor_key")
        of_patients = one_each(codes, of_cells, names, donor_names, "donor_key", donor_key)
        if (of_patients < 0).any():
            msg = f"`donor_key`: patients {listed(np.asarray(names)[of_patients < 0])} have no donor in {donor_key!r}."
            raise ValueError(msg)
        donors = np.asarray(donor_names, dtype=object)[of_patients]
    return Patients(np.asarray(names, dtype=object), codes, labels, classes, donors)


def is_generated(data: AnnData | MuData) -> np.ndarray:
    """Which cells are of generated patients, as :func:`repatient.get.augmented` marks them, (n_obs,)."""
    if IS_GENERATED not in data.obs:
        return np.zeros(data.n_obs, dtype=bool)
    return np.asarray(obs_column(data, IS_GENERATED, IS_GENERATED).isin([True, "True"]), dtype=bool)


def real_cells(data: AnnData | MuData, mask: np.ndarray | None, *, quiet: bool = False) -> np.ndarray | None:
    """The cells of a mask without those of generated patients, who are no donors; a warning says what is left out."""
    generated = is_generated(data) if mask is None else is_generated(data) & mask
    if not generated.any():
        return mask
    real = ~generated if mask is None else mask & ~generated
    what = f"{int(generated.sum())} cells of generated patients (`obs[{IS_GENERATED!r}]`)"
    if not real.any():
        msg = f"`mask_obs`: there are {what} and no others; generated patients are no donors, so that none is left."
        raise ValueError(msg)
    if not quiet:
        warn(f"{what} are left out: generated patients are no donors.")
    return real


def read_codes(column: pd.Series, inside: np.ndarray, argument: str) -> tuple[np.ndarray, list[str]]:
    """Codes of the values that occur inside, -1 elsewhere and for missing ones, and the values as text, in their order."""
    categorical = as_categories(column, argument)
    codes = np.where(inside, np.asarray(categorical.codes, dtype=np.int64), -1)
    present = np.unique(codes[codes >= 0])
    position = np.full(len(categorical.categories) + 1, -1)
    position[present] = np.arange(len(present))
    return position[codes], [str(name) for name in categorical.categories[present]]


def as_categories(column: pd.Series, argument: str) -> pd.Categorical:
    """A column of any type as categories of text, which are all different.

    Categories keep their order. Text is ordered as anndata orders it when it writes a file (``"P2"`` before ``"P10"``), so
    that nothing changes places when an object is read back.
    """
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if pd.api.types.infer_dtype(column, skipna=True) in _MIXED:
            text = column.map(str, na_action="ignore")
            kinds = pd.DataFrame({"name": text, "is_text": column.map(lambda value: isinstance(value, str))})
            _check_distinct(kinds.dropna(subset="name").drop_duplicates()["name"], column.name, argument)
            column = text
        if isinstance(column.dtype, np.dtype) and column.dtype in (np.float16, np.float32):
            # 0.1 is called so in any precision.
            codes, values = pd.factorize(column, sort=True)
            categories = [float(str(value)) for value in np.asarray(values).astype(column.dtype)]
            column = pd.Series(pd.Categorical.from_codes(codes, categories), name=column.name)
        is_text = pd.api.types.infer_dtype(column, skipna=True) == "string"
        column = column.astype("category")
        if is_text:
            column = column.cat.reorder_categories(natsorted(column.cat.categories))
    names = column.cat.categories.map(str)
    _check_distinct(names, column.name, argument)
    return pd.Categorical.from_codes(column.cat.codes, names, ordered=column.cat.ordered)


def as_names(column: pd.Series, argument: str) -> np.ndarray:
    """Values of a column as text, (n_obs,) objects, ``None`` where they are missing.

    A value that is missing has no name, and what is called ``"nan"``, ``"None"`` or ``"<NA>"`` is not missing: the one
    place where values become text, which ``astype(str)`` would mix up.
    """
    categorical = as_categories(column, argument)
    return np.array([*categorical.categories, None], dtype=object)[categorical.codes]


def is_text(column: pd.Series) -> bool:
    """Whether all values of a column, or all its categories, are text."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    return all(isinstance(value, str) for value in values)


def of_class(labels: pd.Series, name: str) -> np.ndarray:
    """Which of the labels of a table of patients are a class; missing ones are none, whatever the class is called."""
    return np.asarray(labels.notna() & (labels.astype(str) == name), dtype=bool)


def _check_distinct(names: Any, key: Any, argument: str) -> None:
    twice = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(twice):
        msg = (
            f"`{argument}`: {key!r} holds numbers and text that are written alike, {listed(twice)}. Make them one type, "
            f"`data.obs[{key!r}] = data.obs[{key!r}].astype(str)`, or give them different names."
        )
        raise ValueError(msg)


def check_missing_values(missing_values: Sequence[Any] | None) -> list[Any]:
    """The labels that mean that there is none; whoever passes text forgot the brackets."""
    if missing_values is None:
        return []
    if isinstance(missing_values, str) or not isinstance(
        missing_values, Sequence | np.ndarray | pd.Index | pd.Series | set
    ):
        msg = f"`missing_values` is a list of labels, such as ['NA'], not {missing_values!r}."
        raise TypeError(msg)
    if not all(pd.api.types.is_scalar(value) for value in missing_values):
        msg = f"`missing_values` is a list of labels, each a name or a number, not {missing_values!r}."
        raise TypeError(msg)
    return [value for value in missing_values if not pd.isna(value)]


def storable_missing_values(missing_values: Sequence[Any] | None) -> list[str] | None:
    """The same as a result records them, ``None`` where there are none."""
    return [str(value) for value in check_missing_values(missing_values)] or None


def _ask_about(classes: list[str], key: str, *, strict: bool) -> None:
    """Names are data, and so is a class called ``"nan"``; more often such a label was meant to be missing."""
    doubtful = [name for name in classes if name.strip().lower() in _LIKE_MISSING]
    if not doubtful:
        return
    answers = (
        f"pass `missing_values={doubtful!r}` where these patients have no label, or `missing_values=[]` where a class"
    )
    if strict:
        msg = f"`label_key`: {listed(doubtful)} in {key!r} may be a class or mean that there is none; {answers} is called so."
        raise ValueError(msg)
    warn(f"`label_key`: {listed(doubtful)} in {key!r} is taken for the name of a class; {answers} is called so.")


def one_each(
    codes: np.ndarray, values: np.ndarray, names: list[str], value_names: list[str], argument: str, key: str
) -> np.ndarray:
    """Value of each patient, -1 where it has none; an error where it has several."""
    inside = codes >= 0
    pairs = np.unique(np.stack([codes[inside], values[inside]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0], minlength=len(names)) > 1)
    if len(several):
        found = ["missing", *value_names]
        examples = [
            f"{names[patient]!r} ({', '.join(found[value + 1] for value in pairs[1][pairs[0] == patient])})"
            for patient in several[:12]
        ]
        msg = (
            f"`{argument}`: {len(several)} patients have more than one value of {key!r}: {', '.join(examples)}"
            f"{', …' if len(several) > 12 else ''}. A patient has one; where a person gave several samples, pass a "
            "column with one value a sample as `patient_key`, and the person as `donor_key`."
        )
        raise ValueError(msg)
    result = np.full(len(names), -1)
    result[pairs[0]] = pairs[1]
    return result


def patients_frame(patients: Patients, **columns: Any) -> pd.DataFrame:
    """Table of patients as it is stored: index the names, then class, donor and number of cells."""
    frame = pd.DataFrame(
        {
            "label": pd.Categorical(patients.labels, categories=patients.classes),
            "donor": pd.Categorical(patients.donors),
            "n_cells": patients.n_cells,
            **columns,
        },
        index=pd.Index(patients.names.astype(str), name="patient"),
    )
    return frame
