"""The patients whose cells a figure shows: a class, a generated patient or a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import listed, name_of

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


_WRITTEN = {"class": "Class", "patient": "Patient", "generated": "Generated patient"}
KINDS = ("class", "patient", "generated")


def cells_with(data: AnnData | MuData, key: str, name: str, argument: str) -> np.ndarray:
    """Whether each cell, (n_obs,), has a value in a column of ``obs``; values are compared as text."""
    column = _store.as_categories(_store.obs_column(data, key, argument), argument)
    return np.isin(column.codes, np.flatnonzero(column.categories == name))


def cell_weights(
    data: AnnData | MuData, density: Any, params: dict[str, Any], generated_key: str
) -> tuple[np.ndarray, str]:
    """How many times each cell, (n_obs,), belongs to a class or patient, and what that is called in a title.

    ``params`` are those of the recipes, which say where classes and patients are. A name that several of them have wants
    its kind beside it.
    """
    kinds: tuple[str, ...] = KINDS
    wanted = density
    if isinstance(density, tuple):
        if len(density) != 2 or density[0] not in KINDS:
            msg = f"`density`: a name, or a kind {listed(KINDS)} and a name, not {density!r}."
            raise ValueError(msg)
        kinds, wanted = (density[0],), density[1]
    patients = _store.read_classed_patients(data, params)
    counts, table = _generated(data, generated_key)
    names = {"class": patients.classes, "patient": list(patients.names), "generated": table}
    found = {kind: name_of(wanted, names[kind]) for kind in kinds}
    of = [kind for kind, name in found.items() if name is not None]
    if not of:
        what = "class, patient or generated patient" if len(kinds) > 1 else _WRITTEN[kinds[0]].lower()
        msg = (
            f"`density`: {wanted!r} is no {what}. Classes are {listed(patients.classes)}, patients "
            f"{listed(patients.names, 6)}, generated patients {listed(table, 6)}."
        )
        raise KeyError(msg)
    if len(of) > 1:
        ways = " or ".join(f"density=({kind!r}, {found[kind]!r})" for kind in of)
        msg = f"`density`: {wanted!r} is the name of several, {listed(of)}; write {ways}."
        raise ValueError(msg)
    kind, name = of[0], str(found[of[0]])
    title = f"{_WRITTEN[kind]} {name}"
    if kind != "generated":
        key = params["label_key" if kind == "class" else "patient_key"]
        if kind == "class" and _store.is_continuous(params):
            inside = np.append(patients.labelled, False)[patients.codes]
        else:
            inside = cells_with(data, key, name, "density")
        return inside.astype(np.float64), title
    if counts is None:
        msg = (
            f"`density`: the cells of {name!r} are points of Gaussians, which are not on the map of the real ones. "
            "Make a map of both from `rp.get.augmented(data)`, and draw the column of the patients there."
        )
        raise ValueError(msg)
    return counts[:, [table.index(name)]].toarray().ravel().astype(np.float64), title


def _generated(data: AnnData | MuData, key: str) -> tuple[Any, list[str]]:
    """Counts of the generated patients' cells, ``None`` for points of Gaussians, and their names."""
    if key not in data.uns:
        return None, []
    drawn = _store.read_generated(data, key)
    return None if drawn.points is not None else drawn.counts, [str(name) for name in drawn.table.index]
