from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling._distinct import _Sets, draw_distinct, positions_within
from repatient.sampling._streams import PatientStreams, patient_keys


@pytest.mark.parametrize(("size", "n"), [(3, 2), (5, 2), (5, 4), (7, 3), (12, 3), (12, 7), (40, 12)])
def test_every_subset_is_equally_likely(size, n):
    sets = 20_000
    patients = np.repeat(np.arange(sets // 4), 4)
    drawn = draw_distinct(
        np.full(sets, n), np.full(sets, size), patients, PatientStreams(patient_keys(0, 0, sets // 4))
    )
    drawn = drawn.reshape(sets, n)
    member = np.zeros((sets, size))
    member[np.arange(sets)[:, None], drawn] = 1
    assert (member.sum(axis=1) == n).all()
    together = (member.T @ member)[np.triu_indices(size, 1)]
    assert stats.chisquare(member.sum(axis=0)).pvalue > 0.01
    assert stats.chisquare(together).pvalue > 0.01


def test_mixed_sizes_and_whole_sets():
    sizes = np.array([1, 5, 1000, 3, 0])
    n = np.array([1, 5, 10, 0, 0])
    drawn = draw_distinct(n, sizes, np.array([0, 0, 1, 3, 3]), PatientStreams(patient_keys(0, 0, 4)))
    parts = np.split(drawn, np.cumsum(n)[:-1])
    assert [len(part) for part in parts] == list(n)
    assert sorted(parts[1]) == list(range(5))
    assert len(set(parts[2])) == 10
    assert parts[2].max() < 1000


def test_positions_within():
    assert positions_within(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(("size", "n"), [(1000, 499), (1000, 501), (50, 25), (2, 1)])
def test_draws_of_a_set_are_distinct(size, n):
    patients = np.arange(300)
    drawn = draw_distinct(
        np.full(300, n), np.full(300, size), patients, PatientStreams(patient_keys(1, 0, 300)), first=10 * patients
    ).reshape(300, n)
    assert (np.diff(np.sort(drawn.astype(int), axis=1), axis=1) > 0).all()
    assert ((drawn >= 10 * patients[:, None]) & (drawn < 10 * patients[:, None] + size)).all()


def test_sets_too_large_for_even_words_are_drawn_evenly():
    # Of 2**32 words, multiplied down to 3 * 2**30 elements, two would hit every third element and one each other.
    drawn = draw_distinct(
        np.array([30_000]), np.array([3 * 2**30]), np.array([0]), PatientStreams(patient_keys(0, 0, 1))
    )
    assert stats.chisquare(np.bincount(drawn % 3)).pvalue > 1e-3
    assert stats.kstest(drawn / (3 * 2**30), "uniform").pvalue > 1e-3


def test_no_sets():
    empty = np.zeros(0, dtype=int)
    assert len(draw_distinct(empty, empty, empty, PatientStreams(patient_keys(0, 0, 2)))) == 0


@pytest.mark.parametrize(
    "n_draws",
    [[70] * 300, [1, 2, 3, 900, 1, 0, 5], [3] * 5, [1500] * 4, [*[1] * 4000, 50_000], [255, 257, 1, 513], [0]],
)
def test_keys_are_sorted_as_a_whole_whatever_the_sets(n_draws):
    n_draws = np.array(n_draws)
    patients = np.arange(len(n_draws)) // 3
    words = PatientStreams(patient_keys(0, 0, patients.max() + 1))
    sets = _Sets(n_draws, n_draws * 3 + 1, patients, words)
    keys = np.random.default_rng(0).integers(0, np.repeat(sets.sizes, n_draws)) + np.repeat(sets.begins, n_draws)
    keys = keys.astype(np.uint32)
    expected = np.sort(keys)
    sets._sort(keys)
    np.testing.assert_array_equal(keys, expected)
