"""What is known of each patient beside the cells: one value a patient, from ``obs`` and from stored predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Collection

    from anndata import AnnData
    from mudata import MuData


def constant_columns(
    data: AnnData | MuData, patients: _store.Patients, named: Any, taken: Collection[str]
) -> dict[str, pd.Series]:
    """Columns of ``obs`` with one value a patient: those that are named, or all there are."""
    if isinstance(named, str):
        msg = f"`covariates` is a sequence of columns of `obs`, not the string {named!r}; write [{named!r}]."
        raise TypeError(msg)
    names = list(data.obs.columns) if named is None else list(dict.fromkeys(named))
    inside = np.flatnonzero(patients.codes >= 0)
    order = inside[np.argsort(patients.codes[inside], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(patients.n_cells)[:-1]])
    found = {}
    for name in names:
        if name in taken:
            if named is not None:
                msg = f"`covariates`: {name!r} is another column of the table of patients; rename the column of `obs`."
                raise ValueError(msg)
            continue
        column = _store.obs_column(data, name, "covariates")
        codes = pd.factorize(column)[0][order]
        varies = np.minimum.reduceat(codes, starts) < np.maximum.reduceat(codes, starts)
        if not varies.any():
            found[name] = _plain(column.iloc[order[starts]])
        elif named is not None:
            who = listed(patients.names[varies])
            msg = f"`covariates`: {name!r} has several values within {int(varies.sum())} patients: {who}."
            raise ValueError(msg)
    return found


def read_predictions(data: AnnData | MuData, mil_key: str | None, patient_key: str) -> pd.DataFrame | None:
    """Predictions of the patients, columns named after the model; ``None`` where there are none and none are named."""
    key = _store.keys.MIL if mil_key is None else mil_key
    if mil_key is None and not _is_of(data.uns.get(key), patient_key):
        return None
    entry = _store.uns_entry(data, key, "mil_key", "mil")
    if not _is_of(entry, patient_key):
        msg = (
            f"`mil_key`: `uns[{key!r}]` has no predictions of the patients in {patient_key!r}; run `rp.tl.mil` with it."
        )
        raise ValueError(msg)
    return entry["predictions"].drop(columns="label", errors="ignore").add_prefix(f"{key}_")


def _is_of(entry: Any, patient_key: str) -> bool:
    """Whether an entry of ``uns`` holds predictions of these patients, and is not something else of that name."""
    params = entry.get("params") if isinstance(entry, Mapping) and "predictions" in entry else None
    return isinstance(params, Mapping) and str(params.get("patient_key")) == patient_key


def _plain(values: pd.Series) -> pd.Series:
    """Numbers and booleans as they are; all else as categories of text, which h5ad can hold."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        used = values.cat.remove_unused_categories()
        # Intervals and the like no file holds; names of generated patients' levels are text beside numbers, too.
        return used if _store.is_text(used) else used.cat.rename_categories(used.cat.categories.map(str))
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values
    return pd.Series(_store.as_categories(values, "covariates"), index=values.index)


def generated_before(data: AnnData | MuData, patients: _store.Patients) -> np.ndarray:
    """Which patients of the object are generated ones, as :func:`repatient.get.augmented` marks their cells, (P,)."""
    inside = _store.is_generated(data) & (patients.codes >= 0)
    return np.bincount(patients.codes[inside], minlength=len(patients.names)) > 0


def append_generated(real: pd.DataFrame, generated: pd.DataFrame, keys: Mapping[str, Any]) -> pd.DataFrame:
    """Real patients, then generated ones."""
    names = generated.index.astype(str)
    if len(both := real.index.intersection(names)):
        msg = f"`generated_key`: generated patients are called as real ones: {listed(both)}. Generate them again."
        raise ValueError(msg)
    labels = generated["label"]
    # Values that recipes were conditioned on stay numbers.
    known: dict[str, Any] = {
        "n_cells": generated["n_cells"],
        keys["label_key"]: labels if labels.dtype.kind == "f" else labels.astype(str),
    }
    for name in (keys["patient_key"], keys["donor_key"]):
        known[name] = names
    known |= {name: generated[name] for name in _covariates(keys) if name in generated}
    columns = {name: _joined(real[name], known.get(name), len(names)) for name in real if name != "is_generated"}
    columns["is_generated"] = np.append(real["is_generated"].to_numpy(dtype=bool), np.ones(len(names), dtype=bool))
    return pd.DataFrame(columns, index=real.index.append(names))


def _covariates(keys: Mapping[str, Any]) -> list[str]:
    covariates = keys.get("covariates")
    return [] if covariates is None else [str(name) for name in covariates]


def _joined(real: pd.Series, more: Any, n_more: int) -> Any:
    """Values of real patients, then those of generated ones, which are missing where there are none.

    Booleans have no missing value that plots know, and become categories.
    """
    if more is not None and pd.api.types.is_integer_dtype(real.dtype):
        return np.concatenate([real.to_numpy(), np.asarray(more)])
    if pd.api.types.is_bool_dtype(real.dtype):
        real = real.astype(str).astype("category")
    if isinstance(real.dtype, pd.CategoricalDtype):
        values = [None] * n_more if more is None else list(more)
        known = list(real.cat.categories)
        new = [value for value in dict.fromkeys(values) if value is not None and value not in known]
        return pd.Categorical([*real.astype(object), *values], categories=known + new)
    numbers = np.full(n_more, np.nan) if more is None else np.asarray(more, dtype=np.float64)
    return np.concatenate([real.to_numpy(dtype=np.float64, na_value=np.nan), numbers])
