"""What the counts of few patients say of the mean proportion of each component in their class.

The model is written out in :mod:`repatient.recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, gammaln, logit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_PRIOR_CELLS = 0.5
_TYPICAL_LOG_S, _LOG_S_SD = np.log(50.0), 2.0
_TYPICAL_TAU, _LOG_TAU_SD = 0.6, 0.7
_LOG_S = np.linspace(np.log(0.3), np.log(3e4), 60)
_TAU = np.array([0.2, 0.35, 0.6, 1.0, 1.6])
# Nodes of the grid of a component: of the concentration between two quantiles, and of the logit of the mean, which lie
# closer in the middle than in the tails.
_N_CONCENTRATIONS, _TAIL = 10, 5e-4
_NODES = np.linspace(-4.0, 4.0, 97)
_LOGIT_BOUND = 34.0


@dataclass(frozen=True)
class MeanPosterior:
    """Posterior of the mean proportion of each of K components in one class.

    Parameters
    ----------
    logits
        Nodes on the logit scale, rising, (K, nodes).
    probability
        Posterior probability of the interval around each node, (K, nodes), rows summing to 1.
    """

    logits: Array
    probability: Array

    @property
    def mean(self) -> Array:
        """Posterior mean of each proportion, (K,)."""
        return (self.probability * expit(self.logits)).sum(axis=1)

    @property
    def variance(self) -> Array:
        """Posterior variance of each proportion, (K,)."""
        return (self.probability * (expit(self.logits) - self.mean[:, None]) ** 2).sum(axis=1)

    def quantiles(self, q: Array) -> Array:
        """Quantiles of each proportion, (K, len(q))."""
        pairs = zip(self._cumulative, self.logits, strict=True)
        return expit(np.stack([np.interp(q, below, logits) for below, logits in pairs]))

    def above(self, other: MeanPosterior) -> Array:
        """Probability that a proportion is above that of another, independent class, (K,)."""
        rows = zip(self.logits, other.logits, other._cumulative, strict=True)
        below = np.stack([np.interp(here, there, cumulative, left=0, right=1) for here, there, cumulative in rows])
        return (self.probability * below).sum(axis=1)

    @property
    def _cumulative(self) -> Array:
        """Probability below each node, half of its own included."""
        return np.cumsum(self.probability, axis=1) - self.probability / 2


def mean_posteriors(groups: Sequence[NDArray[np.int64]]) -> list[MeanPosterior]:
    """Posterior of the mean composition of each class.

    Parameters
    ----------
    groups
        For each class the cells of its patients in each component, (patients, K), no row all zero.

    Returns
    -------
    One posterior a class.
    """
    parts = [np.asarray(counts, dtype=np.float64) for counts in groups]
    profiles = [_profile(counts) for counts in parts]
    log_prior = np.log(_prior_of_concentration(np.concatenate(profiles)))
    posteriors = []
    for counts, profile in zip(parts, profiles, strict=True):
        rows = [
            _posterior(y, counts.sum(axis=1), likelihood + log_prior, log_prior)
            for y, likelihood in zip(counts.T, profile, strict=True)
        ]
        posteriors.append(MeanPosterior(*(np.stack(part) for part in zip(*rows, strict=True))))
    return posteriors


def _log_likelihood(y: Array, n: Array, mean: Array, s: Array) -> Array:
    """Beta-binomial log-likelihood up to the binomial coefficient, summed over the last axis, the patients."""
    a = mean * s
    b = s - a
    value = gammaln(y + a) - gammaln(a) + gammaln(n - y + b) - gammaln(b) + gammaln(s) - gammaln(s + n)
    return value.sum(axis=-1)


def _smoothed_mean(y: Array, n: Array, s: Array) -> tuple[Array, Array]:
    """Mean proportion with the cells of the prior added, and its logit's information.

    Patients weigh as many independent cells as they are worth at the concentration s.
    """
    worth = n * (s + 1) / (n + s)
    cells = worth.sum(axis=-1) + 2 * _PRIOR_CELLS
    mean = ((worth * y / n).sum(axis=-1) + _PRIOR_CELLS) / cells
    return mean, cells * mean * (1 - mean)


def _profile(counts: Array) -> Array:
    """Log-likelihood of each concentration of the grid, the mean integrated out by Laplace, (K, concentrations)."""
    y, n, s = counts.T[:, None, :], counts.sum(axis=1), np.exp(_LOG_S)[:, None]
    mean, information = _smoothed_mean(y, n, s)
    return _log_likelihood(y, n, mean[..., None], s) - 0.5 * np.log(information)


def _prior_of_concentration(profiles: Array) -> Array:
    """Prior of each concentration of the grid, learnt from all components of all classes."""
    likelihood = np.exp(profiles - profiles.max(axis=1, keepdims=True)).T
    distance = _LOG_S[:, None] - _LOG_S
    kernels = np.exp(-0.5 * (distance / _TAU[:, None, None]) ** 2)
    kernels /= kernels.sum(axis=2, keepdims=True)
    # Not a product of matrices, whose last bits depend on the number of threads.
    evidence = np.log(np.maximum(np.einsum("tms,sc->tmc", kernels, likelihood), np.finfo(float).tiny)).sum(axis=2)
    evidence -= 0.5 * ((_LOG_S - _TYPICAL_LOG_S) / _LOG_S_SD) ** 2
    evidence -= 0.5 * (np.log(_TAU / _TYPICAL_TAU) / _LOG_TAU_SD)[:, None] ** 2
    weight = np.exp(evidence - evidence.max())
    prior = np.einsum("tm,tms->s", weight / weight.sum(), kernels)
    return np.maximum(prior, np.finfo(float).tiny)


def _posterior(y: Array, n: Array, profile: Array, log_prior: Array) -> tuple[Array, Array]:
    """Nodes and probabilities of one component's mean; ``profile`` tells which concentrations matter."""
    weight = np.exp(profile - profile.max())
    cumulative = np.cumsum(weight) / weight.sum()
    first, last = np.interp([_TAIL, 1 - _TAIL], cumulative, _LOG_S)
    log_s = np.linspace(first, last, _N_CONCENTRATIONS)
    centre, information = _smoothed_mean(y, n, np.exp((weight @ _LOG_S) / weight.sum()))
    spread = 1 / np.sqrt(information)
    logits = np.clip(logit(centre) + spread * np.sinh(_NODES), -_LOGIT_BOUND, _LOGIT_BOUND)
    mean = expit(logits)
    s = np.exp(log_s)[:, None, None]
    log_density = _log_likelihood(y, n, mean[None, :, None], s) + np.interp(log_s, _LOG_S, log_prior)[:, None]
    log_density += _PRIOR_CELLS * (np.log(mean) + np.log(expit(-logits)))
    probability = np.exp(log_density - log_density.max()).sum(axis=0) * np.cosh(_NODES)
    return logits, probability / probability.sum()
