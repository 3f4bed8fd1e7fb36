"""Uniform draws without replacement from many sets at once."""

from __future__ import annotations

import numpy as np


def draw_distinct(n_draws: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n_draws[i]`` distinct integers below ``sizes[i]``, for every set ``i``.

    Every subset of a set is equally likely: what is done to an element never depends on which one it is.

    Parameters
    ----------
    n_draws
        How many, (sets,), none above its size.
    sizes
        Sizes of the sets, (sets,).
    rng
        Source of randomness.

    Returns
    -------
    The draws, set after set, (n_draws.sum(),).
    """
    result = np.empty(int(n_draws.sum()), dtype=np.int64)
    # Redrawing what came twice is quick while a set is mostly left over, and endless when it is used up.
    dense = 2 * n_draws > sizes
    of_dense = np.repeat(dense, n_draws)
    result[of_dense] = _by_sorting(n_draws[dense], sizes[dense], rng)
    result[~of_dense] = _by_redrawing(n_draws[~dense], sizes[~dense], rng)
    return result


def positions_within(lengths: np.ndarray) -> np.ndarray:
    """``0 … lengths[i] - 1`` for every ``i``, one after another."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _by_sorting(n_draws: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    segments = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = np.lexsort((rng.random(len(segments)), segments))
    kept = positions_within(sizes) < np.repeat(n_draws, sizes)
    return (shuffled - np.repeat(np.cumsum(sizes) - sizes, sizes))[kept]


def _by_redrawing(n_draws: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    starts = np.repeat(np.cumsum(sizes) - sizes, n_draws)
    limits = np.repeat(sizes, n_draws)
    draws = starts + rng.integers(limits)
    while True:
        order = np.argsort(draws, kind="stable")
        twice = order[1:][draws[order[1:]] == draws[order[:-1]]]
        if not len(twice):
            return draws - starts
        draws[twice] = starts[twice] + rng.integers(limits[twice])
