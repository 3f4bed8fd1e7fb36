from __future__ import annotations

import numpy as np

from repatient.views import compare_clusters, compare_groups, hallucination_warning


def test_missing_groups_are_found():
    source = np.repeat(["a", "b", "c", "d"], [500, 300, 195, 5])
    target = np.repeat(["a", "b"], [500, 400])
    table = compare_groups(source, target)
    assert table.index[table["missing"]].tolist() == ["c"]
    np.testing.assert_allclose(table["source_share"].sum(), 1)
    message = hallucination_warning(table, what="groups")
    assert message is not None
    assert "'c' (19.5% of the source, 0.0% of the target)" in message


def test_equal_compositions_and_chance_warn_of_nothing():
    groups = np.repeat(["a", "b", "c"], [500, 300, 195])
    assert hallucination_warning(compare_groups(groups, groups[::2]), what="groups") is None
    assert not compare_groups(["a"] * 9 + ["b"], ["a"] * 8)["missing"].any()


def test_groups_without_a_name_are_left_out():
    table = compare_groups(np.array(["a", None, "b", np.nan], dtype=object), ["a", "b"])
    assert table.index.tolist() == ["a", "b"]
    assert table["source_share"].tolist() == [0.5, 0.5]


def test_clusters_find_what_is_missing_without_names():
    rng = np.random.default_rng(0)
    places = np.array([[0, 0], [15, 0], [0, 15], [15, 15]])
    kinds = rng.integers(4, size=800)
    source = places[kinds] + rng.normal(size=(800, 2))
    target = places[rng.integers(3, size=800)] + rng.normal(size=(800, 2))
    table = compare_clusters(source, target, 0)
    assert abs(table.loc[table["missing"], "source_share"].sum() - (kinds == 3).mean()) < 0.01
    assert not compare_clusters(source, source[::-1], 0)["missing"].any()
