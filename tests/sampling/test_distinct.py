from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling._distinct import draw_distinct, positions_within


@pytest.mark.parametrize(("size", "n"), [(3, 2), (5, 2), (5, 4), (7, 3), (12, 3), (12, 7), (40, 12)])
def test_every_subset_is_equally_likely(size, n):
    sets = 20_000
    drawn = draw_distinct(np.full(sets, n), np.full(sets, size), np.random.default_rng(0)).reshape(sets, n)
    member = np.zeros((sets, size))
    member[np.arange(sets)[:, None], drawn] = 1
    assert (member.sum(axis=1) == n).all()
    together = (member.T @ member)[np.triu_indices(size, 1)]
    assert stats.chisquare(member.sum(axis=0)).pvalue > 0.01
    assert stats.chisquare(together).pvalue > 0.01


def test_mixed_sizes_and_whole_sets():
    sizes = np.array([1, 5, 1000, 3, 0])
    n = np.array([1, 5, 10, 0, 0])
    drawn = draw_distinct(n, sizes, np.random.default_rng(0))
    parts = np.split(drawn, np.cumsum(n)[:-1])
    assert [len(part) for part in parts] == list(n)
    assert sorted(parts[1]) == list(range(5))
    assert len(set(parts[2])) == 10
    assert parts[2].max() < 1000


def test_positions_within():
    assert positions_within(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
