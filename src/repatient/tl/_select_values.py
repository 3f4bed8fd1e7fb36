"""How uncertain models of values are of generated patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from repatient.mil import Bags
    from repatient.tl._patient_classifier import PatientClassifier

N_RANGES = 5


def check_of_values(by: str, keep: str) -> Callable[..., tuple[np.ndarray, Any]]:
    """Refuse what needs classes; returns what judges patients with values."""
    if keep == "correct":
        msg = (
            "`keep='correct'` keeps the patients predicted as their label, which a predicted value is never exactly; use "
            "'low', 'high', 'band' or 'all'."
        )
        raise ValueError(msg)
    if by == "margin":
        msg = "`by='margin'` compares two classes, and values have none; use 'entropy' (the predictive sd) or 'epistemic'."
        raise ValueError(msg)
    return _judge_values


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


def strata_of(labels: np.ndarray) -> np.ndarray:
    """What a share is kept of: each class, or each fifth of the values, as they rise."""
    if labels.dtype.kind != "f":
        return labels.astype(str)
    ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
    return ranks * N_RANGES // len(labels)
