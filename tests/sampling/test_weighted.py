from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling import _candidates, _weighted, draw_patients, draw_with_effects, fit_donor_effects

K, D, PATIENTS, CELLS = 3, 2, 30, 200


@pytest.fixture(scope="module")
def pool():
    """Cells of 30 patients whose offsets have half the variance of their cells."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(PATIENTS), CELLS)
    components = rng.integers(K, size=len(patients))
    offsets = np.sqrt(0.35) * rng.normal(size=(1, PATIENTS, D)) + np.sqrt(0.15) * rng.normal(size=(K, PATIENTS, D))
    X = 8 * rng.normal(size=(K, D))[components] + offsets[components, patients] + rng.normal(size=(len(patients), D))
    return X, components, patients, fit_donor_effects(X, components, patients, K)


@pytest.fixture(scope="module")
def large():
    """As many components with so many rows that patients draw from a part of them."""
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(PATIENTS), 1_500)
    components = rng.integers(K, size=len(patients))
    offsets = np.sqrt(0.5) * rng.normal(size=(K, PATIENTS, D))
    X = offsets[components, patients] + rng.normal(size=(len(patients), D))
    return components, patients, fit_donor_effects(X, components, patients, K)


@pytest.fixture
def counts():
    return np.random.default_rng(1).multinomial(60, np.full(K, 1 / K), size=40)


def group_means(values, draw, components):
    """Mean of the rows of each patient and component."""
    patients = np.repeat(np.arange(len(draw.indptr) - 1), np.diff(draw.indptr))
    groups = patients * K + components[draw.rows]
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values[draw.rows])
    return (sums / np.bincount(groups)[:, None]).reshape(-1, K, values.shape[1])


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_drawn_cells_have_the_offset(pool, strength):
    _, components, _, effects = pool
    draw, references = draw_with_effects(np.full((200, K), 40), components, effects, strength=strength, seed=0)
    means = group_means(effects.coordinates, draw, components)
    asked = effects.offsets[:, references].transpose(1, 0, 2)
    slope = stats.linregress(asked.ravel(), means.ravel())
    assert strength - 0.12 < slope.slope < strength + 0.08
    assert slope.rvalue > 0.75


def test_cells_of_a_patient_lie_as_closely_together_as_real_ones(pool):
    _, components, _, effects = pool
    draw, _ = draw_with_effects(np.full((200, K), 40), components, effects, seed=0)
    patients = np.repeat(np.arange(200), np.diff(draw.indptr))
    z = effects.coordinates[draw.rows]
    residuals = z - group_means(effects.coordinates, draw, components)[patients, components[draw.rows]]
    variance = (residuals**2).sum(axis=0) / (len(z) - 200 * K)
    # In the pool it is that within patients, 1, and that of the offsets, .5.
    np.testing.assert_allclose(variance, 1, rtol=0.15)


def test_generated_patients_differ_as_real_ones_do(pool):
    X, components, patients, effects = pool
    real = np.stack([X[patients == i].mean(axis=0) for i in range(PATIENTS)])
    composition = np.stack([np.bincount(components[patients == i], minlength=K) for i in range(PATIENTS)])
    counts = np.repeat(composition, 5, axis=0)

    def spread(draw):
        means = np.stack([X[rows].mean(axis=0) for rows in np.split(draw.rows, draw.indptr[1:-1])])
        return np.trace(np.cov(means.T)) / np.trace(np.cov(real.T))

    with_effects = spread(draw_with_effects(counts, components, effects, seed=0)[0])
    without = spread(draw_patients(counts, components, seed=0))
    assert 0.75 < with_effects < 1.25
    assert without < 0.8 * with_effects


def test_cells_come_from_many_donors_and_no_donor_gives_more_than_its_share(pool, counts):
    _, components, patients, effects = pool
    draw, _ = draw_with_effects(counts, components, effects, patients, max_donor_share=0.1, seed=0)
    for rows in np.split(draw.rows, draw.indptr[1:-1]):
        assert np.bincount(patients[rows]).max() <= 6
    free, _ = draw_with_effects(counts, components, effects, seed=0)
    shares = [np.bincount(patients[rows]).max() / len(rows) for rows in np.split(free.rows, free.indptr[1:-1])]
    assert max(shares) < 0.6
    assert np.mean(shares) < 0.25


@pytest.mark.parametrize("share", [None, 0.2])
def test_counts_are_those_asked_for_without_repeats(pool, counts, share):
    _, components, patients, effects = pool
    draw, _ = draw_with_effects(counts, components, effects, patients, max_donor_share=share, seed=0)
    drawn = [np.bincount(components[rows], minlength=K) for rows in np.split(draw.rows, draw.indptr[1:-1])]
    np.testing.assert_array_equal(drawn, counts)
    assert not draw.moved.any()
    assert not draw.repeated.any()
    assert all(len(set(rows)) == len(rows) for rows in np.split(draw.rows, draw.indptr[1:-1]))
    assert draw.rows.dtype == draw.indptr.dtype == np.int32


def test_strength_of_nothing_is_uniform(pool):
    _, components, patients, effects = pool
    draw, _ = draw_with_effects(np.full((300, K), 20), components, effects, strength=0.0, seed=0)
    drawn = np.bincount(patients[draw.rows[components[draw.rows] == 1]], minlength=PATIENTS)
    expected = np.bincount(patients[components == 1], minlength=PATIENTS)
    assert stats.chisquare(drawn, expected / expected.sum() * drawn.sum()).pvalue > 1e-3


def test_shortage_is_counted(pool):
    X, components, patients, _ = pool
    rare = np.flatnonzero(components == 2)
    kept = components.copy()
    kept[rare[5:]] = -1
    effects = fit_donor_effects(X, kept, patients, K)
    counts = np.tile([20, 20, 12], (10, 1))
    draw, _ = draw_with_effects(counts, kept, effects, seed=0)
    np.testing.assert_array_equal(draw.repeated, np.tile([0, 0, 7], (10, 1)))
    for rows in np.split(draw.rows, draw.indptr[1:-1]):
        assert sorted(np.bincount(rows)[rare[:5]]) == [2, 2, 2, 3, 3]
    only = np.where(kept == 2, -1, kept)
    draw, _ = draw_with_effects(counts, only, fit_donor_effects(X, only, patients, K), seed=0)
    np.testing.assert_array_equal(draw.moved, np.tile([0, 0, 12], (10, 1)))
    assert (np.diff(draw.indptr) == 52).all()


def test_a_donor_share_with_a_component_of_one_donor(pool):
    X, components, patients, _ = pool
    kept = np.where((components == 2) & (patients != 3), -1, components)
    effects = fit_donor_effects(X, kept, patients, K)
    counts = np.tile([10, 10, 20], (8, 1))
    draw, _ = draw_with_effects(counts, kept, effects, patients, max_donor_share=0.25, seed=0)
    assert (draw.moved[:, 2] >= 10).all()
    for rows in np.split(draw.rows, draw.indptr[1:-1]):
        assert len(rows) == 40
        assert np.bincount(patients[rows]).max() <= 10


def check_that_others_do_not_matter(monkeypatch, part, counts, components, effects, patients, share):
    """Patients are drawn alike alone, among others, and in other blocks; returns the draw of all."""
    kwargs = {"max_donor_share": share, "seed": 3}
    whole, references = draw_with_effects(counts, components, effects, patients, **kwargs)
    alone, some = draw_with_effects(counts[part], components, effects, patients, first_patient=part.start, **kwargs)
    np.testing.assert_array_equal(whole.rows[whole.indptr[part.start] : whole.indptr[part.stop]], alone.rows)
    np.testing.assert_array_equal(references[part], some)
    monkeypatch.setattr(_weighted, "_BLOCK", 7)
    again, _ = draw_with_effects(counts, components, effects, patients, **kwargs)
    np.testing.assert_array_equal(whole.rows, again.rows)
    return whole


@pytest.mark.parametrize("share", [None, 0.15])
def test_draws_do_not_depend_on_blocks_nor_on_the_other_patients(pool, counts, share, monkeypatch):
    _, components, patients, effects = pool
    check_that_others_do_not_matter(monkeypatch, slice(15, 20), counts, components, effects, patients, share)


def test_a_part_of_a_large_component_has_the_offset_as_well(large):
    components, _, effects = large
    assert np.bincount(components).min() > 2 * _candidates.LEAST
    draw, references = draw_with_effects(np.full((200, K), 40), components, effects, seed=0)
    assert not draw.repeated.any()
    means = group_means(effects.coordinates, draw, components)
    slope = stats.linregress(effects.offsets[:, references].transpose(1, 0, 2).ravel(), means.ravel())
    assert 0.88 < slope.slope < 1.08
    assert slope.rvalue > 0.75
    # Other patients draw from other parts: together they reach what a patient does not.
    of_first = draw.rows[: draw.indptr[32]]
    assert len(np.unique(draw.rows)) > 3 * len(np.unique(of_first))


@pytest.mark.parametrize("share", [None, 0.1])
def test_parts_depend_on_the_patient_alone(large, share, monkeypatch):
    components, patients, effects = large
    counts = np.random.default_rng(1).multinomial(120, [0.2, 0.3, 0.5], size=70)
    whole = check_that_others_do_not_matter(monkeypatch, slice(30, 50), counts, components, effects, patients, share)
    drawn = [np.bincount(components[rows], minlength=K) for rows in np.split(whole.rows, whole.indptr[1:-1])]
    np.testing.assert_array_equal(drawn, counts)
    if share:
        for rows in np.split(whole.rows, whole.indptr[1:-1]):
            assert np.bincount(patients[rows]).max() <= 12


def test_where_few_candidates_are_left_all_rows_are_looked_at():
    """Two donors have nearly all rows of a component; of the others' 112, a patient's part has too few."""
    rng = np.random.default_rng(0)
    patients = np.concatenate([np.repeat([0, 1], 6_000), np.repeat(np.arange(2, 30), 4), rng.integers(30, size=2_000)])
    components = np.repeat([0, 1], [12_112, 2_000])
    effects = fit_donor_effects(rng.normal(size=(len(patients), D)), components, patients, 2)
    counts = np.tile([120, 20], (8, 1))
    draw, _ = draw_with_effects(counts, components, effects, patients, max_donor_share=0.1, seed=0)
    assert not draw.repeated.any()
    assert not draw.moved.any()
    for rows in np.split(draw.rows, draw.indptr[1:-1]):
        np.testing.assert_array_equal(np.bincount(components[rows], minlength=2), [120, 20])
        assert np.bincount(patients[rows]).max() <= 14


def test_no_patients_and_what_cannot_be_drawn(pool, counts):
    _, components, patients, effects = pool
    draw, references = draw_with_effects(np.zeros((0, K), dtype=int), components, effects, seed=0)
    assert len(draw.rows) == len(references) == 0
    with pytest.raises(ValueError, match="`donors`"):
        draw_with_effects(counts, components, effects, max_donor_share=0.5, seed=0)
    with pytest.raises(ValueError, match="patient"):
        draw_with_effects(counts, components, effects, patients, max_donor_share=0.02, seed=0)
    with pytest.raises(ValueError, match="draw"):
        draw_with_effects(counts, np.full_like(components, -1), effects, seed=0)
