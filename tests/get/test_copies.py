"""Rows on disk are read once, and their copies come in the order that is asked for."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

from repatient.get._copies import Copies
from repatient.get._rows import Rows

N, D = 103, 5


@pytest.fixture(params=["dense", "sparse", "one number a row"])
def matrix(request):
    X = np.random.default_rng(0).poisson(0.7, (N, D)).astype(np.float32)
    X[7:10] = 0
    return {"dense": X, "sparse": sp.csr_matrix(X), "one number a row": X[:, 0]}[request.param]


class Counted(Rows):
    """Rows as of a file, which know how many were read."""

    def __init__(self, matrix):
        super().__init__(matrix, "X")
        self.n_rows_read = 0

    def block(self, start, stop):
        self.n_rows_read += stop - start
        return super().block(start, stop)


def dense(block):
    return block.toarray() if sp.issparse(block) else block


@pytest.mark.parametrize("sizes", [(20, 20), (20, 31), (200, 7)])
@pytest.mark.parametrize("first", ["rows", "copies"])
def test_copies(matrix, sizes, first, tmp_path):
    which = np.random.default_rng(1).integers(N, size=77)
    which[:5], which[50:60] = 8, 3
    rows = Counted(matrix)
    copies = Copies(rows, which, sizes[0], tmp_path)
    if first == "rows":
        read = [copies.real(start, min(start + sizes[0], N)) for start in range(0, N, sizes[0])]
        np.testing.assert_array_equal(np.concatenate([dense(block) for block in read]), dense(matrix))
    for start in (*range(0, 77, sizes[1]), 40):
        stop = min(start + sizes[1], 77)
        block = copies.generated(start, stop)
        assert block.dtype == np.float32
        assert sp.issparse(block) == sp.issparse(matrix)
        np.testing.assert_array_equal(dense(block), dense(matrix)[which[start:stop]])
    assert rows.n_rows_read == N
    assert list(tmp_path.iterdir()) == []


def test_no_copies_and_dask_arrays(tmp_path):
    X = np.arange(12.0).reshape(6, 2)
    none = Copies(Rows(X, "X"), np.zeros(0, dtype=np.int64), 4, tmp_path)
    assert none.generated(0, 0).shape == (0, 2)
    copies = Copies(Rows(da.from_array(X, chunks=(2, 2)), "X"), np.array([5, 0, 5]), 4, tmp_path)
    np.testing.assert_array_equal(copies.generated(0, 3), X[[5, 0, 5]])
