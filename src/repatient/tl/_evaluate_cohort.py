"""The patients of an evaluation, read from one object or from two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient import _store
from repatient._checks import listed, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.evaluation import Cohort


@dataclass(frozen=True)
class Keys:
    """Columns of ``obs``."""

    patient_key: str
    label_key: str
    donor_key: str | None
    missing_values: Sequence[Any] | None = None


class Named(NamedTuple):
    """Patients as arrays, and their names."""

    cohort: Cohort
    names: NDArray[np.str_]


@dataclass(frozen=True)
class _Part:
    """Labelled patients of one cohort, with their cells in the whole array."""

    X: NDArray[Any]
    codes: NDArray[np.int64]
    labels: NDArray[np.str_]
    donors: NDArray[np.str_]
    names: NDArray[np.str_]
    classes: list[str]


def read_cohort(data: AnnData | MuData, keys: Keys, use_rep: str, mask: NDArray[np.bool_] | None) -> Named:
    """The labelled patients of one cohort."""
    return _joined(_part(data, keys, use_rep, mask), None)


def read_cohorts(
    data: AnnData | MuData,
    keys: Keys,
    use_rep: str,
    mask: NDArray[np.bool_] | None,
    *,
    cohort_key: str | None,
    target: str | None,
    reference: AnnData | MuData | None,
) -> Named:
    """The labelled patients of a target cohort and of another one, in the same object or in ``reference``."""
    if (cohort_key is None) == (reference is None):
        msg = (
            "`reference`: what another cohort knows, as of a missing class, comes from one other cohort: pass either "
            "`cohort_key`, a column that tells the cohorts apart, or `reference`, an object of its own."
        )
        raise ValueError(msg)
    if reference is not None:
        _store.check_data(reference)
        origins = _store.read_projection(data, use_rep), _store.read_projection(reference, use_rep)
        if len({origin.fingerprint for origin in origins if origin is not None}) > 1:
            msg = (
                f"`reference`: its embedding {use_rep!r} comes from other steps than that of `data`; bring the cells of one "
                "into the embedding of the other with `rp.pp.project`."
            )
            raise ValueError(msg)
        own = _part(data, keys, use_rep, mask)
        other = _part(reference, keys, _store.read_embedding(reference, use_rep)[1], None)
        if other.X.shape[1] != own.X.shape[1]:
            msg = (
                f"`reference`: its embedding {use_rep!r} has {other.X.shape[1]} dimensions and that of `data` "
                f"{own.X.shape[1]}; both cohorts need the embedding of one model."
            )
            raise ValueError(msg)
        return _joined(own, other)
    is_target = _is_target(data, str(cohort_key), target)
    inside = np.ones(data.n_obs, dtype=bool) if mask is None else mask
    if not (inside & ~is_target).any():
        msg = f"`cohort_key`: all cells of {cohort_key!r} are of one cohort; there is none to learn the recipe from."
        raise ValueError(msg)
    return _joined(_part(data, keys, use_rep, inside & is_target), _part(data, keys, use_rep, inside & ~is_target))


def _is_target(data: AnnData | MuData, cohort_key: str, target: str | None) -> NDArray[np.bool_]:
    column = _store.as_categories(_store.obs_column(data, cohort_key, "cohort_key"), "cohort_key")
    cohorts = list(column.categories)
    found = cohorts[0] if target is None else name_of(target, cohorts)
    if found is None:
        msg = f"`target`: no cohort {target!r} in {cohort_key!r}; there are {listed(cohorts)}."
        raise ValueError(msg)
    return np.asarray(column.codes == cohorts.index(found))


def _part(data: AnnData | MuData, keys: Keys, use_rep: str, mask: NDArray[np.bool_] | None) -> _Part:
    names = (keys.patient_key, keys.label_key, keys.donor_key, mask)
    patients = _store.read_patients(data, *names, missing_values=keys.missing_values, strict=True)
    X, _ = _store.read_embedding(data, use_rep, patient_key=keys.patient_key)
    # The others are left out: nothing can be learnt from them, and nothing measured.
    place = np.append(np.where(patients.labelled, np.cumsum(patients.labelled) - 1, -1), -1)
    return _Part(
        X=X,
        codes=place[patients.codes],
        labels=patients.labels[patients.labelled].astype(str),
        donors=patients.donors[patients.labelled].astype(str),
        names=patients.names[patients.labelled].astype(str),
        # In the order in which a model has them, which first weights depend on.
        classes=sorted(patients.classes),
    )


def _joined(own: _Part, other: _Part | None) -> Named:
    """The patients of the own cohort, then those of the other of the same classes; donors are known by their names."""
    from repatient.evaluation import Cohort

    if len(own.classes) < 2:
        msg = f"`label_key`: the classes of the patients to split are {listed(own.classes)}; two are needed."
        raise ValueError(msg)
    X, codes, labels, donors, names = own.X, own.codes, own.labels, own.donors, own.names
    if other is not None:
        known = np.isin(other.labels, own.classes)
        place = np.append(np.where(known, len(labels) + np.cumsum(known) - 1, -1), -1)
        if other.X is own.X:
            codes = np.where(other.codes >= 0, place[other.codes], codes)
        else:
            X, codes = np.concatenate([X, other.X]), np.concatenate([codes, place[other.codes]])
        labels = np.concatenate([labels, other.labels[known]])
        donors = np.concatenate([donors, other.donors[known]])
        names = np.concatenate([names, other.names[known]])
    cohort = Cohort(
        X=X,
        codes=codes,
        y=np.array([own.classes.index(label) for label in labels]),
        donors=np.unique(donors, return_inverse=True)[1],
        classes=tuple(own.classes),
        is_external=np.arange(len(labels)) >= len(own.labels),
    )
    return Named(cohort, names)
