"""How well class probabilities agree with the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import rankdata

from repatient._checks import check_integer

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS = ("auroc", "balanced_accuracy", "macro_f1", "brier", "log_loss")
_LEAST = np.finfo(np.float64).eps


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
    ``balanced_accuracy``, ``macro_f1`` (0 for a class that is never predicted), ``brier`` (mean squared error of the
    probability of the second class; of more than two classes the sum of the squared errors over the classes, from 0 to 2)
    and ``log_loss`` (mean negative logarithm of the probability of the patient's own class, in nats, where a probability
    of 0 counts as 2.2e-16, as in scikit-learn).

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
        "log_loss": float(-np.log(probabilities[actual].clip(_LEAST, 1 - _LEAST)).mean()),
    }


class Reliability(NamedTuple):
    """What was predicted and what was seen, in bins of the predicted probability; bins without a prediction are left out.

    Parameters
    ----------
    counts
        Predictions in each bin, (bins,).
    predicted
        Their mean probability, (bins,).
    observed
        Share of them that came true, (bins,).
    bins
        Bin of each prediction as a position in the three, (predictions,).
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    bins: NDArray[np.int64]


def reliability(actual: NDArray[np.bool_], probability: NDArray[np.float64], *, n_bins: int = 10) -> Reliability:
    """Compare predicted probabilities with how often they came true.

    Parameters
    ----------
    actual
        Whether what was predicted is so, (predictions,).
    probability
        Predicted probability of it, (predictions,).
    n_bins
        Bins of equal width between 0 and 1, closed above.

    Returns
    -------
    Counts, mean probability and observed share of each bin that has a prediction.

    Raises
    ------
    TypeError, ValueError
        If ``n_bins`` is no integer of one or more.
    """
    check_integer(n_bins, "n_bins")
    edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    _, bins, counts = np.unique(np.searchsorted(edges, probability), return_inverse=True, return_counts=True)
    predicted = np.bincount(bins, np.asarray(probability, dtype=np.float64)) / counts
    return Reliability(counts, predicted, np.bincount(bins, np.asarray(actual, dtype=np.float64)) / counts, bins)


def calibration_error(y: NDArray[np.int64], probabilities: NDArray[np.float64], *, n_bins: int = 10) -> float:
    """Expected calibration error of pooled predictions: the mean gap between predicted and observed shares.

    Parameters
    ----------
    y
        Class of each prediction's patient, from 0, (predictions,).
    probabilities
        Probability of each class, (predictions, classes), rows summing to 1.
    n_bins
        Bins of equal width between 0 and 1.

    Returns
    -------
    The gap, weighted by the number of predictions in each bin, from 0 to 1: of two classes that of the second one's
    probability, of more the mean over the classes, each against all others.

    Raises
    ------
    TypeError, ValueError
        If there is no prediction, shapes do not agree, or ``n_bins`` is no integer of one or more.

    Notes
    -----
    It is an average over bins, hence biased upwards where bins hold few patients, and worth little below some forty of
    them. Pool the predictions of all splits; per split use ``brier`` and ``log_loss``.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), AAAI 29; class by class, Kull et al. (2019), NeurIPS 32.
    """
    y, probabilities = np.asarray(y), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or y.shape != probabilities.shape[:1] or not len(y):
        msg = f"`probabilities` has one row for each value of `y`, and there is one or more, not {probabilities.shape} and {y.shape}."
        raise ValueError(msg)
    n_classes = probabilities.shape[1]
    gaps = []
    for label in range(1, 2) if n_classes == 2 else range(n_classes):
        table = reliability(y == label, probabilities[:, label], n_bins=n_bins)
        gaps.append(np.average(np.abs(table.observed - table.predicted), weights=table.counts))
    return float(np.mean(gaps))


def _auroc(actual: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    """Area under the receiver operating characteristic by ranks, ties counting half (Hanley and McNeil 1982)."""
    shown = slice(1, 2) if actual.shape[1] == 2 else slice(None)
    actual, ranks = actual[:, shown], rankdata(probabilities[:, shown], axis=0)
    positive = actual.sum(axis=0)
    negative = len(actual) - positive
    rank_sums = (ranks * actual).sum(axis=0)
    return float(((rank_sums - positive * (positive + 1) / 2) / (positive * negative)).mean())
