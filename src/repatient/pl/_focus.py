"""The patients whose cells a figure shows: a class, a generated patient or a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def cells_with(data: AnnData | MuData, key: str, name: str, argument: str) -> np.ndarray:
    """Whether each cell, (n_obs,), has a value in a column of ``obs``; values are compared as text."""
    column = _store.obs_column(data, key, argument).astype("category").cat
    return np.isin(column.codes, np.flatnonzero(column.categories.astype(str) == name))


def cell_weights(
    data: AnnData | MuData, name: str, params: dict[str, Any], generated_key: str
) -> tuple[np.ndarray, str]:
    """How many times each cell, (n_obs,), belongs to a class or patient, and what that is called in a title.

    ``params`` are those of the recipes, which say where classes and patients are.
    """
    for argument, what in (("label_key", "Class"), ("patient_key", "Patient")):
        inside = cells_with(data, params[argument], name, argument)
        if inside.any():
            return inside.astype(np.float64), f"{what} {name}"
    generated: list[str] = []
    if generated_key in data.uns:
        drawn = _store.read_generated(data, generated_key)
        generated = [str(patient) for patient in drawn.table.index]
        if name in generated:
            if drawn.points is not None:
                msg = (
                    f"`density`: the cells of {name!r} are points of Gaussians, which are not on the map of the real ones. "
                    "Make a map of both from `rp.get.augmented(data)`, and draw the column of the patients there."
                )
                raise ValueError(msg)
            return drawn.counts[:, [generated.index(name)]].toarray().ravel().astype(
                np.float64
            ), f"Generated patient {name}"
    patients = _store.read_classed_patients(data, params)
    msg = (
        f"`density`: {name!r} is no class, patient or generated patient. Classes are "
        f"{listed(patients.classes)}, patients {listed(patients.names, 6)}, generated patients "
        f"{listed(generated, 6)}."
    )
    raise KeyError(msg)
