"""Bags over cells that lie in a file, and work in blocks of cells: the same bits as over cells in memory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from repatient._files import _scratch
from repatient.mil import Bags, MILClassifier
from repatient.mil._inputs import check_bags, compact, fit_scaler

QUICK = {"max_epochs": 3, "progress": False, "device": "cpu"}


@pytest.fixture
def in_file(planted):
    """The bags over a copy of their cells in a file."""
    bags, y = planted
    X = _scratch.filled(lambda part: bags.X[part], bags.X.shape, bags.X.dtype, in_file=True)
    return Bags(X, bags.rows, bags.indptr), y


@pytest.fixture
def generated(planted):
    counts = sparse.random_array((len(planted[0].X), 30), density=0.1, random_state=0, format="csc")
    counts.data[:] = 1 + np.arange(counts.nnz) % 2
    return counts


def test_training_and_prediction_give_the_same_bits(planted, in_file, generated):
    models = []
    for bags, y in (planted, in_file):
        drawn = Bags.from_counts(bags.X, generated)
        settings = {"generated": drawn, "generated_y": np.resize(y, 30)}
        models.append(MILClassifier(**QUICK).fit(bags, y, **settings))
    assert models[0].history_ == models[1].history_
    for predict in ("predict_proba", "predict_proba_mc", "attention"):
        found = [getattr(models[0], predict)(bags) for bags in (planted[0], in_file[0])]
        np.testing.assert_array_equal(*found)
        # Cells that several bags have are encoded once, and what they are encoded as lies in a file, too.
        shared = [getattr(models[0], predict)(Bags.from_counts(bags.X, generated)) for bags in (planted[0], in_file[0])]
        np.testing.assert_array_equal(*shared)


def test_standardised_cells_lie_where_the_cells_do(planted, in_file):
    for bags, expected in ((planted[0], False), (in_file[0], True)):
        (compacted,) = compact([bags.take([3, 1])], lambda rows: 2 * rows)
        assert _scratch.is_in_file(compacted.X) == expected
        np.testing.assert_array_equal(compacted.X[compacted.rows], 2 * bags.X[bags.take([3, 1]).rows])


def test_blocks_change_nothing(planted, monkeypatch):
    bags, _ = planted
    mean, scale = fit_scaler(bags, standardize=True)
    monkeypatch.setattr(_scratch, "BLOCK_ROWS", 100)
    np.testing.assert_allclose(fit_scaler(bags, standardize=True), (mean, scale), rtol=1e-12, atol=1e-15)
    X = bags.X.copy()
    X[[3, 250, 251]] = np.nan
    with pytest.raises(ValueError, match=r"\b3\b.*\b3\b"):
        check_bags(Bags(X, bags.rows, bags.indptr), "bags")
    some = np.flatnonzero(np.arange(len(X)) % 250 > 3)
    check_bags(Bags(X, some, np.array([0, len(some)])), "bags")
