"""How unsure a model is about each bag, from the predictions of several passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import entr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def total_entropy(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Entropy of the mean prediction, H[E p]: all uncertainty, of the data and of the model.

    Parameters
    ----------
    probabilities
        Class probabilities of each pass, shape (passes, bags, classes).

    Returns
    -------
    In nats, from 0 to the natural logarithm of the number of classes, shape (bags,).
    """
    return entr(_checked(probabilities).mean(axis=0)).sum(axis=-1)


def epistemic(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Mutual information of prediction and model, H[E p] - E H[p]: how much the passes disagree.

    Parameters
    ----------
    probabilities
        Class probabilities of each pass, shape (passes, bags, classes).

    Returns
    -------
    In nats, from 0 (the passes agree) to :func:`total_entropy`, shape (bags,).

    References
    ----------
    Houlsby et al. (2011), Bayesian Active Learning for Classification and Preference Learning, equation 2 (BALD).
    """
    checked = _checked(probabilities)
    information = entr(checked.mean(axis=0)).sum(axis=-1) - entr(checked).sum(axis=-1).mean(axis=0)
    return np.maximum(information, 0.0)


def margin(probabilities: ArrayLike) -> NDArray[np.float64]:
    """One minus the lead of the most probable class over the second, of the mean prediction.

    Parameters
    ----------
    probabilities
        Class probabilities of each pass, shape (passes, bags, classes).

    Returns
    -------
    From 0 (certain) to 1 (a tie), without unit, shape (bags,).
    """
    ordered = np.sort(_checked(probabilities).mean(axis=0), axis=-1)
    return 1.0 - (ordered[:, -1] - ordered[:, -2])


class PredictiveSD(NamedTuple):
    """Standard deviations of each bag in the unit of the values, (bags,), whose squares add up.

    Parameters
    ----------
    total
        Of the predicted value: all uncertainty.
    epistemic
        Of the means of the passes: how much they disagree.
    aleatoric
        What the passes agree to be noise: the root of their mean variance.
    """

    total: NDArray[np.float64]
    epistemic: NDArray[np.float64]
    aleatoric: NDArray[np.float64]


def predictive_sd(means: ArrayLike, sds: ArrayLike) -> PredictiveSD:
    """Standard deviation of a predicted value over passes, by the law of total variance.

    Parameters
    ----------
    means, sds
        Mean and standard deviation that each pass predicts, shape (passes, bags).

    Returns
    -------
    The total and its two parts, of shape (bags,) each.

    References
    ----------
    Kendall and Gal (2017), What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision, equation 9.
    """
    mean, sd = np.asarray(means, dtype=np.float64), np.asarray(sds, dtype=np.float64)
    if mean.ndim != 2 or mean.shape[0] == 0 or mean.shape != sd.shape:
        msg = f"means and sds must both have the shape (passes, bags), found {mean.shape} and {sd.shape}."
        raise ValueError(msg)
    epistemic_variance, aleatoric_variance = mean.var(axis=0), (sd**2).mean(axis=0)
    total = np.sqrt(epistemic_variance + aleatoric_variance)
    return PredictiveSD(total, np.sqrt(epistemic_variance), np.sqrt(aleatoric_variance))


def _checked(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probabilities in double precision, if that is what they are."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 3 or p.shape[0] == 0 or p.shape[2] < 2:
        msg = f"probabilities must have the shape (passes, bags, classes) with two classes or more, found {p.shape}."
        raise ValueError(msg)
    if not (np.all(p >= 0.0) and np.allclose(p.sum(axis=-1), 1.0, atol=1e-4)):
        msg = "probabilities must be non-negative and sum to 1 over the classes (the last axis)."
        raise ValueError(msg)
    return p
