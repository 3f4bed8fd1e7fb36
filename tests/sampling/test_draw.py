from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling import _draw, draw_patients, most_per_donor

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
    draw = draw_patients(counts, components, seed=2)
    np.testing.assert_array_equal(table(draw, components, K), counts)
    assert draw.counts(N_ROWS).data.max() == 1
    assert draw.moved.sum() == draw.repeated.sum() == 0
    assert draw.counts(N_ROWS).shape == (N_ROWS, PATIENTS)


def test_rows_of_a_component_are_equally_likely(pool):
    components, _ = pool
    counts = np.zeros((2000, K), dtype=int)
    counts[:, 3] = 40
    draw = draw_patients(counts, components, seed=0)
    drawn = np.bincount(draw.rows, minlength=N_ROWS)[components == 3]
    # Drawn without replacement, the counts are a little more even than a multinomial's.
    assert 0.001 < stats.chisquare(drawn).pvalue


def test_rows_outside_the_pool_are_never_drawn(pool, counts):
    components, donors = pool
    inside = np.where(donors < 5, components, -1)
    for kwargs in ({}, {"donors": donors, "n_donors": 3}):
        draw = draw_patients(counts, inside, seed=0, **kwargs)
        assert (inside[draw.rows] >= 0).all()


def test_a_small_component_gives_all_its_rows_before_one_twice():
    components = np.array([0] * 5 + [1] * 100)
    draw = draw_patients(np.array([[13, 20]]), components, seed=0)
    times = np.bincount(draw.rows, minlength=105)
    assert set(times[:5]) == {2, 3}
    assert times[:5].sum() == 13
    assert times[5:].max() == 1
    assert draw.repeated.tolist() == [[8, 0]]


@pytest.mark.parametrize("n_donors", [1, 3, 10])
def test_each_patient_has_n_donors(pool, counts, n_donors):
    components, donors = pool
    draw = draw_patients(counts, components, donors, n_donors=n_donors, seed=0)
    of_donor = table(draw, donors, DONORS)
    assert ((of_donor > 0).sum(axis=1) == n_donors).all()
    np.testing.assert_array_equal(table(draw, components, K), counts)
    # Every donor has all components, so that none is preferred.
    assert stats.chisquare((of_donor > 0).sum(axis=0)).pvalue > 0.001


@pytest.mark.parametrize(("n_donors", "share"), [(None, 0.06), (None, 0.2), (4, 0.25), (5, 0.3), (2, 0.5)])
def test_no_donor_gives_more_than_its_share(pool, counts, n_donors, share):
    components, donors = pool
    draw = draw_patients(counts, components, donors, n_donors=n_donors, max_donor_share=share, seed=0)
    of_donor = table(draw, donors, DONORS)
    assert (of_donor <= share * counts.sum(axis=1, keepdims=True)).all()
    np.testing.assert_array_equal(of_donor.sum(axis=1), counts.sum(axis=1))
    np.testing.assert_array_equal(table(draw, components, K), counts)


def test_what_donors_do_not_have_comes_from_other_components():
    components = np.array([0] * 50 + [1] * 50)
    donors = np.array([0] * 50 + [1] * 50)
    counts = np.tile([20, 10], (40, 1))
    draw = draw_patients(counts, components, donors, n_donors=1, seed=0)
    # The donor of the larger half is the better one and is found.
    assert (donors[draw.rows] == 0).all()
    assert (draw.moved == [0, 10]).all()
    assert (np.diff(draw.indptr) == 30).all()


def test_share_is_kept_where_a_component_has_one_donor():
    components = np.array([0] * 100 + [1] * 100 + [1] * 100)
    donors = np.repeat([0, 1, 2], 100)
    draw = draw_patients(np.array([[60, 40]]), components, donors, max_donor_share=0.4, seed=0)
    assert np.bincount(donors[draw.rows]).max() <= 40
    assert len(draw.rows) == 100
    assert draw.moved.tolist() == [[20, 0]]


def test_uniform_over_the_chosen_donors_without_a_share(pool):
    components, donors = pool
    counts = np.zeros((400, K), dtype=int)
    counts[:, 2] = 60
    draw = draw_patients(counts, components, donors, n_donors=DONORS, seed=0)
    expected = np.bincount(donors[components == 2], minlength=DONORS)
    drawn = np.bincount(donors[draw.rows], minlength=DONORS)
    assert stats.chisquare(drawn, expected / expected.sum() * drawn.sum()).pvalue > 0.001


def test_same_seed_same_rows(pool, counts):
    components, donors = pool
    first, second = (
        draw_patients(counts, components, donors, n_donors=3, max_donor_share=0.5, seed=5).rows for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_most_per_donor_is_not_bitten_by_rounding():
    assert most_per_donor(np.array([300, 301]), 1 / 3).tolist() == [100, 100]
    assert most_per_donor(np.array([7]), 1.0).tolist() == [7]


def test_no_patients(pool):
    draw = draw_patients(np.zeros((0, K), dtype=int), pool[0], seed=0)
    assert draw.counts(N_ROWS).shape == (N_ROWS, 0)


STRUCTURES = {
    "none": {},
    "n_donors": {"n_donors": 3},
    "share": {"max_donor_share": 0.06},
    "both": {"n_donors": 4, "max_donor_share": 0.3},
}


@pytest.fixture
def hard_pool(pool):
    """Donors who lack components, a component of 5 cells and one without any."""
    components, donors = pool
    components = np.where((components < 3) & (donors % 3 == components), 3, components)
    components[np.flatnonzero(components == K - 1)] = K - 2
    components[np.flatnonzero(components == 4)[5:]] = 5
    return components, donors


def same(first, second, patients=slice(None), of_second=slice(None)):
    for field in ("moved", "repeated"):
        np.testing.assert_array_equal(getattr(first, field)[patients], getattr(second, field)[of_second])
    for one, other in zip(
        np.split(first.rows, first.indptr[1:-1])[patients],
        np.split(second.rows, second.indptr[1:-1])[of_second],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_draws_do_not_depend_on_blocks(hard_pool, counts, structure, block, monkeypatch):
    components, donors = hard_pool
    # The structures meet shortages, so that what is moved and repeated is compared as well.
    expected = draw_patients(counts, components, donors, seed=3, **STRUCTURES[structure])
    assert expected.moved.any()
    assert expected.repeated.any()
    monkeypatch.setattr(_draw, "_BLOCK", block)
    same(draw_patients(counts, components, donors, seed=3, **STRUCTURES[structure]), expected)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_draws_do_not_depend_on_the_other_patients(hard_pool, counts, structure):
    components, donors = hard_pool
    kwargs = {"seed": 3, **STRUCTURES[structure]}
    whole = draw_patients(counts, components, donors, **kwargs)
    same(draw_patients(counts[:10], components, donors, **kwargs), whole, of_second=slice(10))
    part = draw_patients(counts[40:45], components, donors, first_patient=40, **kwargs)
    same(part, whole, of_second=slice(40, 45))
    others = counts.copy()
    others[20:] = others[20:, ::-1]
    same(draw_patients(others, components, donors, **kwargs), whole, slice(20), slice(20))


def test_a_patient_whose_donors_are_found_does_not_depend_on_those_who_search(monkeypatch):
    donors = np.tile(np.arange(10), 60)
    # Only one donor has the second component, so that patients who need it try many sets of donors.
    components = ((donors == 0) & (np.arange(600) % 20 == 0)).astype(int)
    counts = np.tile([[30, 0], [20, 10]], (20, 1))
    expected = draw_patients(counts, components, donors, n_donors=2, seed=0)
    assert (expected.moved[::2] == 0).all()
    monkeypatch.setattr(_draw, "_BLOCK", 1)
    same(draw_patients(counts, components, donors, n_donors=2, seed=0), expected)


def test_blocks_stay_within_32_bits(pool, counts, monkeypatch):
    expected = draw_patients(counts, pool[0], seed=0)
    monkeypatch.setattr(_draw, "MOST_ELEMENTS", 2 * N_ROWS)
    same(draw_patients(counts, pool[0], seed=0), expected)


def test_other_seeds_draw_other_rows(pool, counts):
    first, second = (draw_patients(counts, pool[0], seed=seed).rows for seed in (0, 1))
    assert (first == second).mean() < 0.05


def test_neighbouring_patients_share_as_many_rows_as_chance_has_it(pool):
    components, _ = pool
    size, n, patients = int((components == 2).sum()), 100, 1001
    counts = np.zeros((patients, K), dtype=int)
    counts[:, 2] = n
    drawn = draw_patients(counts, components, seed=0).counts(N_ROWS)
    shared = np.asarray(drawn[:, 1:].multiply(drawn[:, :-1]).sum(axis=0)).ravel()
    chance = stats.hypergeom(size, n, n)
    assert abs(shared.mean() - chance.mean()) < 4 * chance.std() / np.sqrt(len(shared))
    # Overlaps of one chain of patients are uncorrelated for uniform subsets, so that their variance is the law's.
    assert shared.var() == pytest.approx(chance.var(), rel=0.2)


def test_cells_of_an_empty_component_go_to_the_others_as_they_were_asked():
    components = np.repeat([1, 2, 3], 400)
    counts = np.tile([30, 10, 20, 30], (500, 1))
    draw = draw_patients(counts, components, seed=0)
    assert (draw.moved == [30, 0, 0, 0]).all()
    drawn = np.bincount(components[draw.rows], minlength=4)
    extra = drawn[1:] - counts.sum(axis=0)[1:]
    assert stats.chisquare(extra, np.array([10, 20, 30]) / 60 * extra.sum()).pvalue > 1e-3


def test_cells_are_split_over_donors_as_drawing_them_would(pool):
    components, donors = pool
    inside = np.where(components == 2, 0, -1)
    available = np.bincount(donors[inside == 0], minlength=DONORS)
    draw = draw_patients(np.full((3000, 1), 30), inside, donors, max_donor_share=1.0, seed=0)
    patients = np.repeat(np.arange(3000), 30)
    of_first = np.bincount(patients[donors[draw.rows] == 0], minlength=3000)
    law = stats.hypergeom(available.sum(), available[0], 30)
    expected = np.append(law.pmf(np.arange(4)), law.sf(3)) * 3000
    assert stats.chisquare(np.bincount(np.minimum(of_first, 4), minlength=5), expected).pvalue > 1e-3


def test_counts_leave_the_rows_as_they_are(pool, counts):
    draw = draw_patients(counts, pool[0], seed=0)
    before = draw.rows.copy()
    draw.counts(N_ROWS)
    np.testing.assert_array_equal(draw.rows, before)
    assert draw.rows.dtype == draw.indptr.dtype == np.int32


def test_pool_of_more_rows_than_32_bits_can_name():
    # A view of one number: it costs no memory.
    components = np.broadcast_to(np.int8(0), 2**31)
    with pytest.raises(ValueError, match=r"\b2147483647\b.*\b2147483648\b"):
        draw_patients(np.array([[1]]), components, seed=0)


@pytest.mark.parametrize(
    ("components", "kwargs", "message"),
    [
        ([0, 0], {"n_donors": 1}, "`donors`"),
        ([-1, -1], {}, "nothing to draw from"),
        ([0, 0], {"donors": np.array([0, 1]), "n_donors": 3}, r"\b1\b.*\b2\b"),
        ([0, 0], {"donors": np.array([0, -1]), "n_donors": 2}, r"\b1\b.*\b1\b"),
        ([0, 0], {"donors": np.array([0, 1]), "max_donor_share": 0.4}, r"\b5\b"),
        ([0, 0], {"donors": np.array([0, 1]), "max_donor_share": 0.5}, r"\b5\b"),
    ],
)
def test_what_cannot_be_drawn_is_refused(components, kwargs, message):
    with pytest.raises(ValueError, match=message):
        draw_patients(np.array([[5]]), np.array(components), seed=0, **kwargs)
