"""Who is who in an audit: real patients of the pool, known and held out, and generated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient import _store
from repatient._checks import name_of
from repatient.evaluation.audit import HELD_OUT, KNOWN, POOL, GeneratedPatients, RealPatients
from repatient.tl._generate_inputs import pool_class

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def generated_patients(data: AnnData | MuData, generated: _store.Generated) -> GeneratedPatients:
    """Generated patients as arrays; points are assigned to components as real cells are."""
    labels, params = generated.labels, generated.params
    if _store.is_continuous(params):
        labels = np.full(len(generated), params["label_key"])
    points = generated.points
    return GeneratedPatients(
        counts=sp.csc_array(generated.counts),
        labels=labels,
        names=generated.table.index.to_numpy(dtype=str),
        points=points,
        components=None if points is None else _assigned(points, data.uns[params["gmm_key"]]),
    )


def _assigned(points: np.ndarray, mixture: dict[str, Any]) -> np.ndarray:
    """Most probable component of points, as real cells are assigned."""
    from repatient.mixture import GaussianMixture

    parameters = (mixture["weights"], mixture["means"], mixture["covariances"])
    model = GaussianMixture.from_parameters(*parameters, covariance_type=str(mixture["params"]["covariance_type"]))
    return model.predict(points)


def read_real_patients(data: AnnData | MuData, generated: _store.Generated) -> RealPatients:
    """Labelled patients by what they were to the generated ones; of those of the pool, the cells that could be drawn."""
    params = generated.params
    everyone = _read(data, params)
    pool = _pool_cells(data, everyone, generated)
    in_pool = np.bincount(everyone.codes[pool & (everyone.codes >= 0)], minlength=len(everyone.names)) > 0
    seen = in_pool | _learnt_from(data, params, everyone)
    known = np.isin(everyone.donors, everyone.donors[seen])
    roles = np.where(in_pool, POOL, np.where(known, KNOWN, HELD_OUT))[everyone.labelled]
    cells = (pool | ~_of_cells(in_pool, everyone)) & _of_cells(everyone.labelled, everyone)
    if not cells.any():
        msg = f"`generated_key`: no real patient has a label in {params['label_key']!r} to compare the generated ones with."
        raise ValueError(msg)
    return _as_arrays(_read(data, params, cells), roles)


def patients_of(data: AnnData | MuData, mask: np.ndarray, real: RealPatients, params: dict[str, Any]) -> RealPatients:
    """Labelled patients whose cells are in a mask, with those cells alone."""
    patients = _read(data, params, mask)
    if not patients.labelled.any():
        msg = f"`mask_obs`: none of its {len(patients.names)} patients has a label in {params['label_key']!r}."
        raise ValueError(msg)
    if not patients.labelled.all():
        return patients_of(data, mask & patients.labelled[patients.codes], real, params)
    of_name = dict(zip(real.names, real.roles, strict=True))
    return _as_arrays(patients, np.array([of_name[name] for name in patients.names]))


def _as_arrays(patients: _store.Patients, roles: np.ndarray) -> RealPatients:
    return RealPatients(patients.names, patients.labels, patients.donors, patients.classes, patients.codes, roles)


def _read(data: AnnData | MuData, params: dict[str, Any], mask: np.ndarray | None = None) -> _store.Patients:
    return _store.read_classed_patients(data, params, _store.real_cells(data, mask, quiet=True))


def pool_is_recorded(data: AnnData | MuData, params: dict[str, Any]) -> bool:
    """Whether the cells that could be drawn are known, or only those that were."""
    return params["mask_obs"] is None or params["mask_obs"] in data.obs


def _pool_cells(data: AnnData | MuData, everyone: _store.Patients, generated: _store.Generated) -> np.ndarray:
    """Cells that could be drawn for some generated patient, (n_obs,); for points of Gaussians, those learnt from."""
    params = generated.params
    if not pool_is_recorded(data, params) and generated.points is not None:
        return _of_cells(_learnt_from(data, params, everyone), everyone)
    if not pool_is_recorded(data, params):
        # Whole patients: a cell that was not drawn may have been left out by chance.
        drawn = np.unique(everyone.codes[np.unique(generated.counts.indices)])
        return np.isin(everyone.codes, drawn[drawn >= 0])
    mask = _store.read_mask(data, params["mask_obs"])
    pool = pool_class(params["pool"])
    usable = everyone.labelled
    if pool is not None or params["pool"] == "same":
        names = list(generated.labels) if pool is None else [str(name_of(pool, everyone.classes))]
        usable = usable & np.isin(everyone.labels.astype(str), names)
    inside = _of_cells(usable, everyone)
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
    return np.bincount(inside[inside >= 0], minlength=len(everyone.names)) > 0


def _of_cells(of_patients: np.ndarray, patients: _store.Patients) -> np.ndarray:
    """What is so of each cell's patient; not so of cells of none, those of generated patients, (n_obs,)."""
    return np.append(of_patients, False)[patients.codes]
