from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from repatient.views import error_ratios, probe_errors


def test_errors_of_what_says_everything_and_nothing():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c", "d"], 60)
    y_test = np.repeat(["a", "b", "c", "d"], 100)
    telling = (np.eye(4)[np.unique(labels, return_inverse=True)[1]] * 20 for labels in (y, y_test))
    train, test = (rows + rng.standard_normal(rows.shape) for rows in telling)
    assert probe_errors(train, y, test, y_test, n_labels=8) == {"linear": 0.0, "linear_few": 0.0, "knn": 0.0}
    silent = probe_errors(rng.standard_normal((240, 5)), y, rng.standard_normal((400, 5)), y_test)
    assert all(0.65 < error < 0.85 for error in silent.values())


def test_few_labels_are_as_many_a_class_and_read_less():
    rng = np.random.default_rng(1)
    y = np.arange(300) % 3
    X = np.eye(3)[y] * 2 + rng.standard_normal((300, 3))
    errors = [probe_errors(X[:200], y[:200], X[200:], y[200:], n_labels=n)["linear_few"] for n in (6, 60)]
    assert errors[0] > errors[1]
    seeds = {
        probe_errors(X[:200], y[:200], X[200:], y[200:], n_labels=6, random_state=i)["linear_few"] for i in range(4)
    }
    assert len(seeds) > 1


def test_units_and_constant_features_do_not_matter():
    rng = np.random.default_rng(2)
    y = np.arange(200) % 2
    X = np.column_stack([y * 3.0, np.zeros(200)]) + rng.standard_normal((200, 2)) * [1, 0]
    plain = probe_errors(X[:100], y[:100], X[100:], y[100:])
    assert probe_errors(X[:100] * [1000, 1], y[:100], X[100:] * [1000, 1], y[100:]) == plain
    images = X.reshape(200, 1, 1, 2)
    assert probe_errors(images[:100], y[:100], images[100:], y[100:]) == plain


def frame(**errors):
    records = [
        {"arm": arm, "seed": seed, "metric": "linear", "value": value}
        for arm, values in errors.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(records)


def test_ratios_are_geometric_means_with_intervals_over_seeds():
    table = error_ratios(frame(single=[0.4, 0.4, 0.4], synthetic=[0.1, 0.2, 0.1])).set_index("arm")
    logs = np.log([4, 2, 4])
    half = 4.302652729911275 * logs.std(ddof=1) / np.sqrt(3)  # quantile .975 of Student's t with 2 degrees of freedom
    row = table.loc["single"]
    assert row["error"] == pytest.approx(0.4)
    np.testing.assert_allclose(
        row[["ratio", "lower", "upper"]].astype(float), np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    )
    assert table.loc["synthetic", ["ratio", "lower", "upper"]].tolist() == [1, 1, 1]


def test_ratios_of_one_seed_have_no_interval_and_of_no_error_are_finite():
    row = error_ratios(frame(single=[0.5], synthetic=[0.0])).iloc[0]
    assert row["ratio"] == pytest.approx(1000)
    assert np.isnan(row["lower"])
    with pytest.raises(ValueError, match="no arm 'synthetic'; there are"):
        error_ratios(frame(single=[0.5]))
