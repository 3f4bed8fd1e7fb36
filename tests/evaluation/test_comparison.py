from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from repatient.evaluation import Interval, average_interval, by_split, compare, corrected_interval
from repatient.evaluation._comparison import holm


def frame_of(values: dict[str, np.ndarray], metric: str = "auroc") -> pd.DataFrame:
    frame = pd.DataFrame(
        [(name, split, 0, metric, value) for name, column in values.items() for split, value in enumerate(column)],
        columns=["method", "split", "seed", "metric", "value"],
    )
    frame.attrs["test_fraction"] = 0.25
    return frame


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(0.8, 0.05, 20)
    return {
        name: base + rng.normal(gain, 0.02, 20) for name, gain in (("none", 0), ("b", 0.03), ("a", 0.0), ("c", -0.02))
    }


def test_without_overlap_it_is_the_paired_t_test(values):
    # The correction vanishes with the share of the test set.
    interval = corrected_interval(values["b"] - values["none"], 1e-12)
    reference = stats.ttest_rel(values["b"], values["none"])
    assert interval.p_value == pytest.approx(reference.pvalue)
    np.testing.assert_allclose(interval.bounds(0.9), reference.confidence_interval(0.9))


def test_the_formula_written_out(values):
    result = compare(frame_of(values))
    for name in ("b", "a", "c"):
        d = values[name] - values["none"]
        error = np.sqrt((1 / 20 + 0.25 / 0.75) * d.var(ddof=1))
        row = result.loc[name]
        assert row["difference"] == pytest.approx(d.mean())
        assert row["lower"] == pytest.approx(d.mean() - stats.t.ppf(0.975, 19) * error)
        assert row["upper"] == pytest.approx(d.mean() + stats.t.ppf(0.975, 19) * error)
        assert row["one_sided_lower"] == pytest.approx(d.mean() - stats.t.ppf(0.95, 19) * error)
        assert row["one_sided_upper"] == pytest.approx(d.mean() + stats.t.ppf(0.95, 19) * error)
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 19))
        assert row["mean"] == pytest.approx(values[name].mean())
        assert row["sd"] == pytest.approx(values[name].std(ddof=1))
    assert list(result.index) == list(values)
    assert result["measurable"].tolist() == [False, True, True, True]
    assert result.loc["none", ["mean", "difference"]].tolist() == [pytest.approx(values["none"].mean()), 0]
    assert result.loc["none", ["lower", "upper", "p_value", "p_holm"]].isna().all()


def test_the_interval_covers_as_often_as_it_says():
    # Splits with correlation 1/5 between each other, which the correction for a fifth assumes.
    rng = np.random.default_rng(1)
    n_trials, n_splits, correlation = 1500, 15, 0.2
    common = rng.standard_normal((n_trials, 1)) * np.sqrt(correlation)
    differences = common + rng.standard_normal((n_trials, n_splits)) * np.sqrt(1 - correlation)
    covered = 0
    for row in differences:
        lower, upper = corrected_interval(row, correlation).bounds(0.95)
        covered += lower < 0 < upper
    assert covered / n_trials == pytest.approx(0.95, abs=0.02)


def test_holm_by_hand():
    # Sorted: .01 × 4, .02 × 3, .03 × 2 (not below the one before), .04 × 1 (likewise).
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.04, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_the_stored_entry_serves_as_well(values):
    frame = frame_of(values)
    frame.attrs.clear()
    entry = {"results": frame, "params": {"test_fraction": 0.25}}
    pd.testing.assert_frame_equal(compare(entry), compare(frame, test_fraction=0.25))
    assert not compare(entry, test_fraction=0.5)["lower"].equals(compare(entry)["lower"])


def test_p_values_are_adjusted_for_the_methods_compared(values):
    result = compare(frame_of(values))
    assert result["p_holm"].min() == pytest.approx(3 * result["p_value"].min())
    alone = compare(frame_of({name: values[name] for name in ("none", "b")}))
    assert alone.loc["b", "p_holm"] == alone.loc["b", "p_value"]


@pytest.mark.parametrize("case", ["equal", "shifted", "few splits", "few patients"])
def test_what_cannot_be_measured_has_no_interval(values, case):
    """Perfect methods are equal in every split: that is no evidence of their being equal, and no p-value of 1."""
    base, other = values["none"], values["b"]
    if case in ("equal", "shifted"):
        other = base + 0.1 * (case == "shifted")
    if case == "few splits":
        base, other = base[:4], other[:4]
    entry = {
        "results": frame_of({"none": base, "other": other}),
        "params": {"test_fraction": 0.25},
        "predictions": pd.DataFrame({"patient": list("abcd" if case == "few patients" else "abcde")}),
    }
    row = compare(entry).loc["other"]
    assert not row["measurable"]
    assert row["difference"] == pytest.approx(np.mean(other - base))
    assert row[["lower", "upper", "one_sided_lower", "one_sided_upper", "p_value", "p_holm"]].isna().all()
    assert not corrected_interval(np.full(9, 0.1), 0.25).p_value >= 0


def test_the_baseline_is_the_one_of_the_evaluation(values):
    entry = {"results": frame_of(values), "params": {"test_fraction": 0.25, "baseline": "a"}}
    assert compare(entry).loc["a", "difference"] == 0
    pd.testing.assert_frame_equal(compare(entry), compare(entry["results"], baseline="a"))
    entry["params"]["baseline"] = "not run"
    assert compare(entry).loc["none", "difference"] == 0


def test_the_average_of_independent_cohorts():
    one = Interval(0.02, 0.03, 19)
    average = average_interval([one] * 4)
    assert average.mean == pytest.approx(0.02)
    assert average.standard_error == pytest.approx(0.015)
    # Welch and Satterthwaite: k equal variances have k times the degrees.
    assert average.degrees == pytest.approx(76)
    assert average_interval([one]) == pytest.approx(one)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"baseline": "x"}, ValueError, "`baseline`.*'x'"),
        ({"metric": "x"}, ValueError, "`metric`.*'x'"),
        ({"test_fraction": 1.5}, ValueError, "test_fraction"),
    ],
)
def test_what_is_not_there_is_named(values, change, error, message):
    with pytest.raises(error, match=message):
        compare(frame_of(values), **change)


def test_a_frame_must_be_complete(values):
    frame = frame_of(values)
    with pytest.raises(KeyError, match=r"\['split'\]"):
        compare(frame.drop(columns="split"))
    with pytest.raises(ValueError, match=r"\['a'\]"):
        compare(frame[~((frame["method"] == "a") & (frame["split"] == 3))])
    with pytest.raises(ValueError, match="pass"):
        compare(pd.DataFrame(frame.to_dict("list")))
    assert list(by_split(frame, "auroc").columns) == list(values)
    with pytest.raises(ValueError, match=r"\(1,\)"):
        corrected_interval(np.array([0.1]), 0.25)


@pytest.mark.parametrize(("confidence", "error"), [(0, ValueError), (1.0, ValueError), ("most", TypeError)])
def test_a_confidence_is_a_share_below_1(values, confidence, error):
    with pytest.raises(error, match="`confidence`"):
        compare(frame_of(values), confidence=confidence)
