from __future__ import annotations

import warnings

import numpy as np
import pytest

from repatient.mixture import GaussianMixture
from repatient.sampling import held_out_log_density


@pytest.fixture
def cells():
    """Cells of ten patients who differ: cells of a new patient are less dense than those of known ones."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(10), 40)
    return rng.normal(size=(10, 4))[patients] + 0.5 * rng.normal(size=(400, 4)), patients


def test_close_to_refitting_from_scratch_without_the_patient(cells):
    X, patients = cells
    mixture = GaussianMixture(1, progress=False).fit(X)
    found = held_out_log_density(mixture, X[patients < 5], patients[patients < 5])
    for patient in range(5):
        rest = X[(patients < 5) & (patients != patient)]
        expected = GaussianMixture(1, progress=False).fit(rest).score_samples(X[patients == patient])
        np.testing.assert_allclose(found[patients[patients < 5] == patient], expected, rtol=1e-3, atol=1e-3)


def test_held_out_cells_are_less_dense_and_as_dense_as_new_ones():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(300), 20)
    X = rng.normal(size=(300, 3))[patients] + rng.normal(size=(6000, 3))
    known = patients < 20
    mixture = GaussianMixture(6, progress=False, random_state=0).fit(X[known])
    levels = [0.01, 0.1, 0.5]
    inside = np.quantile(mixture.score_samples(X[known]), levels)
    held_out = np.quantile(held_out_log_density(mixture, X[known], patients[known]), levels)
    new = np.quantile(mixture.score_samples(X[~known]), levels)
    assert (held_out < inside).all()
    assert (abs(held_out - new) < abs(inside - new)).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_mixture_is_unchanged_and_nothing_is_warned_of(cells, covariance_type):
    X, patients = cells
    mixture = GaussianMixture(3, covariance_type=covariance_type, progress=False).fit(X)
    before = mixture.means_.copy(), mixture.max_iter
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = held_out_log_density(mixture, X, patients, random_state=1)
    np.testing.assert_array_equal(before[0], mixture.means_)
    assert mixture.max_iter == before[1]
    np.testing.assert_array_equal(first, held_out_log_density(mixture, X, patients, random_state=1))


def test_too_few_groups_or_rows(cells):
    X, patients = cells
    mixture = GaussianMixture(3, progress=False).fit(X)
    with pytest.raises(ValueError, match=r"\b1\b.*\b400\b"):
        held_out_log_density(mixture, X, np.zeros(400))
    with pytest.raises(ValueError, match=r"\b2\b.*\b4\b.*\b3\b"):
        held_out_log_density(mixture, X[:4], [0, 0, 1, 1])
