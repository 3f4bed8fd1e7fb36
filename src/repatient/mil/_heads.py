"""From numbers of a patient to an outcome: L2 logistic, cumulative logit and ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, RidgeCV

from repatient.mil._outcomes import probabilities_of_grades
from repatient.mil._persistence import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

# Logit of a class that nobody is known of.
UNKNOWN = -30.0
# Directions in which coefficients are drawn for the uncertainty: those in which patients vary most.
MOST_DIRECTIONS = 64
SMALLEST_GAP = 1e-4
# Rows a feature from which on axes are those of the products of features, which are quicker and, of so many rows, as good.
_TALL = 2
# Penalties of ridge regression in units of the mean square of a patient.
STRENGTHS = np.logspace(-3, 3, 13)


@dataclass(frozen=True)
class Head:
    """A fitted linear model of standardised features.

    Parameters
    ----------
    outcome
        ``"class"``, ``"ordinal"`` or ``"continuous"``.
    arrays
        ``coef`` (p, K) and ``intercept`` (K,), with K scores: logits of the classes, or one score of the grade or the
        value; ``directions`` (G, r, p) and ``signs`` (G, K), along which the posterior of the coefficients has standard
        deviation 1 (Laplace's approximation, G independent groups); ``thresholds`` (grades - 1,), or ``noise`` (), the
        standard deviation of a value around its prediction.
    """

    outcome: str
    arrays: Mapping[str, Array]

    def scores(self, features: Array) -> NDArray[np.float64]:
        """Scores (B, K) of standardised features (B, p)."""
        return features @ self.arrays["coef"] + self.arrays["intercept"]

    def scores_of_passes(self, features: Array, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Scores under coefficients drawn from their posterior, (passes, B, K)."""
        coefs = self.coefs_of_passes(n_passes, rng)
        return np.einsum("bp,tpk->tbk", features, coefs, optimize=True) + self.arrays["intercept"]

    def coefs_of_passes(self, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Coefficients drawn from their posterior, (passes, p, K)."""
        directions = self.arrays["directions"]
        normal = rng.normal(size=(n_passes, *directions.shape[:2]))
        moved = np.einsum("tgr,grp,gk->tpk", normal, directions, self.arrays["signs"], optimize=True)
        return self.arrays["coef"] + moved


def stored_head(outcome: str, arrays: Mapping[str, Array], n_features: int, n_classes: int) -> Head:
    """A head of arrays that may be anything, for so many features, and classes or grades."""
    n_scores = n_classes if outcome == "class" else 1
    shapes: dict[str, tuple[int | None, ...]] = {"coef": (n_features, n_scores), "intercept": (n_scores,)}
    n_groups, rank = (arrays["directions"].shape + (0, 0))[:2]
    shapes |= {"directions": (n_groups, rank, n_features), "signs": (n_groups, n_scores)}
    if outcome != "class":
        shapes |= {"thresholds": (n_classes - 1,)} if outcome == "ordinal" else {"noise": ()}
    head = Head(outcome, {name: array_of(arrays, name, *shape) for name, shape in shapes.items()})
    if outcome == "ordinal" and np.any(np.diff(head.arrays["thresholds"]) <= 0):
        msg = f"'thresholds' rise from grade to grade, not {head.arrays['thresholds']}."
        raise ValueError(msg)
    return head


def probabilities(outcome: str, scores: Array, thresholds: Array | None = None) -> NDArray[np.float64]:
    """Probabilities (..., classes) of scores (..., K); of values, the values themselves (...)."""
    if outcome == "class":
        return softmax(scores, axis=-1)
    return probabilities_of_grades(thresholds - scores) if outcome == "ordinal" else scores[..., 0]


def fit_head(outcome: str, features: Array, mass: Array, values: Array, *, C: float) -> Head:
    """Fit to standardised features of patients.

    Parameters
    ----------
    outcome
        What is predicted.
    features
        Standardised, (patients, p).
    mass
        Weight of each patient as one of each class, grade or value, (patients, classes): soft labels times weights.
    values
        Value of each code, for a continuous outcome.
    C
        Inverse strength of the L2 penalty, as in scikit-learn; values find theirs by leaving patients out.
    """
    # All that is learnt lies in the span of the patients, which are often fewer than features.
    Z, basis = _rotated(features)
    fit = {"class": _fit_classes, "ordinal": _fit_grades, "continuous": _fit_values}[outcome]
    coef, directions, arrays = fit(Z, mass, values, C)
    n = directions.shape[2]
    arrays |= {"coef": basis.T @ coef, "directions": (directions @ basis[:n]).astype(np.float32)}
    return Head(outcome, arrays)


def _rotated(features: Array) -> tuple[Array, Array]:
    """Features along their principal axes, the longest first, and these axes (rank, p)."""
    n, p = features.shape
    if n < _TALL * p:
        u, s, basis = np.linalg.svd(features, full_matrices=False)
        Z = u * s
    else:
        basis = np.linalg.eigh(features.T @ features)[1].T[::-1]
        Z = features @ basis.T
        s = np.linalg.norm(Z, axis=0)
    kept = s > 1e-9 * max(s.max(initial=0.0), 1e-300)
    return Z[:, kept], basis[kept]


def _fit_classes(Z: Array, mass: Array, values: Array, C: float) -> tuple[Array, Array, dict[str, Array]]:
    del values
    patients, codes = np.nonzero(mass)
    n_classes, present = mass.shape[1], np.unique(codes)
    coef, intercept = np.zeros((Z.shape[1], n_classes)), np.full(n_classes, UNKNOWN)
    if Z.shape[1] == 0:
        # Patients that are all alike say no more than the shares of the classes.
        intercept[present] = np.log(mass.sum(axis=0)[present] / mass.sum())
        return coef, np.zeros((1, 0, 0)), {"intercept": intercept, "signs": np.zeros((1, n_classes))}
    model = LogisticRegression(C=C, tol=1e-6, max_iter=2000)
    model.fit(Z[patients], codes, sample_weight=mass[patients, codes])
    two = len(present) == 2
    # Half of the log-odds for each of two classes, so that both are told by logits.
    sign = np.array([-0.5, 0.5])
    coef[:, present] = model.coef_.T * sign if two else model.coef_.T
    intercept[present] = model.intercept_ * sign if two else model.intercept_
    p = softmax(Z @ coef + intercept, axis=1)[:, present]
    total, signs = mass.sum(axis=1), np.zeros((1 if two else len(present), n_classes))
    if two:
        signs[0, present] = sign
        curvatures = [total * p[:, 0] * p[:, 1]]
    else:
        signs[np.arange(len(present)), present] = 1.0
        curvatures = [total * q * (1 - q) for q in p.T]
    directions = np.stack([_directions(Z, curvature, C) for curvature in curvatures])
    return coef, directions, {"intercept": intercept, "signs": signs}


def _fit_grades(Z: Array, mass: Array, values: Array, C: float) -> tuple[Array, Array, dict[str, Array]]:
    """The cumulative logit model of McCullagh (1980), penalised as a logistic regression."""
    del values
    n = Z.shape[1]
    shares = (mass.sum(axis=0) + 1) / (mass.sum() + mass.shape[1])
    start = np.log(np.cumsum(shares)[:-1]) - np.log1p(-np.cumsum(shares)[:-1])

    def thresholds_of(theta: Array) -> Array:
        return np.cumsum(np.concatenate([theta[:1], np.exp(theta[1:])]))

    def loss(x: Array) -> tuple[float, Array]:
        w, theta = x[:n], x[n:]
        below = expit(thresholds_of(theta) - (Z @ w)[:, None])
        p = np.maximum(np.diff(below, axis=1, prepend=0.0, append=1.0), 1e-12)
        slope = below * (1 - below)
        ratio = mass / p
        of_score = (ratio * np.diff(slope, axis=1, prepend=0.0, append=0.0)).sum(axis=1)
        of_thresholds = -((ratio[:, :-1] - ratio[:, 1:]) * slope).sum(axis=0)
        # A threshold moves all that come after it.
        behind = np.cumsum(of_thresholds[::-1])[::-1]
        of_theta = behind * np.concatenate([[1.0], np.exp(theta[1:])])
        value = -(mass * np.log(p)).sum() + 0.5 * w @ w / C
        return value, np.concatenate([Z.T @ of_score + w / C, of_theta])

    first = np.concatenate([start[:1], np.log(np.maximum(np.diff(start), SMALLEST_GAP))])
    bounds = [(None, None)] * (n + 1) + [(np.log(SMALLEST_GAP), 5.0)] * (len(start) - 1)
    found = minimize(loss, np.concatenate([np.zeros(n), first]), jac=True, method="L-BFGS-B", bounds=bounds).x
    w, thresholds = found[:n, None], thresholds_of(found[n:])
    below = expit(thresholds - Z @ w)
    p = np.maximum(np.diff(below, axis=1, prepend=0.0, append=1.0), 1e-12)
    information = (np.diff(below * (1 - below), axis=1, prepend=0.0, append=0.0) ** 2 / p).sum(axis=1)
    directions = _directions(Z, mass.sum(axis=1) * information, C)[None]
    return w, directions, {"intercept": np.zeros(1), "signs": np.ones((1, 1)), "thresholds": thresholds}


def _fit_values(Z: Array, mass: Array, values: Array, C: float) -> tuple[Array, Array, dict[str, Array]]:
    """Ridge regression whose strength predicts patients best that are left out, one at a time."""
    del C
    weight = mass.sum(axis=1)
    y = mass @ values / weight
    centre = weight @ y / weight.sum()
    unit = float(np.sqrt(weight @ (y - centre) ** 2 / weight.sum()))
    arrays = {"intercept": np.array([centre]), "signs": np.ones((1, 1)), "noise": np.array(unit)}
    if Z.shape[1] == 0 or unit == 0.0:
        return np.zeros((Z.shape[1], 1)), np.zeros((1, 0, 0)), arrays
    typical = float(weight @ (Z**2).sum(axis=1)) / len(weight)
    model = RidgeCV(STRENGTHS * typical).fit(Z, (y - centre) / unit, sample_weight=weight)
    precision, axes = np.linalg.eigh((Z.T * weight) @ Z + model.alpha_ * np.eye(Z.shape[1]))
    # What is left of each patient where it is left out: in its own training it is explained too well.
    mean = weight @ Z / weight.sum()
    hat = weight * ((((Z - mean) @ axes) ** 2) / precision).sum(axis=1) + weight / weight.sum()
    left = ((y - centre) / unit - model.predict(Z)) / np.maximum(1 - hat, 0.05)
    noise = unit * float(np.sqrt(weight @ left**2 / weight.sum()))
    arrays |= {"intercept": np.array([centre + unit * model.intercept_]), "noise": np.array(noise)}
    directions = noise * (axes / np.sqrt(precision)).T
    n = np.argsort(precision)[:MOST_DIRECTIONS]
    return unit * model.coef_[:, None], directions[n][None], arrays


def _directions(Z: Array, curvature: Array, C: float) -> Array:
    """Directions (r, r) along which the posterior of coefficients has standard deviation 1."""
    Z = Z[:, :MOST_DIRECTIONS]
    precision, axes = np.linalg.eigh((Z.T * curvature) @ Z + np.eye(Z.shape[1]) / C)
    return (axes / np.sqrt(precision)).T
