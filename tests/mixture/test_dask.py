from __future__ import annotations

import time
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from repatient.mixture import GaussianMixture, _dask, masked_rows
from repatient.mixture._chunks import as_rows, iter_blocks, take_rows
from repatient.mixture._dask import part_lengths


@pytest.fixture
def small_parts(monkeypatch):
    """Many tasks for few rows."""
    monkeypatch.setattr(_dask, "PART_ROWS", 256)


def fitted(rows, n_components=3, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(n_components, **({"n_init": 2, "init_max_samples": 400} | params)).fit(rows)


def assert_same_fit(one, other, rtol):
    assert one.n_iter_ == other.n_iter_
    for name in ("weights_", "means_", "covariances_", "log_likelihood_", "log_likelihoods_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=rtol, err_msg=name)


CHUNKS = [(500, 4), (7, 4), (2000, 1), ((1, 1000, 3, 0, 996), (4,)), ((2000,), (1, 3))]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("chunks", "dtype", "rtol"),
    [*((chunks, np.float64, 1e-12) for chunks in CHUNKS), (CHUNKS[0], np.float32, 1e-6)],
    ids=str,
)
def test_threads_give_the_result_of_the_array(plant, chunks, dtype, rtol):
    rows = plant(2000, 3, 4).rows.astype(dtype)
    lazy = da.from_array(rows, chunks=chunks)
    expected = fitted(rows)
    with dask.config.set(scheduler="threads", num_workers=4):
        mixture = fitted(lazy)
        assert_same_fit(mixture, expected, rtol)
        np.testing.assert_array_equal(mixture.predict(lazy), expected.predict(rows))
        np.testing.assert_allclose(mixture.predict_proba(lazy), expected.predict_proba(rows), atol=10 * rtol)
        np.testing.assert_allclose(mixture.score_samples(lazy), expected.score_samples(rows), rtol=10 * rtol)
        assert mixture.score(lazy) == pytest.approx(expected.score(rows), rel=rtol)
        labels, density, proba = mixture.predict_with_density(lazy, return_proba=True)
    np.testing.assert_array_equal(labels, expected.predict(rows))
    assert (labels.dtype, density.dtype, proba.dtype) == (np.int32, np.float32, np.float32)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("covariance_type", ["tied", "diag"])
def test_every_covariance_type(plant, covariance_type):
    rows = plant(2000, 3, 4).rows
    lazy = da.from_array(rows, chunks=(300, -1))
    expected = fitted(rows, covariance_type=covariance_type)
    assert_same_fit(fitted(lazy, covariance_type=covariance_type), expected, 1e-12)


@pytest.mark.usefixtures("small_parts")
def test_the_order_in_which_tasks_end_does_not_matter(plant):
    rows = plant(3000, 4, 4, separation=1.0).rows.astype(np.float32)

    def late(block, block_info=None):
        time.sleep(0.002 * (block_info[0]["chunk-location"][0] % 3))
        return block

    lazy = da.from_array(rows, chunks=(250, -1))
    with dask.config.set(scheduler="threads", num_workers=4):
        parallel = fitted(lazy.map_blocks(late, dtype=rows.dtype), max_iter=10)
    with dask.config.set(scheduler="synchronous"):
        serial = fitted(lazy, max_iter=10)
    np.testing.assert_array_equal(parallel.covariances_, serial.covariances_)
    np.testing.assert_array_equal(parallel.log_likelihoods_, serial.log_likelihoods_)


@pytest.mark.usefixtures("small_parts")
def test_empty_components_move_to_the_rows_that_fit_worst(plant):
    rows = plant(2000, 3, 4, separation=8.0).rows
    far = {"means_init": np.vstack([rows[:3], np.full((1, 4), 1e3)]), "max_iter": 20}
    expected = fitted(rows, 4, **far)
    assert expected.n_reseeded_ > 0
    mixture = fitted(da.from_array(rows, chunks=(300, -1)), 4, **far)
    assert mixture.n_reseeded_ == expected.n_reseeded_
    assert_same_fit(mixture, expected, 1e-10)


@pytest.mark.usefixtures("small_parts")
def test_masks_and_subsamples(plant):
    rng = np.random.default_rng(0)
    rows = plant(3000, 3, 4).rows
    lazy = da.from_array(rows, chunks=(700, 2))
    mask = rng.random(3000) < 0.4
    source = masked_rows(lazy, mask)
    assert source.shape == rows[mask].shape
    np.testing.assert_array_equal(np.concatenate(list(source.pieces())), rows[mask])
    np.testing.assert_array_equal(np.concatenate([block for _, block in iter_blocks(source, 100)]), rows[mask])
    index = np.sort(rng.choice(mask.sum(), size=300, replace=False))
    np.testing.assert_array_equal(take_rows(source, index), rows[mask][index])
    assert_same_fit(fitted(source), fitted(rows[mask]), 1e-12)


@pytest.mark.usefixtures("small_parts")
def test_the_first_bad_row_is_named(plant):
    rows = plant(2000, 3, 4).rows
    rows[1777] = np.inf
    with pytest.raises(ValueError, match=r"\b1777\b"):
        fitted(da.from_array(rows, chunks=(300, -1)))
    mixture = fitted(np.delete(rows, 1777, axis=0))
    with pytest.raises(ValueError, match=r"\b1777\b"):
        mixture.predict(da.from_array(rows, chunks=(300, -1)))


def test_arrays_of_the_wrong_kind_are_refused(plant):
    lazy = da.from_array(plant(200, 3, 4).rows, chunks=(50, -1))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        fitted(lazy[lazy[:, 0] > 0])
    with pytest.raises(TypeError):
        fitted(lazy.map_blocks(sp.csr_matrix))
    with pytest.raises(ValueError, match="two-dimensional"):
        fitted(lazy[:, 0])
    with pytest.raises(TypeError):
        fitted(lazy.astype(complex))


@pytest.mark.parametrize(
    ("chunks", "lengths"),
    [
        ((1000,), (1000,)),
        ((0, 10, 0), (10,)),
        ((20_000,) * 7, (60_000, 60_000, 20_000)),
        ((65_536, 65_536), (65_536, 65_536)),
        ((80_000, 80_000), (80_000, 80_000)),
        ((200_000, 5), (66_666, 66_667, 66_667, 5)),
        ((1_000,) * 131, (65_000, 65_000, 1_000)),
    ],
)
def test_parts_have_about_as_many_rows_as_a_task_wants(chunks, lengths):
    assert part_lengths(chunks) == lengths


def test_one_task_for_each_part(plant, monkeypatch):
    rows = plant(2000, 3, 4).rows
    monkeypatch.setattr(_dask, "PART_ROWS", 500)
    source = as_rows(da.from_array(rows, chunks=(10, -1)))
    seen = []
    total = source.fold(lambda part: seen.append(len(part)) or part.sum(), lambda a, b: a + b)
    assert sorted(seen) == [500] * 4
    assert total == pytest.approx(rows.sum())


def test_fits_after_one_on_dask_have_the_same_bits(plant, small_parts):
    rows = plant(1500, 4, 6).rows.astype(np.float32)
    before = fitted(rows, 4, max_iter=8).means_
    with dask.config.set(scheduler="threads", num_workers=4):
        for _ in range(3):
            fitted(da.from_array(rows, chunks=(100, -1)), 4, max_iter=8)
    assert fitted(rows, 4, max_iter=8).means_.tobytes() == before.tobytes()


def test_a_cluster_of_processes_gives_the_result_of_the_array(plant, monkeypatch):
    monkeypatch.setattr(_dask, "PART_ROWS", 4000)
    distributed = pytest.importorskip("distributed")
    rows = plant(20_000, 4, 6).rows.astype(np.float32)
    expected = fitted(rows, 4, max_iter=8)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, memory_limit=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        lazy = da.from_array(rows, chunks=(6_000, -1)).persist()
        mixture = fitted(lazy, 4, max_iter=8)
        labels, density = mixture.predict_with_density(lazy)
    assert_same_fit(mixture, expected, 1e-6)
    expected_labels, expected_density = expected.predict_with_density(rows)
    assert (labels != expected_labels).mean() < 1e-4
    # Single rows keep the digits of single precision, and their mean more.
    np.testing.assert_allclose(density, expected_density, atol=1e-3)
    assert density.mean(dtype=float) == pytest.approx(expected_density.mean(dtype=float), rel=1e-6)
