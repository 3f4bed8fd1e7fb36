from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from repatient.recipe import Offsets, fit_offsets, fit_recipes, pool_offsets, pool_recipes

K, D = 3, 4


def cells(n_donors=6, n_cells=30, seed=0, move=0.0, spread=0.3):
    """Cells of donors of two classes; those of class "b" lie ``move`` further in component 1, all dimensions."""
    rng = np.random.default_rng(seed)
    donors = np.repeat(np.arange(2 * n_donors), n_cells)
    labels = (donors >= n_donors).astype(int)
    components = rng.integers(K, size=len(donors))
    X = rng.normal(size=(len(donors), D)) + 5 * components[:, None]
    X += spread * rng.normal(size=(2 * n_donors, K, D))[donors, components]
    X[(labels == 1) & (components == 1)] += move
    return X.astype(np.float32), components, donors, labels


def test_offsets_are_statistics_over_donors():
    X, components, donors, labels = cells(n_cells=7)
    components[0], labels[1] = -1, -1
    found = fit_offsets(X, components, donors, labels, ["a", "b"], K)
    frame = pd.DataFrame(X.astype(float)).assign(c=labels, k=components, donor=donors)
    frame = frame[(frame["c"] >= 0) & (frame["k"] >= 0)]
    grouped = frame.groupby(["c", "k", "donor"])
    means, sizes = grouped.mean(), grouped.size()
    means, sizes = means[sizes > 1], sizes[sizes > 1]
    for (c, k), of_donors in means.groupby(level=["c", "k"]):
        np.testing.assert_allclose(found.means[c, k], of_donors.mean(), atol=1e-10)
        np.testing.assert_allclose(found.variances[c, k], of_donors.var(), atol=1e-10)
        assert found.n_donors[c, k] == len(of_donors)
        assert found.n_cells[c, k] == sizes.loc[c, k].sum()


def test_a_cell_is_no_mean_and_a_donor_no_class():
    X = np.arange(12.0).reshape(6, 2)
    found = fit_offsets(X, np.zeros(6, int), np.array([0, 0, 1, 2, 2, 3]), np.array([0, 0, 0, 1, 1, 1]), ["a", "b"], 2)
    np.testing.assert_array_equal(found.n_donors, [[1, 0], [1, 0]])
    assert not found.known("a", "b").any()
    assert (found.delta("a", "b") == 0).all()
    with pytest.raises(ValueError, match="'c'"):
        found.delta("a", "c")


def test_the_difference_is_shrunk_by_its_standard_error():
    offsets = fit_offsets(*cells(move=2.0), ["a", "b"], K)
    raw, shrunk = offsets.delta("a", "b", shrink=False), offsets.delta("a", "b")
    np.testing.assert_allclose(raw, offsets.means[1] - offsets.means[0])
    errors = offsets.variances[0] / offsets.n_donors[0][:, None] + offsets.variances[1] / offsets.n_donors[1][:, None]
    kept = np.maximum(0, 1 - errors.mean(axis=1) / (raw**2).mean(axis=1))
    np.testing.assert_allclose(shrunk, raw * kept[:, None])
    np.testing.assert_allclose(shrunk[1], 2.0, atol=0.7)
    np.testing.assert_allclose(offsets.delta("b", "a"), -shrunk)
    # Where there is nothing, most of what is measured goes.
    nothing = [np.delete(fit_offsets(*cells(seed=s), ["a", "b"], K).delta("a", "b"), 1, axis=0) for s in range(20)]
    assert np.mean(np.square(nothing)) < 0.5 * 2 * 0.3**2 / 6 + 0.05


def test_what_a_cohort_does_to_all_its_cells_cancels():
    X, *rest = cells(move=1.0)
    here, there = fit_offsets(X, *rest, ["a", "b"], K), fit_offsets(X + 7, *rest, ["a", "b"], K)
    np.testing.assert_allclose(here.delta("a", "b"), there.delta("a", "b"), atol=1e-5)


def test_places_of_few_donors_or_cells_do_not_leave():
    X, components, donors, labels = cells(n_donors=5)
    components[(donors == 0) & (components == 2)] = 0
    offsets = fit_offsets(X, components, donors, labels, ["a", "b"], K)
    kept = offsets.only_of(5, 5)
    assert kept.n_donors[0, 2] == kept.n_cells[0, 2] == 0
    assert (kept.means[0, 2] == 0).all()
    np.testing.assert_array_equal(kept.means[1], offsets.means[1])
    assert (offsets.only_of(1, 10_000).n_donors == 0).all()


def test_pooled_offsets_have_less_error_and_name_who_disagrees():
    parts = [fit_offsets(*cells(seed=s, move=2.0), ["a", "b"], K) for s in range(4)]
    pooled = pool_offsets(parts, list("pqrs"))
    errors = [np.square(part.delta("a", "b", shrink=False)[1] - 2.0).mean() for part in parts]
    assert np.square(pooled.value.delta("a", "b", shrink=False)[1] - 2.0).mean() < np.mean(errors)
    assert pooled.disagreeing == []
    assert sum(pooled.weights.values()) == pytest.approx(1)
    assert pooled.between.shape == (2, K, D)
    odd = fit_offsets(*cells(seed=9, move=-4.0), ["a", "b"], K)
    with_odd = pool_offsets([*parts, odd], list("pqrst"))
    assert with_odd.disagreeing == ["t"]
    assert with_odd.weights["t"] < 0.6 * min(with_odd.weights[name] for name in "pqrs")
    # One cohort is what it is.
    alone = pool_offsets(parts[:1], ["p"]).value
    np.testing.assert_allclose(alone.delta("a", "b"), parts[0].delta("a", "b"), rtol=1e-5)


def test_pooling_needs_a_class_that_all_have():
    X, *rest = cells()
    parts = [fit_offsets(X, *rest, ["a", "b"], K), fit_offsets(X, *rest, ["c", "d"], K)]
    with pytest.raises(ValueError, match="`base`"):
        pool_offsets(parts, ["p", "q"])
    with pytest.raises(ValueError, match="`names`"):
        pool_offsets(parts[:1], ["p", "q"])
    empty = Offsets(("a",), *(np.zeros((1, 2, D)),) * 2, *(np.zeros((1, 2), dtype=int),) * 2)
    with pytest.raises(ValueError, match="`parts`"):
        pool_offsets([parts[0], empty], ["p", "q"])


def test_pooled_recipes():
    rng = np.random.default_rng(0)
    means = {"a": np.array([0.5, 0.3, 0.2]), "b": np.array([0.2, 0.3, 0.5])}
    parts = []
    for tilt in ([1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]):
        counts, labels = [], []
        for name, mean in means.items():
            centre = mean * tilt / (mean * tilt).sum()
            counts.append(rng.multinomial(500, rng.dirichlet(80 * centre, size=8)))
            labels += [name] * 8
        parts.append(fit_recipes(np.vstack(counts), np.array(labels)))
    pooled = pool_recipes(parts, list("pqrs"), n_donors=[{"a": 8, "b": 8}] * 4)
    ratio, expected = np.log(pooled.value.mean[1] / pooled.value.mean[0]), np.log(means["b"] / means["a"])
    np.testing.assert_allclose(ratio - ratio.mean(), expected - expected.mean(), atol=0.25)
    assert pooled.value.classes == ("a", "b")
    np.testing.assert_allclose(pooled.value.sample("a", 5, rng).sum(axis=1), 1)
    assert pooled.disagreeing == []
