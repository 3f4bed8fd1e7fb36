"""How well class probabilities agree with the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("auroc", "balanced_accuracy", "macro_f1", "brier")


def score(y: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Measure the predictions of some patients.

    Parameters
    ----------
    y
        Class of each patient, from 0, (patients,). Every class has a patient.
    probabilities
        Probability of each class, (patients, classes), rows summing to 1.

    Returns
    -------
    ``auroc`` (of two classes the usual one, of more the mean over the classes, each against all others),
    ``balanced_accuracy``, ``macro_f1`` (0 for a class that is never predicted) and ``brier`` (mean squared error of the
    probability of the second class; of more than two classes the sum of the squared errors over the classes, from 0 to 2).

    Raises
    ------
    ValueError
        If a class has no patient: its part of the measures is not defined.
    """
    n_classes = probabilities.shape[1]
    actual = y[:, None] == np.arange(n_classes)
    if not actual.any(axis=0).all():
        msg = f"y: every one of the {n_classes} classes needs a patient, found {np.bincount(y, minlength=n_classes).tolist()}."
        raise ValueError(msg)
    predicted = probabilities.argmax(axis=1)[:, None] == np.arange(n_classes)
    correct = (actual & predicted).sum(axis=0)
    squares = ((probabilities - actual) ** 2).sum(axis=1).mean()
    return {
        "auroc": _auroc(actual, probabilities),
        "balanced_accuracy": float((correct / actual.sum(axis=0)).mean()),
        "macro_f1": float((2 * correct / (actual.sum(axis=0) + predicted.sum(axis=0))).mean()),
        "brier": float(squares / 2 if n_classes == 2 else squares),
    }


def _auroc(actual: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    """Area under the receiver operating characteristic by ranks, ties counting half (Hanley and McNeil 1982)."""
    shown = slice(1, 2) if actual.shape[1] == 2 else slice(None)
    actual, ranks = actual[:, shown], rankdata(probabilities[:, shown], axis=0)
    positive = actual.sum(axis=0)
    negative = len(actual) - positive
    rank_sums = (ranks * actual).sum(axis=0)
    return float(((rank_sums - positive * (positive + 1) / 2) / (positive * negative)).mean())
