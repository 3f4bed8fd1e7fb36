"""How the mean compositions of two classes differ: effects, their intervals, and how sure their signs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import polygamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.recipe._posterior import MeanPosterior

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """Difference of one class from another in each of K components.

    Parameters
    ----------
    effects
        For each of ``"difference"`` (of the mean proportions), ``"log2_fold_change"`` (of them) and
        ``"clr_difference"`` (binary logarithms, of the centred log-ratios of the mean composition) the posterior median
        and the ends of the credible interval, (K, 3).
    tail_probability
        Twice the posterior probability of the less probable sign, (K,): of the difference of proportions, and of the
        difference of centred log-ratios.
    """

    effects: dict[str, Array]
    tail_probability: dict[str, Array]


def contrast(
    these: MeanPosterior, those: MeanPosterior, *, interval: float, n_draws: int, rng: np.random.Generator
) -> Contrast:
    r"""Compare the mean composition of a class with that of another.

    Parameters
    ----------
    these, those
        Posteriors of the two classes, see :func:`repatient.recipe.mean_posteriors`.
    interval
        Posterior probability of the intervals, which have equal tails.
    n_draws
        Draws of each posterior behind the intervals.
    rng
        Source of randomness.

    Returns
    -------
    The effects. The tail probability of the proportions is summed over the grids of the posteriors and so depends on no
    draw; that of the log-ratios is a share of the draws, never below 1 / ``n_draws``.

    Notes
    -----
    Posteriors are known component by component. Of a Dirichlet distribution with concentration :math:`\alpha_0`, the
    log-proportions are those of independent gamma variables less that of their sum, whose variance is
    :math:`\psi'(\alpha_0)` and which centred log-ratios do not see. Independent draws of each component's
    log-proportion, with a normal variable of that variance added, thus have the spread of the joint posterior's centred
    log-ratios. The concentration is the median of those that the components' means and variances imply.
    """
    first, second = (_draws(posterior, n_draws, rng) for posterior in (these, those))
    clr = _centred(first, these, rng) - _centred(second, those, rng)
    probabilities = [0.5, (1 - interval) / 2, (1 + interval) / 2]
    values = {"difference": first - second, "log2_fold_change": np.log2(first / second), "clr_difference": clr}
    above = these.above(those)
    fewer = np.minimum((clr > 0).sum(axis=1), (clr < 0).sum(axis=1))
    return Contrast(
        {name: np.quantile(draws, probabilities, axis=1).T for name, draws in values.items()},
        {
            "proportion": 2 * np.minimum(above, 1 - above),
            "clr": np.clip(2 * fewer / n_draws, 1 / n_draws, 1),
        },
    )


def _draws(posterior: MeanPosterior, n: int, rng: np.random.Generator) -> Array:
    """Stratified draws of each proportion in an order of its own, (K, n)."""
    return rng.permuted(posterior.quantiles((np.arange(n) + 0.5) / n), axis=1)


def _centred(proportions: Array, posterior: MeanPosterior, rng: np.random.Generator) -> Array:
    """Draws of the centred log-ratios of the mean composition, (K, n)."""
    mean = posterior.mean
    concentration = np.median(mean * (1 - mean) / posterior.variance - 1)
    spread = np.sqrt(polygamma(1, max(concentration, 0.5)))
    logs = np.log(proportions) + spread * rng.standard_normal(proportions.shape)
    return (logs - logs.mean(axis=0)) / np.log(2)
