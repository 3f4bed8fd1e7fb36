"""Who is who in an audit: real patients of the pool, known and held out, and generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient import _store
from repatient.tl._drawn_bags import read_drawn, take_drawn

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

POOL, KNOWN, HELD_OUT = "pool", "known", "held out"


@dataclass(frozen=True, eq=False)
class RealPatients:
    """Real patients and their cells.

    Parameters
    ----------
    patients
        Names, classes, donors, and the patient of each cell.
    roles
        What each patient was to the generated ones, (P,): ``"pool"`` if its cells could be drawn; ``"known"`` if not,
        but its recipe was learnt or its donor was in the pool; ``"held out"`` otherwise.
    """

    patients: _store.Patients
    roles: np.ndarray

    @property
    def counts(self) -> sp.csc_array:
        """Whether each cell is each patient's, (n_obs, P)."""
        codes = self.patients.codes
        cells = np.flatnonzero(codes >= 0)
        return sp.csc_array((np.ones(len(cells)), (cells, codes[cells])), shape=(len(codes), len(self.patients.names)))


@dataclass(frozen=True, eq=False)
class GeneratedPatients:
    """Generated patients.

    Parameters
    ----------
    counts
        How many times each cell is in each patient, (n_obs, G); of points of Gaussians, (points, G).
    labels, names
        Of each patient, (G,).
    params
        Parameters of :func:`repatient.tl.generate`.
    points
        Coordinates of the cells that are points of Gaussians, (points, d); ``None`` for real cells.
    """

    counts: sp.csc_array
    labels: np.ndarray
    names: np.ndarray
    params: dict[str, Any]
    points: np.ndarray | None = None


def read_generated_patients(data: AnnData | MuData, key: str, selected: Any) -> GeneratedPatients:
    """Generated patients, the selected ones where a selection was made or is asked for."""
    drawn, table = read_drawn(data, key)
    if selected is True and "selected" not in table:
        msg = f"`selected`: no selection was made in `uns[{key!r}]`; make one with `rp.tl.select`."
        raise KeyError(msg)
    kept = np.ones(len(table), dtype=bool)
    if selected is not False and "selected" in table:
        kept = table["selected"].to_numpy(dtype=bool)
    drawn = take_drawn(drawn, np.flatnonzero(kept))
    points = drawn.embedding if isinstance(drawn, _store.GaussianPatients) else None
    counts = sp.csc_array(drawn.counts if isinstance(drawn, _store.GaussianPatients) else drawn)
    table = table[kept]
    empty = np.asarray(counts.sum(axis=0)).ravel() == 0
    if empty.any() or not len(table):
        what = (
            f"{int(empty.sum())} of {len(table)} generated patients have no cell here" if len(table) else "none is left"
        )
        msg = f"`generated_key`: {what}. Generate them again with `rp.tl.generate`, or audit the whole object."
        raise ValueError(msg)
    params = data.uns[key]["params"]
    labels = table["label"].to_numpy(dtype=str)
    if _store.is_continuous(params):
        labels = np.full(len(table), params["label_key"])
    return GeneratedPatients(counts, labels, table.index.to_numpy(dtype=str), params, points)


def read_real_patients(data: AnnData | MuData, generated: GeneratedPatients) -> RealPatients:
    """Labelled patients by what they were to the generated ones; of those of the pool, the cells that could be drawn."""
    params = generated.params
    everyone = _read(data, params)
    pool = _pool_cells(data, everyone, generated)
    in_pool = np.bincount(everyone.codes[pool], minlength=len(everyone.names)) > 0
    seen = in_pool | _learnt_from(data, params, everyone)
    known = np.isin(everyone.donors, everyone.donors[seen])
    roles = np.where(in_pool, POOL, np.where(known, KNOWN, HELD_OUT))[everyone.labelled]
    cells = (pool | ~in_pool[everyone.codes]) & everyone.labelled[everyone.codes]
    if not cells.any():
        msg = f"`generated_key`: no real patient has a label in {params['label_key']!r} to compare the generated ones with."
        raise ValueError(msg)
    return RealPatients(_read(data, params, cells), roles)


def patients_of(data: AnnData | MuData, mask: np.ndarray, real: RealPatients, params: dict[str, Any]) -> RealPatients:
    """Labelled patients whose cells are in a mask, with those cells alone."""
    patients = _read(data, params, mask)
    if not patients.labelled.any():
        msg = f"`mask_obs`: none of its {len(patients.names)} patients has a label in {params['label_key']!r}."
        raise ValueError(msg)
    if not patients.labelled.all():
        return patients_of(data, mask & patients.labelled[patients.codes], real, params)
    of_name = dict(zip(real.patients.names, real.roles, strict=True))
    return RealPatients(patients, np.array([of_name[name] for name in patients.names]))


def _read(data: AnnData | MuData, params: dict[str, Any], mask: np.ndarray | None = None) -> _store.Patients:
    return _store.read_classed_patients(data, params, mask)


def pool_is_recorded(data: AnnData | MuData, params: dict[str, Any]) -> bool:
    """Whether the cells that could be drawn are known, or only those that were."""
    return params["mask_obs"] is None or params["mask_obs"] in data.obs


def _pool_cells(data: AnnData | MuData, everyone: _store.Patients, generated: GeneratedPatients) -> np.ndarray:
    """Cells that could be drawn for some generated patient, (n_obs,); for points of Gaussians, those learnt from."""
    params = generated.params
    if not pool_is_recorded(data, params) and generated.points is not None:
        return _learnt_from(data, params, everyone)[everyone.codes]
    if not pool_is_recorded(data, params):
        # Whole patients: a cell that was not drawn may have been left out by chance.
        drawn = np.unique(generated.counts.indices)
        return np.isin(everyone.codes, everyone.codes[drawn])
    mask = _store.read_mask(data, params["mask_obs"])
    pool = params["pool"]
    if pool == "all":
        usable = everyone.labelled
    else:
        named = np.isin(everyone.labels.astype(str), generated.labels if pool == "same" else [pool])
        usable = everyone.labelled & named
    inside = usable[everyone.codes]
    return inside if mask is None else inside & mask


def _learnt_from(data: AnnData | MuData, params: dict[str, Any], everyone: _store.Patients) -> np.ndarray:
    """Which patients the recipes were learnt on, (P,); where the recipes are gone, all that they may have been."""
    entry = data.uns.get(params["recipes_key"])
    if entry is not None and entry["params"]["mixture"] == params["mixture"]:
        table: pd.DataFrame = _store.in_memory(entry["patients"])
        learnt = table.index[table["label"].notna()].astype(str)
        return np.isin(everyone.names.astype(str), np.asarray(learnt, dtype=str))
    if params["mask_obs"] is None or not pool_is_recorded(data, params):
        return everyone.labelled
    inside = everyone.codes[_store.read_mask(data, params["mask_obs"])]
    return np.bincount(inside, minlength=len(everyone.names)) > 0
