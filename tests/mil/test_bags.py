from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from repatient.mil import Bags
from repatient.mil._bags import used_rows


@pytest.fixture
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 3))


def members(bags: Bags) -> list[list[int]]:
    return [bags.rows[a:b].tolist() for a, b in zip(bags.indptr[:-1], bags.indptr[1:], strict=True)]


def test_from_codes_gathers_interleaved_instances_and_leaves_out_minus_one(X):
    bags = Bags.from_codes(X, np.array([2, 0, -1, 2, 0, -1, 2]), 4)
    assert members(bags) == [[1, 4], [], [0, 3, 6], []]
    assert len(bags) == 4
    assert bags.sizes.tolist() == [2, 0, 3, 0]


def test_from_counts_repeats_rows_and_incidence_gives_the_counts_back(X):
    counts = np.random.default_rng(1).integers(0, 4, size=(7, 5))
    counts[:, 2] = 0
    for given in (counts, sparse.csc_matrix(counts), sparse.csr_array(counts.astype(np.float32))):
        bags = Bags.from_counts(X, given)
        assert bags.sizes.tolist() == counts.sum(axis=0).tolist()
        incidence = bags.incidence()
        assert incidence.format == "csc"
        np.testing.assert_array_equal(incidence.toarray(), counts)


def test_incidence_adds_up_unsorted_repeats_and_leaves_the_bags_alone(X):
    bags = Bags(X, np.array([5, 1, 5, 0]), np.array([0, 3, 4]))
    dense = bags.incidence().toarray()
    assert dense[5, 0] == 2
    assert dense.sum() == 4
    assert bags.rows.tolist() == [5, 1, 5, 0]


def test_take_selects_reorders_and_repeats(X):
    bags = Bags.from_codes(X, np.array([2, 0, 1, 2, 0, 1, 2]), 4)
    assert members(bags.take([2, 3, 0, 2])) == [[0, 3, 6], [], [1, 4], [0, 3, 6]]
    assert members(bags.take(np.array([True, False, False, True]))) == [[1, 4], []]
    assert len(bags.take([])) == 0


def test_concatenate_keeps_the_order_and_wants_one_array(X):
    a, b = Bags.from_codes(X, np.zeros(7, int), 1), Bags(X, np.array([3, 3, 1]), np.array([0, 2, 3]))
    joined = Bags.concatenate(a, b)
    assert members(joined) == [*members(a), [3, 3], [1]]
    assert joined.X is X
    with pytest.raises(ValueError, match="X"):
        Bags.concatenate(a, Bags(X.copy(), b.rows, b.indptr))


def test_drop_rows_may_empty_a_bag(X):
    bags = Bags(X, np.array([0, 0, 1, 2, 6]), np.array([0, 3, 4, 5]))
    mask = np.zeros(7, bool)
    mask[[0, 2]] = True
    assert members(bags.drop_rows(mask)) == [[1], [], [6]]


@pytest.mark.parametrize(
    ("rows", "indptr", "match"),
    [
        ([0, 7], [0, 2], r"\b0\b.*\b6\b"),
        ([-1], [0, 1], "rows must lie"),
        ([0, 1], [0, 1], r"\b0\b.*\b2\b"),
        ([0, 1], [0, 2, 1, 2], "indptr"),
        ([0, 1], [1, 2], "indptr"),
        ([0.0, 1.0], [0, 2], "rows must be one-dimensional and of integers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(X, rows, indptr, match):
    with pytest.raises(ValueError, match=match):
        Bags(X, np.array(rows), np.array(indptr))


def test_constructors_name_what_is_wrong(X):
    with pytest.raises(ValueError, match="csr_matrix"):
        Bags(sparse.csr_matrix(X), np.array([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="codes.*-1.*1"):
        Bags.from_codes(X, [0, 1, 2, 0, 0, 0, 0], 2)
    with pytest.raises(ValueError, match="codes.*2.*7"):
        Bags.from_codes(X, [0, 1], 2)
    with pytest.raises(ValueError, match="whole"):
        Bags.from_counts(X, np.full((7, 1), 0.5))
    with pytest.raises(ValueError, match="whole"):
        Bags.from_counts(X, np.full((7, 1), -1))
    with pytest.raises(ValueError, match="mask.*3"):
        Bags.from_codes(X, np.zeros(7, int), 1).drop_rows([True, False, True])
    with pytest.raises(ValueError, match="bag_indices"):
        Bags.from_codes(X, np.zeros(7, int), 1).take([1])


def test_used_rows_and_their_places(X):
    a, b = Bags(X, np.array([5, 1, 5]), np.array([0, 3])), Bags(X, np.array([2]), np.array([0, 1]))
    used, place = used_rows(a, b)
    assert used.tolist() == [1, 2, 5]
    assert place[[5, 1, 5, 2]].tolist() == [2, 0, 2, 1]
