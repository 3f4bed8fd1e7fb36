from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling import draw_patients, most_per_donor

N_ROWS, K, DONORS, PATIENTS = 6000, 8, 20, 150


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    return rng.integers(0, K, N_ROWS), rng.integers(0, DONORS, N_ROWS)


@pytest.fixture
def counts():
    rng = np.random.default_rng(1)
    return rng.multinomial(300, rng.dirichlet(np.full(K, 3.0), size=PATIENTS))


def table(draw, values, n_values):
    """Drawn cells of each patient by the value that their row has."""
    result = np.zeros((PATIENTS, n_values), dtype=int)
    np.add.at(result, (np.repeat(np.arange(PATIENTS), np.diff(draw.indptr)), values[draw.rows]), 1)
    return result


def test_counts_are_met_and_rows_not_repeated(pool, counts):
    components, _ = pool
    draw = draw_patients(counts, components, rng=np.random.default_rng(2))
    np.testing.assert_array_equal(table(draw, components, K), counts)
    assert draw.counts(N_ROWS).data.max() == 1
    assert draw.moved.sum() == draw.repeated.sum() == 0
    assert draw.counts(N_ROWS).shape == (N_ROWS, PATIENTS)


def test_rows_of_a_component_are_equally_likely(pool):
    components, _ = pool
    counts = np.zeros((2000, K), dtype=int)
    counts[:, 3] = 40
    draw = draw_patients(counts, components, rng=np.random.default_rng(0))
    drawn = np.bincount(draw.rows, minlength=N_ROWS)[components == 3]
    # Drawn without replacement, the counts are a little more even than a multinomial's.
    assert 0.001 < stats.chisquare(drawn).pvalue


def test_rows_outside_the_pool_are_never_drawn(pool, counts):
    components, donors = pool
    inside = np.where(donors < 5, components, -1)
    for kwargs in ({}, {"donors": donors, "n_donors": 3}):
        draw = draw_patients(counts, inside, rng=np.random.default_rng(0), **kwargs)
        assert (inside[draw.rows] >= 0).all()


def test_a_small_component_gives_all_its_rows_before_one_twice():
    components = np.array([0] * 5 + [1] * 100)
    draw = draw_patients(np.array([[13, 20]]), components, rng=np.random.default_rng(0))
    times = np.bincount(draw.rows, minlength=105)
    assert set(times[:5]) == {2, 3}
    assert times[:5].sum() == 13
    assert times[5:].max() == 1
    assert draw.repeated.tolist() == [[8, 0]]


@pytest.mark.parametrize("n_donors", [1, 3, 10])
def test_each_patient_has_n_donors(pool, counts, n_donors):
    components, donors = pool
    draw = draw_patients(counts, components, donors, n_donors=n_donors, rng=np.random.default_rng(0))
    of_donor = table(draw, donors, DONORS)
    assert ((of_donor > 0).sum(axis=1) == n_donors).all()
    np.testing.assert_array_equal(table(draw, components, K), counts)
    # Every donor has all components, so that none is preferred.
    assert stats.chisquare((of_donor > 0).sum(axis=0)).pvalue > 0.001


@pytest.mark.parametrize(("n_donors", "share"), [(None, 0.06), (None, 0.2), (4, 0.25), (5, 0.3), (2, 0.5)])
def test_no_donor_gives_more_than_its_share(pool, counts, n_donors, share):
    components, donors = pool
    draw = draw_patients(
        counts, components, donors, n_donors=n_donors, max_donor_share=share, rng=np.random.default_rng(0)
    )
    of_donor = table(draw, donors, DONORS)
    assert (of_donor <= share * counts.sum(axis=1, keepdims=True)).all()
    np.testing.assert_array_equal(of_donor.sum(axis=1), counts.sum(axis=1))
    np.testing.assert_array_equal(table(draw, components, K), counts)


def test_what_donors_do_not_have_comes_from_other_components():
    components = np.array([0] * 50 + [1] * 50)
    donors = np.array([0] * 50 + [1] * 50)
    counts = np.tile([20, 10], (40, 1))
    draw = draw_patients(counts, components, donors, n_donors=1, rng=np.random.default_rng(0))
    # The donor of the larger half is the better one and is found.
    assert (donors[draw.rows] == 0).all()
    assert (draw.moved == [0, 10]).all()
    assert (np.diff(draw.indptr) == 30).all()


def test_share_is_kept_where_a_component_has_one_donor():
    components = np.array([0] * 100 + [1] * 100 + [1] * 100)
    donors = np.repeat([0, 1, 2], 100)
    draw = draw_patients(np.array([[60, 40]]), components, donors, max_donor_share=0.4, rng=np.random.default_rng(0))
    assert np.bincount(donors[draw.rows]).max() <= 40
    assert len(draw.rows) == 100
    assert draw.moved.tolist() == [[20, 0]]


def test_uniform_over_the_chosen_donors_without_a_share(pool):
    components, donors = pool
    counts = np.zeros((400, K), dtype=int)
    counts[:, 2] = 60
    draw = draw_patients(counts, components, donors, n_donors=DONORS, rng=np.random.default_rng(0))
    expected = np.bincount(donors[components == 2], minlength=DONORS)
    drawn = np.bincount(donors[draw.rows], minlength=DONORS)
    assert stats.chisquare(drawn, expected / expected.sum() * drawn.sum()).pvalue > 0.001


def test_same_seed_same_rows(pool, counts):
    components, donors = pool
    first, second = (
        draw_patients(counts, components, donors, n_donors=3, max_donor_share=0.5, rng=np.random.default_rng(5)).rows
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_most_per_donor_is_not_bitten_by_rounding():
    assert most_per_donor(np.array([300, 301]), 1 / 3).tolist() == [100, 100]
    assert most_per_donor(np.array([7]), 1.0).tolist() == [7]


def test_no_patients(pool):
    draw = draw_patients(np.zeros((0, K), dtype=int), pool[0], rng=np.random.default_rng(0))
    assert draw.counts(N_ROWS).shape == (N_ROWS, 0)
