from __future__ import annotations

import numpy as np

from repatient.recipe._composition import from_log_ratios, log_ratios, proportions, smoothed_proportions


def test_log_ratios_are_isometric_and_invertible():
    compositions = np.random.default_rng(0).dirichlet(np.full(6, 2.0), size=20)
    coordinates = log_ratios(compositions)
    centred = np.log(compositions) - np.log(compositions).mean(axis=1, keepdims=True)
    assert coordinates.shape == (20, 5)
    np.testing.assert_allclose(coordinates @ coordinates.T, centred @ centred.T, atol=1e-12)
    np.testing.assert_allclose(from_log_ratios(coordinates), compositions, atol=1e-12)


def test_smoothing_moves_small_patients_more():
    centre = np.array([0.5, 0.25, 0.25])
    counts = np.array([[10, 0, 0], [1000, 0, 0]])
    small, large = smoothed_proportions(counts, centre)
    np.testing.assert_allclose(small, [(10 + 0.75) / 11.5, 0.375 / 11.5, 0.375 / 11.5])
    assert 0 < large[1] < small[1]


def test_proportions_sum_to_one():
    np.testing.assert_allclose(proportions(np.array([[1, 3], [5, 0]])), [[0.25, 0.75], [1, 0]])
