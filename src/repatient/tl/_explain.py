from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_key, check_option
from repatient._docs import shared_docs
from repatient._files._scratch import MEMORY_BUDGET
from repatient.tl._patient_classifier import PatientClassifier

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def explain(
    data: AnnData | MuData,
    model: PatientClassifier,
    *,
    of: str | None = None,
    by: str | None = None,
    patient_key: str | None = None,
    use_rep: str | None = None,
    check: str = "warn",
    gmm_key: str = _store.keys.GMM,
    memory_budget: int = MEMORY_BUDGET,
    key_added: str = _store.keys.EXPLANATION,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Say which cells and which components a patient's score comes from, of the training cohort or of new patients.

    The score of a patient is the model's intercept and what each cell contributes to it; the contributions of a component
    are those of its cells. Linear and cell-level models are such sums by themselves; a network is followed on the straight
    way from the mean training patient, so that its contributions sum up, too (integrated gradients
    :cite:p:`Sundararajan2017`).

    Parameters
    ----------
    %(data)s
    model
        What :func:`repatient.tl.mil` returned.
    of
        Class or grade whose score is explained. ``None``: of two classes the second, of more the one that a patient is
        predicted as.
    by
        Column of ``obs`` with what contributions are added up over, such as cell types. ``None``: the components of the
        mixture, under their names (:func:`repatient.tl.name_components`).
    patient_key, use_rep, check
        As for :meth:`repatient.tl.PatientClassifier.predict`.
    gmm_key
        The mixture; new patients find their components by :func:`repatient.tl.assign`.
    %(memory_budget)s
    key_added
        Key under which the results are stored.
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obs[f"{key_added}_contribution"]``
        What each cell adds to its patient's score, float32.
    ``uns[key_added]``
        ``params``; ``components``, a table of patients × components (or groups of ``by``) with their contributions;
        ``scores``, a table with ``of``, ``intercept`` and ``score`` of each patient: a row of ``components`` and the
        intercept sum to the score; and ``names``, of the columns of ``components`` as they are written in figures.

    Raises
    ------
    KeyError
        If there is no such column, embedding or mixture.
    TypeError
        If ``model`` is no model of patients.
    ValueError
        If ``of`` is no class, or the patients are not of the kind that the model was trained on.

    See Also
    --------
    repatient.pl.contributions : Draw the contributions of a patient.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, truth = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean")
    >>> rp.tl.explain(adata, model, by="state")
    >>> adata.uns["explanation"]["components"].shape
    (12, 7)
    """
    from repatient.mil import Bags, sharing

    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    if not isinstance(model, PatientClassifier):
        msg = f"`model` is what `rp.tl.mil` returned, not {type(model).__name__}."
        raise TypeError(msg)
    if of is not None:
        check_option(of, "of", model.classes)
    codes, names = _groups(data, by, gmm_key)
    patients = _store.read_patients(data, model.patient_key if patient_key is None else patient_key)
    embedding = model.read_embedding(data, use_rep, check=check != "none", memory_budget=memory_budget)
    model.check_familiar(embedding, patients, check=check)
    bags = Bags.from_codes(embedding, patients.codes, len(patients.names))

    predictor = model.classifier
    with sharing():
        contributions, scores = predictor.contributions(bags), predictor.decision_function(bags)
    column, sign, whose = _explained(model, bags, scores, of)
    bag = np.repeat(np.arange(len(bags)), bags.sizes)
    values = sign * contributions[np.arange(len(bag)), column[bag]]
    of_cells = np.zeros(data.n_obs)
    of_cells[bags.rows] = values
    table = np.bincount(
        patients.codes * len(names) + codes, of_cells, minlength=len(patients.names) * len(names)
    ).reshape(-1, len(names))
    index = pd.Index(patients.names.astype(str), name="patient")
    params = _store.record(
        of=of, by=by, gmm_key=gmm_key, patient_key=patient_key or model.patient_key, use_rep=use_rep or model.use_rep
    )
    rows = np.arange(len(index))
    data = data.copy() if copy else data
    data.obs[_store.keys.contribution(key_added)] = of_cells.astype(np.float32)
    data.uns[key_added] = {
        "params": params,
        "components": pd.DataFrame(table, index=index, columns=[_as_column(name) for name in names]),
        "scores": pd.DataFrame(
            {
                "of": whose,
                "intercept": sign * np.asarray(predictor.intercept_)[column],
                "score": sign * scores[rows, column],
            },
            index=index,
        ),
        "names": np.array(names, dtype=object),
    }
    return data if copy else None


def _groups(data: AnnData | MuData, by: str | None, gmm_key: str) -> tuple[np.ndarray, list[str]]:
    """Group of each cell, and their names."""
    if by is None:
        codes, n_components = _store.read_components(data, gmm_key)
        names = _store.component_names(data, gmm_key)
        return codes, [names.get(str(k), str(k)) for k in range(n_components)]
    categories = _store.as_categories(_store.obs_column(data, by, "by"), "by").remove_unused_categories()
    codes, names_ = np.asarray(categories.codes, dtype=np.int64), [str(name) for name in categories.categories]
    # Cells of no group are one of their own.
    return np.where(codes < 0, len(names_), codes), [*names_, *(["(none)"] if (codes < 0).any() else [])]


def _explained(
    model: PatientClassifier, bags: Any, scores: np.ndarray, of: str | None
) -> tuple[np.ndarray, float, list[str]]:
    """Column of the scores that is explained for each patient, its sign, and whose it is."""
    n_bags, n_scores = scores.shape
    if model.outcome == "class" and n_scores > 1:
        if of is not None:
            column = np.full(n_bags, model.classes.index(of))
        elif n_scores == len(model.classes) == 2:
            column = np.ones(n_bags, dtype=np.int64)
        else:
            column = model.classifier.predict_proba(bags).argmax(axis=1)
        return column, 1.0, [model.classes[k] for k in column]
    column = np.zeros(n_bags, dtype=np.int64)
    if model.outcome == "class":
        first = of == model.classes[0]
        return column, -1.0 if first else 1.0, [model.classes[0 if first else -1]] * n_bags
    if n_scores > 1:
        at = model.classes.index(of) if of is not None else n_scores - 1
        return column + at, 1.0, [model.classes[at]] * n_bags
    if of is not None:
        msg = "`of`: this model has one score, of the grade or the value; leave `of` out."
        raise ValueError(msg)
    return column, 1.0, ["value" if model.outcome == "continuous" else "grade"] * n_bags


def _as_column(name: str) -> str:
    """A name as h5ad and zarr take it for a column."""
    return name.replace("/", "|")
