"""Covariances that few rows can bear."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, default_n_components


def drawn(n_rows, n_dims=20, seed=0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(n_dims, n_dims)) / np.sqrt(n_dims) + np.eye(n_dims)
    labels = rng.integers(3, size=n_rows)
    return 3 * np.eye(n_dims)[labels] + rng.normal(size=(n_rows, n_dims)) @ mixing


def test_few_rows_explain_others_better_than_with_any_fixed_regularisation():
    train, test = drawn(150), drawn(2000, seed=1)
    best = max(
        Reference(3, covariance_type=kind, reg_covar=reg, random_state=0).fit(train).score(test)
        for kind in ("full", "diag")
        for reg in (1e-6, 1e-3, 1e-1)
    )
    assert GaussianMixture(3).fit(train).score(test) > best


def test_with_many_rows_the_prior_is_gone():
    rows = drawn(6000, 5)
    fits = [GaussianMixture(3, prior=prior).fit(rows).log_likelihood_ for prior in (0, "auto")]
    assert fits[0] == pytest.approx(fits[1], abs=2e-3)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_components_do_not_depend_on_the_unit(unit):
    rows = drawn(300, 4)
    np.testing.assert_array_equal(GaussianMixture(3).fit_predict(rows), GaussianMixture(3).fit_predict(unit * rows))


def test_one_far_row_hides_nothing():
    rows = np.vstack([drawn(400, 3), np.full((1, 3), 1e5)]).astype(np.float32)
    fitted = GaussianMixture(4).fit(rows)
    exact = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_)
    np.testing.assert_allclose(fitted.score_samples(rows), exact.score_samples(rows.astype(np.float64)), atol=1e-2)
    assert np.diagonal(fitted.covariances_, axis1=1, axis2=2).min() > 1e-3


def test_default_number_follows_cells_dimensions_and_patients():
    assert [default_n_components(n, 10) for n in (500, 10_000, 100_000, 10**7)] == [5, 15, 32, 40]
    assert default_n_components(500, 166) == 2
    assert default_n_components(100_000, 10, 4) == 5
    assert default_n_components(1, 1) == 1
    with pytest.raises(TypeError, match="`n_cells`"):
        default_n_components(1.5, 2)
