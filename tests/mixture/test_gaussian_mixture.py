from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Reference
from threadpoolctl import threadpool_limits

from repatient.mixture import GaussianMixture

TYPES = ["full", "tied", "diag"]


def is_finite(mixture):
    values = (mixture.weights_, mixture.means_, mixture.covariances_, mixture.log_likelihood_)
    return all(np.isfinite(value).all() for value in values)


def test_planted_mixture_is_recovered(plant):
    planted = plant(20_000, 4, 5, separation=6.0)
    fitted = GaussianMixture(4).fit(planted.rows.astype(np.float32))
    assert fitted.converged_
    assert adjusted_rand_score(planted.labels, fitted.predict(planted.rows)) > 0.999
    np.testing.assert_allclose(fitted.weights_, planted.weights, atol=0.015)
    np.testing.assert_allclose(fitted.means_, planted.means, atol=0.12)
    np.testing.assert_allclose(fitted.covariances_, planted.covariances, atol=0.25)


def test_components_are_ordered_by_weight(plant):
    fitted = GaussianMixture(5).fit(plant(1000, 5, 2, separation=2.0).rows)
    assert (np.diff(fitted.weights_) <= 0).all()
    assert fitted.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_single_precision_is_safe_on_hard_data(plant, covariance_type):
    planted = plant(6000, 6, 12, separation=1.5)
    rows = (planted.rows * np.geomspace(1e-2, 1e2, 12) + 1e3).astype(np.float32)
    double = rows.astype(np.float64)
    single_fit = GaussianMixture(6, covariance_type=covariance_type).fit(rows)
    double_fit = GaussianMixture(6, covariance_type=covariance_type).fit(double)
    assert single_fit.log_likelihood_ == pytest.approx(double_fit.log_likelihood_, abs=2e-5)
    assert single_fit.score(rows) == pytest.approx(single_fit.score(double), abs=2e-5)
    assert adjusted_rand_score(single_fit.predict(rows), double_fit.predict(double)) >= 0.9995


def test_unseen_rows_are_explained_as_well_as_by_scikit_learn(plant):
    rows = plant(8000, 12, 10, separation=1.0, seed=3).rows
    train, test = rows[:4000], rows[4000:]
    ours = GaussianMixture(12).fit(train)
    reference = Reference(12, n_init=2, random_state=0, tol=1e-4, max_iter=300).fit(train)
    assert ours.score(test) > reference.score(test) - 0.02


def test_subsample_starts_reach_the_same_optimum(plant):
    rows = plant(6000, 3, 3, separation=5.0).rows
    small = GaussianMixture(3, init_max_samples=300).fit(rows)
    assert small.log_likelihood_ == pytest.approx(GaussianMixture(3).fit(rows).log_likelihood_, abs=1e-3)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_constant_feature_does_no_harm(plant, covariance_type):
    planted = plant(1000, 3, 3)
    rows = np.column_stack([planted.rows, np.full(1000, 0.1)]).astype(np.float32)
    fitted = GaussianMixture(3, covariance_type=covariance_type).fit(rows)
    plain = GaussianMixture(3, covariance_type=covariance_type).fit(rows[:, :3])
    assert is_finite(fitted)
    np.testing.assert_allclose(fitted.means_[:, 3], 0.1, atol=1e-6)
    assert adjusted_rand_score(fitted.predict(rows), plain.predict(rows[:, :3])) > 0.99


@pytest.mark.parametrize("covariance_type", TYPES)
def test_collinear_features_do_no_harm(plant, covariance_type):
    planted = plant(1000, 3, 3)
    rows = np.column_stack([planted.rows, planted.rows @ [1.0, 2.0, -1.0]])
    fitted = GaussianMixture(3, covariance_type=covariance_type).fit(rows)
    assert is_finite(fitted)
    if covariance_type == "full":
        plain = GaussianMixture(3).fit(planted.rows)
        assert adjusted_rand_score(fitted.predict(rows), plain.predict(planted.rows)) > 0.95


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.filterwarnings("ignore:Number of distinct clusters", "ignore:EM did not converge")
@pytest.mark.parametrize(("n_rows", "n_dims", "n_components"), [(20, 30, 2), (12, 3, 12), (1, 2, 1), (40, 1, 3)])
def test_few_rows_give_a_finite_mixture(covariance_type, n_rows, n_dims, n_components):
    rows = np.random.default_rng(0).normal(size=(n_rows, n_dims))
    if n_rows == 1:
        with pytest.raises(ValueError, match="constant"):
            GaussianMixture(n_components, covariance_type=covariance_type).fit(rows)
        return
    fitted = GaussianMixture(n_components, covariance_type=covariance_type).fit(rows)
    assert is_finite(fitted)
    assert np.isfinite(fitted.score_samples(rows)).all()


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.filterwarnings("ignore:Number of distinct clusters", "ignore:EM did not converge")
def test_duplicated_rows_give_a_finite_mixture(covariance_type):
    rows = np.repeat(np.random.default_rng(0).normal(size=(4, 3)), 50, axis=0).astype(np.float32)
    fitted = GaussianMixture(8, covariance_type=covariance_type).fit(rows)
    assert is_finite(fitted)
    assert np.isfinite(fitted.predict_proba(rows)).all()


@pytest.mark.parametrize(
    "convert",
    [
        lambda rows: rows.astype(np.float16),
        lambda rows: np.round(rows * 100).astype(np.int16),
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows.tolist(),
        pd.DataFrame,
    ],
    ids=["float16", "integer", "fortran", "strided", "list", "frame"],
)
def test_any_numeric_table_is_taken(plant, convert):
    rows = plant(600, 2, 3, separation=5.0).rows
    labels = GaussianMixture(2).fit_predict(convert(rows))
    assert adjusted_rand_score(labels, GaussianMixture(2).fit_predict(rows)) > 0.98


def test_input_is_never_modified(plant):
    rows = plant(300, 2, 3).rows
    before = rows.copy()
    rows.flags.writeable = False
    mixture = GaussianMixture(2).fit(rows)
    mixture.predict_with_density(rows, return_proba=True)
    np.testing.assert_array_equal(rows, before)


def test_global_random_state_is_left_alone(plant):
    rows = plant(300, 2, 3).rows
    np.random.seed(5)  # noqa: NPY002 - the legacy global state is what is tested
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    GaussianMixture(2).fit(rows)
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_bits_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(2000, 10)) + 4 * rng.integers(3, size=(2000, 1))).astype(np.float32)
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianMixture(6, init_max_samples=1000, max_iter=20).fit(rows)
            found.append([fitted.weights_, fitted.means_, fitted.covariances_, fitted.predict_proba(rows)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_seed_decides_the_start(plant):
    rows = plant(500, 6, 2, separation=1.0).rows
    first, same, other = (GaussianMixture(6, random_state=seed, n_init=1).fit(rows) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.means_, same.means_)
    assert not np.array_equal(first.means_, other.means_)


def test_given_means_alone_start_with_equal_weights_and_the_covariance_of_all_rows(plant):
    rows = plant(500, 2, 3, separation=3.0).rows
    means = rows[:2]
    shape = np.stack([np.cov(rows.T, ddof=0)] * 2)
    alone = GaussianMixture(2, means_init=means).fit(rows)
    told = GaussianMixture(2, means_init=means, weights_init=[0.5, 0.5], covariances_init=shape).fit(rows)
    np.testing.assert_allclose(alone.log_likelihoods_[0], told.log_likelihoods_[0], atol=1e-5)
    np.testing.assert_allclose(alone.means_, told.means_, atol=1e-3)


def test_estimator_can_be_cloned(plant):
    mixture = GaussianMixture(3, covariance_type="diag", tol=1e-3).fit(plant(100, 3, 2).rows)
    copy = clone(mixture)
    assert copy.get_params() == mixture.get_params()
    assert not hasattr(copy, "means_")


def test_running_out_of_passes_warns(plant):
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        fitted = GaussianMixture(4, max_iter=1).fit(plant(300, 4, 2, separation=0.5).rows)
    assert not fitted.converged_
    assert fitted.n_iter_ == 1


def test_many_features_with_full_covariance_warn_and_work():
    rows = np.random.default_rng(0).normal(size=(400, 70))
    with pytest.warns(UserWarning, match="diag"):
        fitted = GaussianMixture(1, prior=0).fit(rows)
    expected = np.cov(rows.T, ddof=0) + 1e-6 * np.diag(rows.var(axis=0))
    np.testing.assert_allclose(fitted.covariances_[0], expected, atol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(1, covariance_type="diag").fit(rows)


GOOD = np.random.default_rng(0).normal(size=(20, 2))


@pytest.mark.parametrize(
    ("rows", "params", "error", "message"),
    [
        (np.where(np.eye(20, 2), np.nan, GOOD), {}, ValueError, "NaN or infinity"),
        (np.where(np.eye(20, 2), np.inf, GOOD), {}, ValueError, r"\b0\b"),
        (GOOD[:, 0], {}, ValueError, "two-dimensional"),
        (GOOD[None], {}, ValueError, "two-dimensional"),
        (GOOD[:0], {}, ValueError, "at least one row"),
        (np.ones((20, 2)), {}, ValueError, "constant"),
        (np.full((20, 2), 0.1), {}, ValueError, "constant"),
        (GOOD * 1e300, {}, ValueError, "overflow"),
        (GOOD.astype(str), {}, TypeError, "real numbers"),
        (sparse.csr_matrix(GOOD), {}, TypeError, "PCA"),
        (GOOD, {"n_components": 21}, ValueError, "20.*`n_components`.*21"),
        (GOOD, {"n_components": 0}, ValueError, "`n_components`"),
        (GOOD, {"n_components": 2.0}, TypeError, "`n_components`"),
        (GOOD, {"max_iter": 0}, ValueError, "`max_iter`"),
        (GOOD, {"tol": -1}, ValueError, "`tol`"),
        (GOOD, {"covariance_type": "spherical"}, ValueError, "'full', 'tied', 'diag'"),
        (GOOD, {"weights_init": [1.0]}, ValueError, "`means_init`"),
        (GOOD, {"means_init": [[0.0, 0.0, 0.0]]}, ValueError, "means_init"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
def test_unusable_input_is_explained(rows, params, error, message):
    with pytest.raises(error, match=message):
        GaussianMixture(**params).fit(rows)
