from __future__ import annotations

import numpy as np
import pytest

from repatient.views import ARMS, Comparison, Encoder, Side, compare_arms, represent_arms

QUICK = {"dim": 4, "width": 16, "projection": 8, "n_steps": 10, "evaluate_every": 5, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    b = (4 * np.eye(3)[y] + 0.5 * rng.standard_normal((120, 3))).astype(np.float32)
    a = np.column_stack([b, 3 * rng.standard_normal((120, 6))]).astype(np.float32)
    sides = [Side(a[of], b[of], y[of], np.ones(60, dtype=bool)) for of in (slice(60), slice(60, 120))]
    return Comparison(*sides, paired=np.arange(20, 60), authentic=b[20:60])


@pytest.fixture
def fits(monkeypatch):
    """What encoders were trained on, call by call."""
    calls = []
    fit = Encoder.fit

    def note(self, X, partner=None, **kwargs):
        calls.append((self.n_steps, X, partner, kwargs, self.distill))
        return fit(self, X, partner, **kwargs)

    monkeypatch.setattr(Encoder, "fit", note)
    return calls


def test_every_arm_gets_what_it_is_called_after(comparison, fits):
    settings = {"encoder": QUICK, "n_pairs": 12, "budgets": (0.5, 1.0)}
    with pytest.warns(UserWarning, match="No rows are held out"):
        errors = dict(compare_arms(comparison, **settings))
    assert tuple(errors) == ARMS
    assert all(set(metrics) == {"linear", "linear_few", "knn"} for metrics in errors.values())
    assert errors["translation"]["linear"] == 0
    a, b = comparison.training.rows, comparison.training.synthetic
    random, single, plain_half, plain_few, half, few, shuffled, synthetic, everything = fits
    # What is handed on is of the same encoder.
    assert [call[0] for call in fits] == [0, 10, 5, 10, 5, 10, 10, 10, 10]
    assert random[2] is None
    assert single[2] is None
    assert [call[4] for call in (plain_half, plain_few, half, few, synthetic)] == [0, 0, 1, 1, 1]
    for call in (plain_half, plain_few, half, few):
        np.testing.assert_array_equal(call[1], a[20:32])
        np.testing.assert_array_equal(call[2], b[20:32])
    assert sorted(map(tuple, shuffled[2])) == sorted(map(tuple, b))
    assert not np.array_equal(shuffled[2], b)
    assert synthetic[2] is b
    np.testing.assert_array_equal(everything[1], a[20:])


def test_arms_of_measured_pairs_need_pairs(comparison):
    without = Comparison(comparison.training, comparison.test, np.arange(0), comparison.authentic[:0])
    assert [arm for arm, _ in compare_arms(without, arms=["raw", "authentic_few", "authentic_all"])] == ["raw"]


def test_rows_without_a_label_train_no_probe(comparison):
    side = comparison.training
    labels = side.labels.copy()
    labels[:30] = 7
    labelled = np.arange(60) >= 30
    hidden = Comparison(
        Side(side.rows, side.synthetic, labels, labelled), comparison.test, comparison.paired, comparison.authentic
    )
    assert dict(compare_arms(hidden, arms=["translation"]))["translation"]["linear"] < 0.1


def test_views_are_read_in_whatever_precision_they_are_stored():
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((120, 210)), np.arange(120) % 2
    rows[:, 0] += 3 * y
    for dtype in (np.float64, np.float32, np.float16):
        wide = rows.astype(dtype)
        sides = [Side(wide[of], wide[of, :3], y[of], np.ones(60, dtype=bool)) for of in (slice(60), slice(60, 120))]
        without = Comparison(*sides, paired=np.arange(0), authentic=wide[:0, :3])
        errors = dict(compare_arms(without, arms=["raw", "translation"]))
        assert errors["translation"]["linear"] < 0.2


def test_what_is_handed_on_holds_the_translation_where_the_embedding_loses_it(comparison):
    with pytest.warns(UserWarning, match="No rows are held out"):
        found = dict(represent_arms(comparison, arms=["synthetic", "spi", "authentic_few"], n_pairs=12, encoder=QUICK))
    (synthetic,), (spi,) = found["synthetic"], found["spi"]
    for side, embedded, handed_on in zip((comparison.training, comparison.test), synthetic, spi, strict=True):
        np.testing.assert_array_equal(handed_on[:, :4], embedded)
        for made, carried in zip(side.synthetic.T, handed_on[:, 4:].T, strict=True):
            assert np.corrcoef(made, carried)[0, 1] == pytest.approx(1, abs=1e-5)
    assert len(found["authentic_few"]) == 3
    assert comparison.errors(spi)["linear"] <= 0.05
