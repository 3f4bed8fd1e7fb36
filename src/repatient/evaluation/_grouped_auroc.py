"""How well a classifier tells two sets of patients apart, without seeing a donor in training and test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CLASSIFIERS = ("linear", "quadratic")
_MOST_FOLDS = 5
_LEAST_GROUPS = 3


class TooFewPatientsError(ValueError):
    """A measure cannot be computed from so few patients; the message says what it would need."""


def auroc(scores: NDArray[np.floating], y: NDArray[np.bool_]) -> float:
    """Share of the pairs, one of either kind, that the scores put in the right order; ties count half.

    Parameters
    ----------
    scores
        Higher for what should be ``True``, (n,).
    y
        Which patients are of the kind, (n,); both kinds occur.

    Returns
    -------
    The area under the receiver operating characteristic.
    """
    n_positive = int(y.sum())
    rank_sum = rankdata(scores)[y].sum() - n_positive * (n_positive + 1) / 2
    return float(rank_sum / (n_positive * (len(y) - n_positive)))


def grouped_auroc(
    X: NDArray[np.floating],
    y: NDArray[np.bool_],
    groups: NDArray[Any],
    *,
    classifier: str = "linear",
    n_repeats: int = 3,
    random_state: int = 0,
) -> float:
    """Cross-validated AUROC over folds that keep every group together.

    Parameters
    ----------
    X
        Patients by features, (n, d).
    y
        Which of the patients are to be told from the others, (n,).
    groups
        Donor of each patient, (n,), of whom all patients are in one fold.
    classifier
        ``"linear"``, a ridge regression of the label on standardised features, which is a shrunken linear discriminant;
        or ``"quadratic"``, the same with the squares of the features as well, which also sees that one set is less
        spread out than the other. The two sets weigh the same, however large they are.
    n_repeats
        Partitions into folds to average over.
    random_state
        Seed of the folds.

    Returns
    -------
    Mean of the AUROC of the test folds that have both kinds, each weighted by its pairs; .5 where they cannot be told
    apart.

    Raises
    ------
    TooFewPatientsError
        If one of the two sets has fewer than 3 groups, or no fold has both in its training and in its test part.
    ValueError
        If the classifier is unknown.
    """
    if classifier not in CLASSIFIERS:
        msg = f"`classifier` is one of {list(CLASSIFIERS)}, not {classifier!r}."
        raise ValueError(msg)
    n_groups = min(len(np.unique(groups[y])), len(np.unique(groups[~y])))
    if n_groups < _LEAST_GROUPS:
        msg = f"cross-validation needs {_LEAST_GROUPS} donors on either side, found {n_groups}"
        raise TooFewPatientsError(msg)
    values, weights = [], []
    with one_thread():
        for train, test in _folds(y, groups, min(_MOST_FOLDS, n_groups), n_repeats, random_state):
            features = _standardised(X, train, y)
            if classifier == "quadratic":
                features = _standardised(np.hstack([features, features**2]), train, y)
            values.append(auroc(_ridge_scores(features, train, y)[test], y[test]))
            weights.append(y[test].sum() * (~y[test]).sum())
    if not values:
        msg = "cross-validation found no fold with patients of both sides in its training and its test part"
        raise TooFewPatientsError(msg)
    return float(np.average(values, weights=weights))


def _folds(
    y: NDArray[np.bool_], groups: NDArray[Any], n_folds: int, n_repeats: int, random_state: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and test patients of the folds that have both kinds in either part."""
    _, codes = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(random_state)
    for _ in range(n_repeats):
        folds = _deal(codes, y, n_folds, rng)[codes]
        for fold in range(n_folds):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            if 0 < y[train].sum() < len(train) and 0 < y[test].sum() < len(test):
                yield train, test


def _deal(codes: NDArray[np.int64], y: NDArray[np.bool_], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each group: dealt in turn, so that every fold gets its share of the groups of either kind."""
    sizes, positives = np.bincount(codes), np.bincount(codes, weights=y)
    # Groups of both kinds stand between those of one, and so continue the turn of either.
    kind = (positives == 0).astype(int) - (positives == sizes)
    order = np.lexsort((rng.random(len(sizes)), -sizes, kind))
    folds = np.empty(len(sizes), dtype=np.int64)
    folds[order] = np.arange(len(sizes)) % n_folds
    return folds


def _balanced_weights(y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights by which both kinds count half, summing to one."""
    return np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())


def _standardised(X: NDArray[np.floating], train: NDArray[np.int64], y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Features with mean 0 and variance 1 over the training patients; those that are constant there become 0."""
    weights = _balanced_weights(y[train])[:, None]
    centre = (weights * X[train]).sum(axis=0)
    spread = np.sqrt((weights * (X[train] - centre) ** 2).sum(axis=0))
    # Rounding must not make something of a feature that carries nothing.
    spread[spread <= 1e-9 * np.abs(X[train]).max(axis=0)] = np.inf
    return (X - centre) / spread


def _ridge_scores(Z: NDArray[np.float64], train: NDArray[np.int64], y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Predictions of a ridge regression whose penalty is as large as the noise of so many features in so few patients."""
    weighted = _balanced_weights(y[train])[:, None] * Z[train]
    penalty = Z.shape[1] / len(train)
    gram = weighted.T @ Z[train] + penalty * np.eye(Z.shape[1])
    return Z @ np.linalg.solve(gram, weighted.T @ np.where(y[train], 0.5, -0.5))
