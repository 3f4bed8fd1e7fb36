"""Recipe of a class whose patients come in sub-types: a mixture of Dirichlet-multinomials.

Each sub-type is fitted as a class is, shrunk towards the class in place of the pool, see :mod:`repatient.recipe`; the
shares of the sub-types are shrunk towards equal ones by one patient each.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp, psi

from repatient.recipe._composition import proportions
from repatient.recipe._concentration import fit_alpha, pool_classes, sample_dirichlet
from repatient.recipe._kinds import Array

if TYPE_CHECKING:
    from repatient.recipe._concentration import PooledRecipe

_ROWS = "subtype_class"
ARRAYS = {
    "subtype_weight": Array(("*",), "proportions", _ROWS),
    "subtype_mean": Array(("*", "K"), "proportions", _ROWS),
    "subtype_concentration": Array(("*",), "positive", _ROWS),
}
_MOST_STEPS = 30
_TOLERANCE = 1e-4
_MOST_SUBTYPES = 4
_PATIENTS_A_SUBTYPE = 5
_FOLDS = 4


class _Mixture(NamedTuple):
    weights: np.ndarray
    alphas: np.ndarray

    def log_joint(self, counts: np.ndarray) -> np.ndarray:
        """Log-likelihood of each patient with each sub-type, up to the multinomial coefficient, (patients, S)."""
        totals, sizes = self.alphas.sum(axis=1), counts.sum(axis=1)[:, None]
        value = gammaln(totals) - gammaln(totals + sizes)
        value += (gammaln(counts[:, None] + self.alphas) - gammaln(self.alphas)).sum(axis=2)
        return value + np.log(self.weights)


def fit(
    counts: np.ndarray, pool: PooledRecipe, shrinkage: float, n_subtypes: int | str, random_state: int
) -> dict[str, np.ndarray]:
    """Shares, means and concentrations of the sub-types of one class; the largest comes first."""
    number = _best_number(counts, pool, shrinkage, random_state) if n_subtypes == "auto" else int(n_subtypes)
    mixture = _fit_mixture(counts, pool, shrinkage, number, random_state)
    order = np.argsort(-mixture.weights, kind="stable")
    weights, alphas = mixture.weights[order], mixture.alphas[order]
    concentrations = alphas.sum(axis=1)
    means = alphas / concentrations[:, None]
    return {
        "mean": weights @ means,
        "subtype_weight": weights,
        "subtype_mean": means,
        "subtype_concentration": concentrations,
    }


def sample(parameters: dict[str, np.ndarray], n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Compositions of new patients, (n_patients, K): first the sub-type of each, then its composition."""
    weights = np.asarray(parameters["subtype_weight"], dtype=np.float64)
    subtypes = rng.choice(len(weights), size=n_patients, p=weights / weights.sum())
    compositions = np.empty((n_patients, parameters["subtype_mean"].shape[1]))
    for s in range(len(weights)):
        of_type = subtypes == s
        mean, concentration = parameters["subtype_mean"][s], parameters["subtype_concentration"][s]
        compositions[of_type] = sample_dirichlet(mean, concentration, int(of_type.sum()), rng)
    return compositions


def of_one(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A class without sub-types as one that has a single one."""
    if "subtype_weight" in parameters:
        return parameters
    rest = {name: value for name, value in parameters.items() if name != "concentration"}
    return {
        **rest,
        "subtype_weight": np.ones(1),
        "subtype_mean": parameters["mean"][None],
        "subtype_concentration": np.atleast_1d(parameters["concentration"]),
    }


def _fit_mixture(counts: np.ndarray, pool: PooledRecipe, shrinkage: float, number: int, random_state: int) -> _Mixture:
    number = min(number, len(np.unique(counts, axis=0)))
    alpha = fit_alpha(partial(_weighted_loglik, counts, np.ones(len(counts))), len(counts), pool, shrinkage)
    if number == 1:
        return _Mixture(np.ones(1), alpha[None])
    first = _start(counts, number, random_state)
    # The class's own concentration would take the difference of sub-types for that of patients.
    towards = pool_classes(counts, first)._replace(mean=alpha / alpha.sum(), n_cells=pool.n_cells)
    probabilities = np.eye(number)[first]
    before = -np.inf
    for _ in range(_MOST_STEPS):
        mixture = _maximise(counts, probabilities, towards, shrinkage)
        joint = mixture.log_joint(counts)
        of_patients = logsumexp(joint, axis=1)
        probabilities = np.exp(joint - of_patients[:, None])
        if of_patients.sum() - before < _TOLERANCE * len(counts):
            break
        before = of_patients.sum()
    return mixture


def _maximise(counts: np.ndarray, probabilities: np.ndarray, pool: PooledRecipe, shrinkage: float) -> _Mixture:
    sizes = probabilities.sum(axis=0)
    weights = (sizes + 1) / (sizes + 1).sum()
    alphas = [
        fit_alpha(partial(_weighted_loglik, counts, weight), size, pool, shrinkage)
        for weight, size in zip(probabilities.T, sizes, strict=True)
    ]
    return _Mixture(weights, np.stack(alphas))


def _weighted_loglik(counts: np.ndarray, weights: np.ndarray, alpha: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood of patients counted by ``weights``, and its gradient by alpha."""
    total, sizes = alpha.sum(), counts.sum(axis=1)
    value = weights @ (gammaln(total) - gammaln(total + sizes))
    value += weights @ (gammaln(counts + alpha) - gammaln(alpha)).sum(axis=1)
    gradient = weights @ (psi(counts + alpha) - psi(alpha)) + weights @ (psi(total) - psi(total + sizes))
    return float(value), gradient


def _start(counts: np.ndarray, number: int, random_state: int) -> np.ndarray:
    """First guess of each patient's sub-type: clusters of the roots of compositions (Hellinger distance)."""
    from sklearn.cluster import KMeans

    from repatient._threads import one_thread

    with one_thread():
        return KMeans(number, n_init=10, random_state=random_state).fit_predict(np.sqrt(proportions(counts)))


def _best_number(counts: np.ndarray, pool: PooledRecipe, shrinkage: float, random_state: int) -> int:
    """Fewest sub-types whose likelihood of patients left out is within a standard error of the best."""
    most = min(_MOST_SUBTYPES, len(counts) // _PATIENTS_A_SUBTYPE)
    if most < 2:
        return 1
    folds = np.random.default_rng(random_state).permutation(len(counts)) % _FOLDS
    held_out = np.empty((most, len(counts)))
    for fold in range(_FOLDS):
        out = folds == fold
        for number in range(1, most + 1):
            mixture = _fit_mixture(counts[~out], pool, shrinkage, number, random_state)
            held_out[number - 1, out] = logsumexp(mixture.log_joint(counts[out]), axis=1)
    best = held_out.sum(axis=1).argmax()
    behind = held_out[best] - held_out
    within = behind.mean(axis=1) <= behind.std(axis=1, ddof=1) / np.sqrt(len(counts))
    return int(np.flatnonzero(within)[0]) + 1
