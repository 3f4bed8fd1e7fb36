from __future__ import annotations

import tracemalloc
import warnings

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
import zarr
from sklearn.exceptions import ConvergenceWarning

from repatient.mixture import GaussianMixture, _sources, masked_rows, select_n_components
from repatient.mixture._chunks import as_rows, iter_blocks, take_rows
from repatient.mixture._sources import RowSource, StoredRows

KINDS = ["zarr", "zarr tiny", "zarr columns", "h5py", "h5py contiguous", "minimal"]


class Minimal:
    """Nothing but a shape, a dtype and row slices."""

    def __init__(self, rows):
        self._rows = rows
        self.shape, self.dtype = rows.shape, rows.dtype
        self.n_largest = 0

    def __getitem__(self, where):
        assert isinstance(where, slice)
        self.n_largest = max(self.n_largest, where.stop - where.start)
        return self._rows[where]


@pytest.fixture
def store(tmp_path):
    """Write rows to a store of the given kind."""

    def write(rows, kind):
        if kind == "minimal":
            return Minimal(rows)
        name = tmp_path / f"rows{len(list(tmp_path.iterdir()))}"
        if kind.startswith("h5py"):
            chunks = None if kind == "h5py contiguous" else (130, 2)
            return h5py.File(f"{name}.h5", "w").create_dataset("rows", data=rows, chunks=chunks)
        chunks = {"zarr": (300, rows.shape[1]), "zarr tiny": (41, rows.shape[1]), "zarr columns": (len(rows), 1)}[kind]
        return zarr.create_array(f"{name}.zarr", data=rows, chunks=chunks)

    return write


@pytest.fixture
def small_pieces(monkeypatch):
    """Stores are read in many pieces, and no source is small enough to be read as a whole."""
    monkeypatch.setattr(_sources, "PIECE_BYTES", 10_000)


def fitted(rows, n_components=3, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(n_components, n_init=2, init_max_samples=400, **params).fit(rows)


def assert_same_fit(one, other, rtol):
    assert one.n_iter_ == other.n_iter_
    for name in ("weights_", "means_", "covariances_", "log_likelihood_", "log_likelihoods_"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("kind", "dtype", "rtol"), [*((kind, np.float64, 1e-12) for kind in KINDS), ("zarr", np.float32, 1e-6)]
)
def test_every_store_gives_the_result_of_the_array(plant, store, kind, dtype, rtol):
    rows = plant(1000, 3, 4).rows.astype(dtype)
    stored = store(rows, kind)
    assert isinstance(as_rows(stored), RowSource)
    expected, mixture = fitted(rows), fitted(stored)
    assert_same_fit(mixture, expected, rtol)
    np.testing.assert_array_equal(mixture.predict(stored), expected.predict(rows))
    np.testing.assert_allclose(mixture.score_samples(stored), expected.score_samples(rows), rtol=10 * rtol)
    np.testing.assert_allclose(mixture.predict_proba(stored), expected.predict_proba(rows), atol=10 * rtol)
    for ours, theirs in zip(
        mixture.predict_with_density(stored, return_proba=True),
        expected.predict_with_density(rows, return_proba=True),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert mixture.bic(stored) == pytest.approx(expected.bic(rows), rel=rtol)
    assert mixture.aic(stored) == pytest.approx(expected.aic(rows), rel=rtol)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("covariance_type", ["tied", "diag"])
def test_every_covariance_type_reads_stores(plant, store, covariance_type):
    rows = plant(2000, 3, 4).rows
    expected = fitted(rows, covariance_type=covariance_type)
    assert_same_fit(fitted(store(rows, "zarr"), covariance_type=covariance_type), expected, 1e-12)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_tensors_are_read_without_a_copy(plant, requires_grad):
    rows = plant(1000, 3, 4).rows.astype(np.float32)
    tensor = torch.from_numpy(rows).requires_grad_(requires_grad)
    assert np.shares_memory(as_rows(tensor), rows)
    assert_same_fit(fitted(tensor), fitted(rows), 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 64, 333, 5000])
def test_blocks_are_those_of_the_array(store, kind, length):
    rows = np.random.default_rng(0).normal(size=(1200, 3)).astype(np.float32)
    blocks, expected = (list(iter_blocks(as_rows(X), length)) for X in (store(rows, kind), rows))
    assert [where for where, _ in blocks] == [where for where, _ in expected]
    for (_, block), (_, other) in zip(blocks, expected, strict=True):
        np.testing.assert_array_equal(block, other)


class Pieces(StoredRows):
    """An array in pieces of given lengths."""

    def __init__(self, rows, lengths):
        super().__init__(rows)
        self._lengths = lengths

    def pieces(self):
        return iter(np.split(self._values, np.cumsum(self._lengths)[:-1]))


@pytest.mark.parametrize("lengths", [[100], [1] * 100, [0, 50, 0, 0, 50, 0], [3, 64, 33], [99, 1], [7, 7, 1, 85]])
@pytest.mark.parametrize("length", [1, 7, 10, 64, 100, 101])
def test_pieces_of_any_lengths_make_the_same_blocks(lengths, length):
    rows = np.arange(200.0).reshape(100, 2)
    blocks = [block for _, block in iter_blocks(Pieces(rows, lengths), length)]
    assert {len(block) for block in blocks[:-1]} <= {length}
    assert all(len(block) for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), rows)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0005, 0.3, 1.0])
def test_masks_filter_what_is_read(plant, store, kind, share):
    rng = np.random.default_rng(1)
    rows = plant(3000, 3, 4).rows
    mask = rng.random(3000) < share
    mask[1234] = True
    source = masked_rows(store(rows, kind), mask)
    assert source.shape == rows[mask].shape
    np.testing.assert_array_equal(np.concatenate(list(source.pieces())), rows[mask])
    index = np.sort(rng.choice(mask.sum(), size=min(mask.sum(), 50), replace=False))
    np.testing.assert_array_equal(take_rows(source, index), rows[mask][index])
    again = rng.random(mask.sum()) < 0.5
    again[-1] = True
    np.testing.assert_array_equal(np.concatenate(list(masked_rows(source, again).pieces())), rows[mask][again])


def test_pieces_outside_the_mask_are_not_read():
    stored = Minimal(np.random.default_rng(0).normal(size=(1_200_000, 2)).astype(np.float32))
    mask = np.zeros(1_200_000, dtype=bool)
    mask[-5:] = True
    assert len(list(masked_rows(stored, mask).pieces())) == 1
    assert stored.n_largest == 1_200_000 % (_sources.PIECE_BYTES // 8)


@pytest.mark.usefixtures("small_pieces")
def test_a_masked_fit_is_that_of_the_masked_array(plant, store):
    rows = plant(3000, 3, 4).rows
    mask = np.random.default_rng(0).random(3000) < 0.6
    assert_same_fit(fitted(masked_rows(store(rows, "zarr"), mask)), fitted(rows[mask]), 1e-12)
    np.testing.assert_array_equal(masked_rows(rows, mask), rows[mask])


@pytest.mark.parametrize("mask", [np.ones(9, dtype=bool), np.ones(10, dtype=int), np.ones((10, 1), dtype=bool)])
def test_masks_that_do_not_fit_are_refused(mask):
    with pytest.raises(ValueError, match="`mask`"):
        masked_rows(np.ones((10, 2)), mask)


@pytest.mark.usefixtures("small_pieces")
def test_reads_never_exceed_a_piece(plant):
    stored = Minimal(plant(5000, 3, 4).rows)
    fitted(stored).predict(stored)
    assert 0 < stored.n_largest <= 10_000 // (4 * 8)


def test_pieces_keep_to_the_chunks_of_the_store(store, monkeypatch):
    rows = np.zeros((1000, 4), dtype=np.float32)
    for n_bytes, lengths in [(16 * 700, [600, 400]), (16, [300, 300, 300, 100])]:
        monkeypatch.setattr(_sources, "PIECE_BYTES", n_bytes)
        assert [len(piece) for piece in as_rows(store(rows, "zarr")).pieces()] == lengths


@pytest.mark.usefixtures("small_pieces")
def test_selection_reads_stores(plant, store):
    rows = plant(1000, 3, 4, separation=8.0).rows
    groups = np.random.default_rng(0).integers(8, size=1000)
    settings = {"n_splits": 2, "n_init": 1, "init_max_samples": 400}
    best, table = select_n_components(store(rows, "zarr"), groups, [1, 3], **settings)
    expected, expected_table = select_n_components(rows, groups, [1, 3], **settings)
    assert best == expected == 3
    np.testing.assert_allclose(table["log_likelihood"], expected_table["log_likelihood"], rtol=1e-12)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_bad_row_is_named(plant, store, kind):
    rows = plant(2000, 3, 4).rows
    rows[[777, 1500]] = np.nan
    with pytest.raises(ValueError, match=r"\b777\b"):
        fitted(store(rows, kind))


def test_stores_of_the_wrong_kind_are_refused(store):
    with pytest.raises(ValueError, match="two-dimensional"):
        fitted(store(np.ones((5, 2, 2)), "minimal"))
    with pytest.raises(TypeError):
        fitted(store(np.ones((50, 2), dtype=complex), "minimal"))
    with pytest.raises(TypeError, match="csr"):
        fitted(store(sp.random(500, 4, density=0.5, format="csr"), "minimal"))


@pytest.mark.parametrize("kind", ["h5py", "dask"])
def test_a_fit_holds_a_few_pieces_and_never_all_rows(tmp_path, kind):
    n_rows, rng = 600_000, np.random.default_rng(0)
    if kind == "h5py":
        stored = h5py.File(tmp_path / "a.h5", "w").create_dataset("a", (n_rows, 32), "f4", chunks=(5000, 32))
    else:
        stored = zarr.create_array(tmp_path / "a.zarr", shape=(n_rows, 32), dtype="f4", chunks=(20_000, 32))
    centres = rng.normal(scale=3, size=(2, 32))
    for start in range(0, n_rows, 20_000):
        labels = rng.integers(2, size=20_000)
        stored[start : start + 20_000] = centres[labels] + rng.standard_normal((20_000, 32), dtype="f4")
    rows = da.from_zarr(tmp_path / "a.zarr") if kind == "dask" else stored
    with dask.config.set(scheduler="threads", num_workers=1):
        tracemalloc.start()
        mixture = fitted(rows, 2, covariance_type="diag", max_iter=2)
        mixture.predict_with_density(rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # All rows are 77 MB, the two arrays of results 5 MB.
    assert peak < 50e6, f"{peak / 1e6:.0f} MB"
