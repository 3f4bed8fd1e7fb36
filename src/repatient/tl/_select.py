from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient.tl._patient_classifier import PatientClassifier

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.mil import Bags

_MEASURES = ("entropy", "epistemic", "margin", "random")
_KEEP = ("low", "high", "band", "correct", "all")
_N_RANGES = 5


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

        Where values are predicted, ``"entropy"`` is the predictive standard deviation and ``"epistemic"`` that of the
        means of the passes, both in the unit of the values; there is no margin.
    keep
        ``"low"`` or ``"high"`` uncertainty; ``"band"``, the middle; ``"correct"``, the patients predicted as their label,
        which values have no sense of; ``"all"``.
    fraction
        Share of the patients of each class, or of each fifth of the values, that ``"low"``, ``"high"`` and ``"band"``
        keep, at least one.
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
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If their mixture was refitted since, the embedding is not that of the model, the patients have another outcome
        than the model, or ``by`` or ``keep`` needs classes and values are predicted.

    Examples
    --------
    %(example_generated)s
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean", generated_key="generated")
    >>> rp.tl.select(adata, model, keep="low", fraction=0.5)
    >>> adata.uns["generated"]["patients"]["selected"].sum()
    np.int64(4)
    """
    _store.check_data(data, copy=copy)
    check_option(by, "by", _MEASURES)
    check_option(keep, "keep", _KEEP)
    check_number(fraction, "fraction", above=0, maximum=1)
    check_integer(random_state, "random_state", minimum=0)
    models = _check_models(model)
    judge = _judge_classes
    if models[0].outcome == "continuous":
        _check_of_values(by, keep)
        judge = _judge_values
    drawn = _store.read_generated(data, generated_key)
    drawn.check_outcome(models[0].outcome)
    bags = [drawn.bags(one.read_embedding(data), one.use_rep) for one in models]
    uncertainty, predicted = judge(models, bags, by, n_passes, random_state)
    labels, strata = drawn.labels, _strata_of(drawn.labels)
    if by == "random":
        uncertainty = np.random.default_rng(random_state).random(len(labels))
    if keep == "correct":
        selected = np.asarray(predicted).astype(str) == labels
    elif keep == "all":
        selected = np.ones(len(labels), dtype=bool)
    else:
        selected = _within(strata, uncertainty, keep, fraction)

    data = data.copy() if copy else data
    table = drawn.table.copy()
    table["uncertainty"] = uncertainty
    table["predicted"] = predicted
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
    if len({one.outcome for one in models}) > 1:
        msg = f"`model`: the models have different outcomes: {listed(one.outcome for one in models)}."
        raise ValueError(msg)
    if any(one.classes != models[0].classes for one in models):
        msg = f"`model`: the models have different classes: {listed(one.classes for one in models)}."
        raise ValueError(msg)
    return models


def _judge_classes(
    models: list[PatientClassifier], bags: list[Bags], by: str, n_passes: int | None, random_state: int
) -> tuple[np.ndarray, Any]:
    """Uncertainty and predicted class of every generated patient, over all passes of all models."""
    from repatient.mil import epistemic, margin, total_entropy

    passes = np.concatenate(
        [
            one.classifier.predict_proba_mc(some, n_passes=n_passes, random_state=random_state)
            for one, some in zip(models, bags, strict=True)
        ]
    )
    measures = {"entropy": total_entropy, "epistemic": epistemic, "margin": margin, "random": total_entropy}
    codes, ordered = passes.mean(axis=0).argmax(axis=1), models[0].outcome == "ordinal"
    return measures[by](passes), pd.Categorical.from_codes(codes, models[0].classes, ordered=ordered)


def _within(strata: np.ndarray, uncertainty: np.ndarray, keep: str, fraction: float) -> np.ndarray:
    """Which patients to keep: a share of each stratum, at the low or high end or in the middle of the ranks."""
    selected = np.zeros(len(strata), dtype=bool)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        ranked = members[np.argsort(uncertainty[members], kind="stable")]
        number = max(1, round(fraction * len(ranked)))
        start = {"low": 0, "high": len(ranked) - number, "band": (len(ranked) - number) // 2}[keep]
        selected[ranked[start : start + number]] = True
    return selected


def _check_of_values(by: str, keep: str) -> None:
    """Refuse what needs classes."""
    if keep == "correct":
        msg = (
            "`keep='correct'` keeps the patients predicted as their label, which a predicted value is never exactly; use "
            "'low', 'high', 'band' or 'all'."
        )
        raise ValueError(msg)
    if by == "margin":
        msg = "`by='margin'` compares two classes, and values have none; use 'entropy' (the predictive sd) or 'epistemic'."
        raise ValueError(msg)


def _judge_values(
    models: list[PatientClassifier], bags: list[Bags], by: str, n_passes: int | None, random_state: int
) -> tuple[np.ndarray, Any]:
    """Standard deviation and mean of the value of every generated patient, over all passes of all models."""
    from repatient.mil import predictive_sd

    passes = [
        one.classifier.predict_mc(some, n_passes=n_passes, random_state=random_state)
        for one, some in zip(models, bags, strict=True)
    ]
    means, sds = (np.concatenate(parts) for parts in zip(*passes, strict=True))
    sd = predictive_sd(means, sds)
    return sd.epistemic if by == "epistemic" else sd.total, means.mean(axis=0)


def _strata_of(labels: np.ndarray) -> np.ndarray:
    """What a share is kept of: each class, or each fifth of the values, as they rise."""
    if labels.dtype.kind != "f":
        return labels
    ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
    return ranks * _N_RANGES // len(labels)
