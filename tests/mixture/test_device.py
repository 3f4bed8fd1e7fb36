"""Passes on a device of torch give what passes with numpy give."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch

from repatient.mixture import GaussianMixture, _density, _device, _gaussian_mixture

TYPES = ["full", "tied", "diag"]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no CUDA device here")


@pytest.fixture
def on_torch(monkeypatch):
    """Lets ``device="torch"`` compute with torch wherever the tests run; small blocks, so that there are several."""
    monkeypatch.setattr(_device, "_MIN_ROWS", 64)
    monkeypatch.setattr(_device, "FEATURE_BYTES", 40_000)
    for module in (_gaussian_mixture, _density):
        monkeypatch.setattr(module, "torch_device", {"torch": "cpu", "cpu": None}.__getitem__)
    return "torch"


def fit_both(rows, device, **settings):
    return [GaussianMixture(4, device=name, **settings).fit(rows) for name in ("cpu", device)]


def assert_alike(ours, other, rows, tolerance):
    for name in ("weights_", "means_", "covariances_", "log_likelihoods_", "log_likelihood_"):
        np.testing.assert_allclose(getattr(other, name), getattr(ours, name), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        other.score_samples(rows), ours.score_samples(rows), rtol=tolerance, atol=100 * tolerance
    )
    np.testing.assert_allclose(other.predict_proba(rows), ours.predict_proba(rows), atol=10 * tolerance)
    assert np.mean(other.predict(rows) == ours.predict(rows)) > 0.999


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(
    ("n_dims", "dtype", "tolerance"), [(1, np.float64, 1e-10), (4, np.float64, 1e-10), (4, np.float32, 1e-5)]
)
def test_same_as_numpy(plant, on_torch, covariance_type, n_dims, dtype, tolerance):
    rows = plant(2000, 4, n_dims).rows.astype(dtype)
    ours, other = fit_both(rows, on_torch, covariance_type=covariance_type, n_init=2)
    assert_alike(ours, other, rows, tolerance)


def test_rows_far_away_are_scored_in_double_precision(plant, on_torch):
    rows = plant(2000, 4, 3).rows.astype(np.float32)
    ours, other = fit_both(rows, on_torch)
    far = rows[:300].copy()
    far[100] = 1e5
    np.testing.assert_allclose(other.score_samples(far), ours.score_samples(far), rtol=1e-5)
    exact = GaussianMixture.from_parameters(other.weights_, other.means_, other.covariances_)
    assert other.score_samples(far)[100] == pytest.approx(exact.score_samples(far.astype(np.float64))[100], rel=1e-7)


def test_component_without_rows_is_reseeded(plant, on_torch):
    rows = plant(2000, 3, 2, separation=8.0).rows
    means = np.array([rows[0], rows[1], rows[2], [1e4, 1e4]])
    ours, other = fit_both(rows, on_torch, means_init=means, tol=1e-5, max_iter=500)
    assert other.n_reseeded_ == ours.n_reseeded_ >= 1
    assert_alike(ours, other, rows, 1e-8)


def test_parts_of_a_dask_array(plant, on_torch):
    rows = plant(2000, 4, 3).rows
    given = {"means_init": rows[:4], "max_iter": 500}
    ours = GaussianMixture(4, **given).fit(rows)
    other = GaussianMixture(4, device=on_torch, **given).fit(da.from_array(rows, chunks=(700, 3)))
    np.testing.assert_allclose(other.means_, ours.means_, rtol=1e-9)


def test_products_are_not_rounded_to_tf32(plant, on_torch):
    settings = torch.backends.cuda.matmul
    name, whole = ("fp32_precision", "ieee") if hasattr(settings, "fp32_precision") else ("allow_tf32", False)
    seen: list[object] = []
    torch.set_float32_matmul_precision("high")
    try:
        with Watch(lambda: seen.append(getattr(settings, name))):
            GaussianMixture(4, device=on_torch).fit(plant(500, 4, 3).rows.astype(np.float32))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert len(seen) > 10
    assert set(seen) == {whole}


class Watch(torch.overrides.TorchFunctionMode):
    """Calls a function at every product."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.matmul, torch.Tensor.__matmul__, torch.matmul):
            self.note()
        return function(*args, **(kwargs or {}))


def test_device_without_double_precision_or_name_is_refused(plant):
    rows = plant(100, 2, 2).rows
    for name in ("mps", "meta", "nonsense", "cuda:99"):
        with pytest.raises(ValueError, match=r"device='.*'cpu', 'auto'"):
            GaussianMixture(2, device=name).fit(rows)
    with pytest.raises(TypeError, match="device"):
        GaussianMixture(2, device=0).fit(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a CUDA device here")
def test_auto_is_the_cpu_where_there_is_nothing_else(plant):
    rows = plant(500, 2, 3).rows
    np.testing.assert_array_equal(
        GaussianMixture(2, device="auto").fit(rows).means_, GaussianMixture(2).fit(rows).means_
    )


@needs_cuda
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_cuda(plant, covariance_type, dtype, tolerance):
    rows = plant(200_000, 4, 8).rows.astype(dtype)
    ours, other = fit_both(rows, "cuda", covariance_type=covariance_type)
    assert_alike(ours, other, rows, tolerance)
