from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._docs import shared_docs
from repatient.tl._patient_classifier import PatientClassifier

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_MEASURES = ("entropy", "epistemic", "margin", "random")
_KEEP = ("low", "high", "band", "correct", "all")


@shared_docs
def select(
    data: AnnData | MuData,
    model: PatientClassifier | Sequence[PatientClassifier],
    *,
    by: str = "entropy",
    keep: str = "low",
    fraction: float = 0.5,
    n_passes: int | None = None,
    generated_key: str = _store.keys.GENERATED,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Select generated patients by how uncertain a model is of them.

    The cells are encoded once, whatever the number of generated patients and of dropout passes. Selection is made
    within each class, so that it does not change the balance of the classes. A gain from selected patients counts
    only against as many patients selected at random (``by="random"``).

    Parameters
    ----------
    %(data)s
    model
        What :func:`repatient.tl.mil` returned, or several of these as an ensemble.
    by
        Measure of the uncertainty, from the class probabilities p of Monte-Carlo dropout passes :cite:p:`Gal2016` of
        all models:

        ``"entropy"``
            Entropy of the mean of p, in nats: all uncertainty.
        ``"epistemic"``
            That entropy less the mean of the entropies, in nats: what the passes disagree on :cite:p:`Houlsby2011`.
        ``"margin"``
            One less the difference of the two largest means of p.
        ``"random"``
            A random number: the control.
    keep
        ``"low"`` or ``"high"`` uncertainty; ``"band"``, the middle; ``"correct"``, the patients predicted as their label;
        ``"all"``.
    fraction
        Share of each class's patients that ``"low"``, ``"high"`` and ``"band"`` keep, at least one.
    n_passes
        Dropout passes of each model. ``None``: as trained.
    %(generated_key)s
    %(random_state)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are the columns ``uncertainty``, ``predicted`` and ``selected`` of
    ``uns[generated_key]["patients"]``, and the parameters in ``uns[generated_key]["selection"]``.
    :func:`repatient.tl.mil` and :func:`repatient.get.augmented` then take the selected patients.

    Raises
    ------
    KeyError
        If there are no generated patients.
    ValueError
        If their mixture was refitted since, or the embedding is not that of the model.
    """
    _store.check_data(data)
    _store.check_option(by, "by", _MEASURES)
    _store.check_option(keep, "keep", _KEEP)
    _store.check_share(fraction, "fraction")
    _store.check_integer(random_state, "random_state", minimum=0)
    models = _check_models(model)
    counts, table = _store.read_generated(data, generated_key)
    passes = _passes(data, models, counts, n_passes, random_state)
    mean = passes.mean(axis=0)
    classes = np.array(models[0].classes)
    predicted = classes[mean.argmax(axis=1)]
    uncertainty = _uncertainty(passes, by, random_state)
    labels = table["label"].to_numpy(dtype=str)
    if keep == "correct":
        selected = predicted == labels
    elif keep == "all":
        selected = np.ones(len(labels), dtype=bool)
    else:
        selected = _within_classes(uncertainty, labels, keep, fraction)

    data = data.copy() if copy else data
    table = table.copy()
    table["uncertainty"] = uncertainty
    table["predicted"] = pd.Categorical(predicted, categories=models[0].classes)
    table["selected"] = selected
    entry = dict(data.uns[generated_key])
    entry["patients"] = table
    entry["selection"] = _store.record(
        by=by, keep=keep, fraction=fraction, n_passes=n_passes, n_models=len(models), random_state=random_state
    )
    data.uns[generated_key] = entry
    return data if copy else None


def _check_models(model: Any) -> list[PatientClassifier]:
    models = [model] if isinstance(model, PatientClassifier) else list(model) if isinstance(model, Sequence) else []
    if not models or not all(isinstance(one, PatientClassifier) for one in models):
        msg = f"`model` is what `rp.tl.mil` returned, or a list of these, not {type(model).__name__}."
        raise TypeError(msg)
    if any(one.classes != models[0].classes for one in models):
        msg = f"`model`: the models have different classes: {_store.listed(one.classes for one in models)}."
        raise ValueError(msg)
    return models


def _passes(
    data: AnnData | MuData, models: list[PatientClassifier], counts: Any, n_passes: int | None, random_state: int
) -> np.ndarray:
    """Class probabilities of every pass of every model, (passes, generated patients, classes)."""
    from repatient.mil import Bags

    return np.concatenate(
        [
            one.classifier.predict_proba_mc(
                Bags.from_counts(one.read_embedding(data), counts), n_passes=n_passes, random_state=random_state
            )
            for one in models
        ]
    )


def _uncertainty(passes: np.ndarray, by: str, random_state: int) -> np.ndarray:
    from repatient.mil import epistemic, margin, total_entropy

    if by == "random":
        return np.random.default_rng(random_state).random((passes.shape[1],))
    measures = {"entropy": total_entropy, "epistemic": epistemic, "margin": margin}
    return np.asarray(measures[by](passes))


def _within_classes(uncertainty: np.ndarray, labels: np.ndarray, keep: str, fraction: float) -> np.ndarray:
    """Which patients to keep: a share of each class, at the low or high end or in the middle of the ranks."""
    selected = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranked = members[np.argsort(uncertainty[members], kind="stable")]
        number = max(1, round(fraction * len(ranked)))
        start = {"low": 0, "high": len(ranked) - number, "band": (len(ranked) - number) // 2}[keep]
        selected[ranked[start : start + number]] = True
    return selected
