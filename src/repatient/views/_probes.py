"""How much a representation says of labels: errors of simple readers on held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from repatient._threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

METRICS = ("linear", "linear_few", "knn")
PENALTIES = np.logspace(-1, 5, 13)
NEIGHBOURS = 15
DRAWS = 10


def probe_errors(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    *,
    n_labels: int = 50,
    random_state: int = 0,
) -> dict[str, float]:
    """Errors of a linear probe with all and with few labels, and of nearest neighbours.

    Features are standardised by the training rows. The linear probe is a ridge classifier whose penalty is chosen, for
    every representation on its own, by leave-one-out on the labelled training rows.

    Parameters
    ----------
    train, test
        Representations (n, ...), flattened.
    train_labels, test_labels
        Class of each row.
    n_labels
        Labelled rows of the probe with few labels, equally many a class, at least two; the error is the mean of 10
        draws, which are the same for all representations of the same rows.
    random_state
        Seed of these draws.

    Returns
    -------
    Shares of the test rows read wrongly: ``"linear"``, ``"linear_few"`` and ``"knn"`` (15 neighbours).
    """
    y, y_test = np.asarray(train_labels), np.asarray(test_labels)
    X, X_test = _standardised(train, test)
    rng = np.random.default_rng(random_state)
    with one_thread():
        few = [_linear_error(X[of], y[of], X_test, y_test) for of in _draws(y, n_labels, rng)]
        neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(X))).fit(X, y)
        return {
            "linear": _linear_error(X, y, X_test, y_test),
            "linear_few": float(np.mean(few)),
            "knn": float(np.mean(neighbours.predict(X_test) != y_test)),
        }


def linear_mistakes(
    train: ArrayLike, train_labels: ArrayLike, test: ArrayLike, test_labels: ArrayLike
) -> NDArray[np.bool_]:
    """Which test rows the linear probe of :func:`probe_errors` reads wrongly, from all labels."""
    X, X_test = _standardised(train, test)
    with one_thread():
        probe = RidgeClassifierCV(alphas=PENALTIES).fit(X, np.asarray(train_labels))
    return np.asarray(probe.predict(X_test) != np.asarray(test_labels))


def _standardised(train: ArrayLike, test: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scaler = StandardScaler().fit(_flat(train))
    # A constant feature leaves rounding errors behind, which scaling must not blow up.
    X, X_test = (np.clip(scaler.transform(_flat(rows)), -10.0, 10.0) for rows in (train, test))
    return X, X_test


def _flat(rows: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(rows, dtype=np.float64)
    return values.reshape(len(values), -1)


def _draws(y: NDArray[np.generic], n_labels: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows with a label in each draw."""
    classes = np.unique(y)
    of_each = max(n_labels // len(classes), 2)
    members = [np.flatnonzero(y == name) for name in classes]
    return [np.concatenate([rng.permutation(rows)[:of_each] for rows in members]) for _ in range(DRAWS)]


def _linear_error(
    X: NDArray[np.float64], y: NDArray[np.generic], X_test: NDArray[np.float64], y_test: NDArray[np.generic]
) -> float:
    probe = RidgeClassifierCV(alphas=PENALTIES).fit(X, y)
    return float(np.mean(probe.predict(X_test) != y_test))
