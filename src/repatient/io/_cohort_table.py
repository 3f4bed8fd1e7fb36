from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import kruskal
from scipy.stats.contingency import association

from repatient import _store
from repatient._checks import another, listed
from repatient._docs import shared_docs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

_STRONG = 0.5
_LEVEL = 0.01
_UNKNOWN = "(unknown)"


@shared_docs
def cohort_table(
    data: AnnData | MuData,
    *,
    patient_key: str = "patient",
    label_key: str = "label",
    donor_key: str | None = None,
    missing_values: Sequence[Any] | None = None,
    batch_key: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """What is in a cohort, at a glance: patients and cells a class, and batches against classes.

    Warns where something else than biology tells the classes apart: a batch that goes with the class (Cramér's V of .5
    or more), or the number of cells of a patient (Kruskal-Wallis test, p < .01).

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    label_key
        Column of ``obs`` with the class of each cell's patient. Patients without one make a row of their own.
    %(donor_key)s
    %(missing_values)s ``None`` warns of names that look like it.
    batch_key
        Columns of ``obs`` with what should not go with the class: run, scanner, hospital. ``None``: ``batch``, where there is
        such a column.

    Returns
    -------
    One row a class and one of all, with columns ``patients``, ``donors``, ``cells``, ``cells_median``, ``cells_min``,
    ``cells_max`` (of a patient), and the number of patients in each batch, ``"batch: name"``. A patient with cells in
    several batches counts in each.

    Raises
    ------
    KeyError
        If a column does not exist.
    TypeError
        If ``data`` is of another type.
    ValueError
        If a patient has several classes or donors, or a cell no patient.

    See Also
    --------
    repatient.io.read_features : The cohort, from files.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.io.cohort_table(adata)["patients"].tolist()
    [6, 6, 12]
    """
    _store.check_data(data)
    patients = _store.read_patients(data, patient_key, label_key, donor_key, missing_values=missing_values)
    if batch_key is None:
        keys = ["batch"] if "batch" in data.obs else []
    else:
        keys = [batch_key] if isinstance(batch_key, str) else list(batch_key)
    unknown = another(_UNKNOWN, patients.classes)
    labels = np.array([unknown if label is None else str(label) for label in patients.labels], dtype=object)
    rows = [*patients.classes, *([unknown] if unknown in labels else [])]
    frame = pd.DataFrame({"label": labels, "donor": patients.donors, "cells": patients.n_cells})
    sizes = frame.groupby("label")["cells"].agg(["count", "sum", "median", "min", "max"]).reindex(rows)
    total = another("all", rows)
    sizes.loc[total] = frame["cells"].agg(["count", "sum", "median", "min", "max"])
    sizes.columns = ["patients", "cells", "cells_median", "cells_min", "cells_max"]
    sizes = sizes.astype({name: int for name in sizes if name != "cells_median"})
    donors = frame.groupby("label")["donor"].nunique().reindex(rows)
    sizes.insert(1, "donors", [*donors, frame["donor"].nunique()])
    sizes.index.name = label_key
    for key in keys:
        batches = _store.as_names(_store.obs_column(data, key, "batch_key"), "batch_key")
        present = pd.crosstab(patients.codes, batches) > 0
        counts = present.groupby(labels[present.index]).sum().reindex(rows, fill_value=0)
        _warn_of_batches(counts.loc[patients.classes], key)
        counts.loc[total] = present.sum()
        sizes = sizes.join(counts.add_prefix(f"{key}: "))
    _warn_of_sizes(frame[frame["label"] != unknown], patients.classes)
    return sizes


def _warn_of_batches(counts: pd.DataFrame, key: str) -> None:
    counts = counts.loc[counts.sum(axis=1) > 0, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return
    v = association(counts.to_numpy(), method="cramer")
    if v < _STRONG:
        return
    alone = [str(name) for name, column in counts.items() if (column > 0).sum() == 1]
    one_class = f" Patients of {listed(alone)} are all of one class." if alone else ""
    msg = (
        f"`{key}` goes with the class (Cramér's V {v:.2f}): what tells the classes apart may be the batch.{one_class} "
        "Compare within batches, or measure how well the batch alone predicts the class."
    )
    warnings.warn(msg, stacklevel=3)


def _warn_of_sizes(frame: pd.DataFrame, classes: list[str]) -> None:
    groups = [frame.loc[frame["label"] == name, "cells"].to_numpy() for name in classes]
    if len(groups) < 2 or frame["cells"].nunique() < 2:
        return
    p = kruskal(*groups).pvalue
    if p < _LEVEL:
        medians = ", ".join(f"{name!r} {np.median(group):g}" for name, group in zip(classes, groups, strict=True))
        msg = f"The number of cells of a patient goes with the class (medians: {medians}; p = {p:.1g})."
        warnings.warn(msg, stacklevel=3)
