from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import repatient as rp


@pytest.fixture
def evaluated(plain):
    """An evaluation of four methods: one that helps, one that does not, one that harms."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.8, 0.04, 20)
    gains = {"none": 0.0, "recipe": 0.06, "same_class_mixing": 0.004, "null": -0.1}
    frame = pd.DataFrame(
        [
            (name, split, 0, metric, base[split] + sign * (gain + (gain != 0) * rng.normal(0, 0.02)))
            for name, gain in gains.items()
            for metric, sign in (("auroc", 1), ("brier", -1))
            for split in range(20)
        ],
        columns=["method", "split", "seed", "metric", "value"],
    )
    plain.uns["evaluation"] = {
        "results": frame.rename(index=str),
        "params": {"baseline": "none", "test_fraction": 0.25},
    }
    return plain


def test_a_row_for_each_method(evaluated):
    ax = rp.pl.evaluation(evaluated)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "no augmentation",
        "RECIPE",
        "same-class mixing",
        "null: wrong recipes",
    ]
    assert "AUROC from\nno augmentation, 95% interval" in ax.get_xlabel()
    assert ax.child_axes[0].get_xlabel() == "AUROC\nin 20 splits"
    plt.close(ax.figure)


def test_points_means_and_intervals_are_those_of_the_table(evaluated):
    frame = evaluated.uns["evaluation"]["results"]
    table = rp.evaluation.compare(frame, test_fraction=0.25)
    ax = rp.pl.evaluation(evaluated)
    intervals = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == line.get_ydata()[1]]
    means = [line for line in ax.lines if line.get_marker() == "o"]
    for name, interval, mean in zip(table.index[1:], intervals, means, strict=True):
        np.testing.assert_allclose(interval.get_xdata(), table.loc[name, ["lower", "upper"]].to_numpy(dtype=float))
        np.testing.assert_allclose(mean.get_xdata(), table.loc[name, "difference"])
    values = rp.evaluation.by_split(frame, "auroc")
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], values["recipe"] - values["none"])
    assert np.abs(points[:, 1] - 1).max() < 0.3
    (beside,) = ax.child_axes
    for points, bar, name in zip(beside.collections, beside.lines[1:], values, strict=True):
        np.testing.assert_allclose(points.get_offsets()[:, 0], values[name])
        np.testing.assert_allclose(bar.get_xdata(), values[name].mean())
    plt.close(ax.figure)


def test_what_cannot_be_measured_says_so(evaluated):
    """Two methods that are perfect in every split differ by 0 without an interval."""
    evaluated.uns["evaluation"]["results"]["value"] = 1.0
    ax = rp.pl.evaluation(evaluated)
    assert [text.get_text() for text in ax.texts] == ["compared with this one", *["not measurable"] * 3]
    assert all(line.get_markerfacecolor() == "white" for line in ax.lines if line.get_marker() == "o")
    plt.close(ax.figure)


def test_filled_where_the_interval_excludes_zero(evaluated):
    ax = rp.pl.evaluation(evaluated)
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert [face == "white" for face in faces] == [False, True, False]
    assert faces[0] != faces[2]
    lower_is_better = rp.pl.evaluation(evaluated, "brier")
    assert [line.get_markerfacecolor() for line in lower_is_better.lines if line.get_marker() == "o"][0] == faces[0]
    assert "less is better" in lower_is_better.get_xlabel()
    plt.close("all")


def test_another_baseline_and_own_axes(evaluated):
    _, ax = plt.subplots()
    assert rp.pl.evaluation(evaluated, baseline="recipe", confidence=0.9, ax=ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "no augmentation",
        "RECIPE",
        "same-class mixing",
        "null: wrong recipes",
    ]
    assert "90% interval" in ax.get_xlabel()
    evaluated.uns["evaluation"]["params"]["baseline"] = "full"
    assert "from\nno augmentation" in rp.pl.evaluation(evaluated).get_xlabel()
    plt.close("all")


def test_what_is_not_there_is_named(evaluated, plain):
    with pytest.raises(ValueError, match="'best'.*'none'"):
        rp.pl.evaluation(evaluated, baseline="best")
    with pytest.raises(ValueError, match=r"'f1'.*\['auroc', 'brier'\]"):
        rp.pl.evaluation(evaluated, "f1")
    with pytest.raises(TypeError, match="`ax`"):
        rp.pl.evaluation(evaluated, ax=1)
    del plain.uns["evaluation"]
    with pytest.raises(KeyError, match="`rp.tl.evaluate`"):
        rp.pl.evaluation(plain)
