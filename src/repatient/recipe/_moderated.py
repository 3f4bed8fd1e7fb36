"""Test of two groups of donors with variances that know of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from repatient.recipe._composition import smoothed_proportions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# What the components say of each other's variance counts so many of their residuals' degrees of freedom, for each
# component beside the first: components rise and fall together, so that each says less than its own.
_SHARE_OF_DEGREES = 1 / 24

# Where both a posterior and the t-test have to agree, the p-value of the test counts less by this factor: each alone errs
# in cohorts in which the other does not, and with the larger of both a component is found in 1 to 4 % of null cohorts.
_LENIENCE = 1.25


def p_values_of_both(tail_probability: Array, tested: Array) -> Array:
    """P-values of what a posterior and a test say together: the larger of the tail probability and 4/5 of the test's.

    Parameters
    ----------
    tail_probability
        Of no difference, by the posterior (:func:`mean_posteriors`), (K,).
    tested
        What :func:`moderated_p_values` gave, (K,).

    Returns
    -------
    The p-values, (K,). That they are not too small is no theorem but measured, by ``benchmarks/compare_recipes.py``.
    """
    return np.maximum(tail_probability, tested / _LENIENCE).clip(max=1)


def moderated_p_values(these: NDArray[np.int64], those: NDArray[np.int64], test: str = "proportion") -> Array:
    r"""Two-sided p-values of no difference between two classes, one a component.

    A t-test over donors, of the roots of proportions (:math:`\arcsin\sqrt{p}`, whose variance hardly depends on p) or of
    centred log-ratios, whose variances are drawn towards what is usual among the components (Smyth 2004, Stat. Appl.
    Genet. Mol. Biol. 3, 3). The prior's degrees of freedom are those that the spread of the variances tells, but no more
    than (K - 1) / 24 times those of the residuals: the variances of few donors look alike by chance, and components that
    rise and fall together are no independent witnesses.

    Parameters
    ----------
    these, those
        Cells of the donors of either class in each component, (donors, K), three donors or more together.
    test
        ``"proportion"`` or ``"clr"``.

    Returns
    -------
    The p-values, (K,).
    """
    first, second = (_transformed(np.asarray(counts, dtype=np.float64), test) for counts in (these, those))
    degrees = len(first) + len(second) - 2
    squares = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in (first, second))
    variance = np.maximum(squares / degrees, np.finfo(float).tiny ** 0.5)
    most = degrees * (variance.size - 1) * _SHARE_OF_DEGREES
    prior_degrees, prior = _prior(variance, degrees, most)
    moderated = (prior_degrees * prior + degrees * variance) / (prior_degrees + degrees)
    difference = first.mean(axis=0) - second.mean(axis=0)
    t = difference / np.sqrt(moderated * (1 / len(first) + 1 / len(second)))
    return 2 * stats.t.sf(np.abs(t), prior_degrees + degrees)


def _transformed(counts: Array, test: str) -> Array:
    if test == "clr":
        logs = np.log(smoothed_proportions(counts, np.full(counts.shape[1], 1 / counts.shape[1])))
        return logs - logs.mean(axis=1, keepdims=True)
    # Anscombe's constants.
    return np.arcsin(np.sqrt((counts + 0.375) / (counts.sum(axis=1, keepdims=True) + 0.75)))


def _prior(variance: Array, degrees: int, most: float) -> tuple[float, float]:
    """Degrees of freedom and value of the variance that is usual, from the moments of the logarithms of variances."""
    logs = np.log(variance) - digamma(degrees / 2) + np.log(degrees / 2)
    excess = logs.var(ddof=1) - polygamma(1, degrees / 2)
    number = most
    if excess > polygamma(1, most / 2):
        number = 2 * brentq(lambda half: polygamma(1, half) - excess, 1e-8, most / 2)
    return number, float(np.exp(logs.mean() + digamma(number / 2) - np.log(number / 2)))
