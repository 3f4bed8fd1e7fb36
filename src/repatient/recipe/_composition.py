"""Compositions: from counts over the components to proportions and log-ratio coordinates."""

from __future__ import annotations

import numpy as np
from scipy.linalg import helmert


def proportions(counts: np.ndarray) -> np.ndarray:
    """Share of each component in each patient.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K).

    Returns
    -------
    Shares, (patients, K), rows summing to 1.
    """
    counts = np.asarray(counts, dtype=np.float64)
    return counts / counts.sum(axis=1, keepdims=True)


def smoothed_proportions(counts: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Proportions after adding half a cell a component, spread as in ``centre``.

    The zeros of a composition have no logarithm; the added cells move a patient of few cells more
    than one of many.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K).
    centre
        Composition that the added cells have, (K,), or one for each patient, (patients, K).

    Returns
    -------
    Shares, (patients, K), rows summing to 1 and all above 0.
    """
    n_components = counts.shape[1]
    return proportions(counts + 0.5 * n_components * centre)


def log_ratios(compositions: np.ndarray) -> np.ndarray:
    """Isometric log-ratio coordinates in the Helmert basis.

    Parameters
    ----------
    compositions
        Shares above 0, (n, K).

    Returns
    -------
    Coordinates, (n, K - 1).
    """
    return np.log(compositions) @ helmert(compositions.shape[1]).T


def from_log_ratios(coordinates: np.ndarray) -> np.ndarray:
    """Inverse of :func:`log_ratios`."""
    logits = coordinates @ helmert(coordinates.shape[1] + 1)
    logits -= logits.max(axis=1, keepdims=True)
    compositions = np.exp(logits)
    return compositions / compositions.sum(axis=1, keepdims=True)
