from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient._files import _scratch
from repatient.sampling import _donor_effects, fit_donor_effects
from repatient.sampling._streams import PatientStreams, patient_keys

K, D = 4, 3


def cohort(n_patients=40, n_cells=120, common=0.5, own=0.3, seed=0):
    """Cells of patients with offsets of known variance, in units of that within patients, along each axis."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), n_cells)
    components = rng.integers(K, size=len(patients))
    offsets = np.sqrt(common) * rng.normal(size=(1, n_patients, D)) + np.sqrt(own) * rng.normal(size=(K, n_patients, D))
    shape = np.array([[2.0, 0.3, 0], [0, 0.5, 0.1], [0, 0, 1.0]])
    z = offsets[components, patients] + rng.normal(size=(len(patients), D))
    middles = 10 * rng.normal(size=(K, D))
    return middles[components] + z @ shape, components, patients, offsets, shape


def aligned(effects, X, components):
    """Map from the offsets of the embedding to canonical coordinates, by least squares."""
    centred = X - np.stack([X[components == k].mean(axis=0) for k in range(K)])[components]
    return np.linalg.lstsq(centred, effects.coordinates, rcond=None)[0]


def test_coordinates_have_unit_covariance_within_patients():
    X, components, patients, _, _ = cohort()
    z = fit_donor_effects(X, components, patients, K).coordinates
    groups = components * 40 + patients
    residuals = z - np.stack([z[groups == g].mean(axis=0) for g in range(K * 40)])[groups]
    np.testing.assert_allclose(residuals.T @ residuals / (len(z) - K * 40), np.eye(D), atol=1e-8)


@pytest.mark.parametrize("n_cells", [24, 200])
def test_variance_of_the_offsets_is_recovered(n_cells):
    found = [
        fit_donor_effects(*cohort(n_patients=60, n_cells=n_cells, seed=seed)[:3], K).variances for seed in range(6)
    ]
    # The offsets of patients within their components have a variance of common + own.
    assert np.mean(found) == pytest.approx(0.8, rel=0.12)


def test_no_offsets_where_there_are_none():
    X, components, patients, _, _ = cohort(common=0, own=0, n_cells=60)
    effects = fit_donor_effects(X, components, patients, K)
    raw = 1 / np.sqrt(60 / K)
    assert effects.variances.max() < 0.05
    assert np.sqrt((effects.offsets**2).mean()) < 0.6 * raw


@pytest.mark.parametrize("n_cells", [16, 60, 400])
def test_offsets_vary_as_the_true_ones_do_however_few_the_cells(n_cells):
    shrunk = [
        fit_donor_effects(*cohort(n_patients=80, n_cells=n_cells, seed=seed)[:3], K).offsets.var() for seed in range(4)
    ]
    assert np.mean(shrunk) == pytest.approx(0.8, rel=0.2)


def test_offsets_are_those_of_the_patients():
    X, components, patients, offsets, shape = cohort(n_cells=400)
    effects = fit_donor_effects(X, components, patients, K)
    true = offsets @ shape @ aligned(effects, X, components)
    true -= true.mean(axis=1, keepdims=True)
    assert np.corrcoef(effects.offsets.ravel(), true.ravel())[0, 1] > 0.97


def test_a_component_that_a_patient_lacks_gets_what_its_others_have_in_common():
    X, components, patients, offsets, shape = cohort(common=0.8, own=0.05, n_cells=200)
    kept = ~((components == 0) & (patients < 10))
    effects = fit_donor_effects(X[kept], components[kept], patients[kept], K)
    true = offsets @ shape @ aligned(effects, X[kept], components[kept])
    true -= true.mean(axis=1, keepdims=True)
    assert np.corrcoef(effects.offsets[0, :10].ravel(), true[0, :10].ravel())[0, 1] > 0.85


def test_weights_are_the_ratio_of_two_gaussians():
    X, components, patients, _, _ = cohort()
    effects = fit_donor_effects(X, components, patients, K)
    rows = np.flatnonzero(components == 1)[:50]
    z, offset = effects.coordinates[rows], effects.offsets[1, 7]
    total = np.linalg.inv(effects.precision[1])
    within = np.linalg.inv(effects.precision[1] + effects.gain[1])
    expected = stats.multivariate_normal(offset, within).logpdf(z) - stats.multivariate_normal(
        np.zeros(D), total
    ).logpdf(z)
    found = effects.log_weights(1, rows, np.array([7]), 1.0)[0]
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-9)
    np.testing.assert_array_equal(effects.log_weights(1, rows, np.array([7]), 0.0), 0)


def test_a_patient_of_similar_composition_is_chosen():
    X, _, patients, _, _ = cohort(n_patients=20, n_cells=400)
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(K, 3.0), size=20)
    components = np.array([rng.choice(K, p=shares[i]) for i in patients])
    effects = fit_donor_effects(X, components, patients, K)
    counts = np.stack([np.bincount(components[patients == i], minlength=K) for i in range(20)])
    chosen = effects.choose(np.repeat(counts, 200, axis=0), PatientStreams(patient_keys(0, 0, 4000))).reshape(20, 200)
    own = (chosen == np.arange(20)[:, None]).mean()
    roots = np.sqrt(counts / 400)
    distance = ((roots[:, None] - roots[chosen]) ** 2).sum(axis=2).mean()
    chance = ((roots[:, None] - roots[None]) ** 2).sum(axis=2).mean()
    assert own > 0.5
    assert distance < 0.1 * chance


def test_axes_without_variance_and_too_many_axes_are_left_out():
    X, components, patients, _, _ = cohort()
    wide = np.hstack([X, X[:, :1], np.zeros((len(X), 1))])
    assert fit_donor_effects(wide, components, patients, K).coordinates.shape[1] == D
    rng = np.random.default_rng(0)
    many = rng.normal(size=(len(X), 60))
    assert fit_donor_effects(many, components, patients, K).coordinates.shape[1] == 20
    few = fit_donor_effects(many[::60], components[::60], patients[::60], K)
    assert few.coordinates.shape[1] < 10


def test_rows_outside_do_not_count():
    X, components, patients, _, _ = cohort()
    outside = np.arange(len(X)) % 3 == 0
    masked = fit_donor_effects(X, np.where(outside, -1, components), patients, K)
    alone = fit_donor_effects(X[~outside], components[~outside], patients[~outside], K)
    np.testing.assert_allclose(masked.offsets, alone.offsets, atol=1e-8)
    assert (masked.coordinates[outside] == 0).all()


def test_too_few_patients_or_cells():
    X, components, patients, _, _ = cohort()
    with pytest.raises(ValueError, match=r"\b1\b"):
        fit_donor_effects(X, components, np.zeros_like(patients), K)
    with pytest.raises(ValueError, match="component"):
        fit_donor_effects(X[:4], components[:4], np.arange(4), K)


@pytest.mark.parametrize("masked", [False, True])
def test_blocks_and_files_change_nothing(masked, monkeypatch):
    X, components, patients, _, _ = cohort()
    if masked:
        components = np.where(np.arange(len(X)) % 3, components, -1)
    expected = fit_donor_effects(X, components, patients, K)
    in_file = _scratch.filled(lambda part: X[part], X.shape, X.dtype, in_file=True)
    whole = fit_donor_effects(in_file, components, patients, K)
    monkeypatch.setattr(_scratch, "BLOCK_ROWS", 100)
    in_blocks = fit_donor_effects(in_file, components, patients, K)
    assert _scratch.is_in_file(whole.coordinates)
    for name in ("coordinates", "offsets", "precision", "gain", "roots", "variances"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(expected, name), err_msg=name)
        np.testing.assert_allclose(getattr(in_blocks, name), getattr(expected, name), atol=1e-8, err_msg=name)


def test_bandwidth_of_many_patients_is_that_of_some_of_them(monkeypatch):
    roots = np.sqrt(np.random.default_rng(0).dirichlet(np.full(8, 5.0), size=1_500))
    exact = _donor_effects._bandwidth(roots)
    monkeypatch.setattr(_donor_effects, "_MOST_NEIGHBOURED", 400)
    assert _donor_effects._bandwidth(roots) == pytest.approx(exact, rel=0.1)
