from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from repatient.evaluation import METRICS, calibration_error, reliability, score


def predictions(n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=37)])
    # Few different values, so that there are ties.
    weights = rng.integers(1, 5, size=(len(y), n_classes)) + 2.0 * (y[:, None] == np.arange(n_classes))
    return y, weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_two_classes(seed):
    y, p = predictions(2, seed)
    measured = score(y, p)
    assert tuple(measured) == METRICS
    assert measured["auroc"] == pytest.approx(roc_auc_score(y, p[:, 1]))
    assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
    assert measured["macro_f1"] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
    assert measured["brier"] == pytest.approx(brier_score_loss(y, p[:, 1]))
    assert measured["log_loss"] == pytest.approx(log_loss(y, p))
    table = reliability(y == 1, p[:, 1], n_bins=7)
    observed, predicted = calibration_curve(y, p[:, 1], n_bins=7)
    np.testing.assert_allclose(table.observed, observed)
    np.testing.assert_allclose(table.predicted, predicted)
    gap = (table.counts * np.abs(observed - predicted)).sum() / len(y)
    assert calibration_error(y, p, n_bins=7) == pytest.approx(gap)


@pytest.mark.parametrize("n_classes", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_more_classes(n_classes, seed):
    y, p = predictions(n_classes, seed)
    measured = score(y, p)
    assert measured["auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
    assert measured["macro_f1"] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
    assert measured["brier"] == pytest.approx(((p - np.eye(n_classes)[y]) ** 2).sum(axis=1).mean())
    assert measured["log_loss"] == pytest.approx(log_loss(y, p))
    against_rest = [calibration_error(y == c, np.stack([1 - p[:, c], p[:, c]], axis=1)) for c in range(n_classes)]
    assert calibration_error(y, p) == pytest.approx(np.mean(against_rest))


def test_a_constant_prediction_is_worth_nothing():
    y = np.array([0, 0, 0, 1])
    measured = score(y, np.tile([1.0, 0.0], (4, 1)))
    assert measured == {
        "auroc": 0.5,
        "balanced_accuracy": 0.5,
        "macro_f1": pytest.approx(f1_score(y, np.zeros(4), average="macro")),
        "brier": 0.25,
        "log_loss": pytest.approx(log_loss(y, np.tile([1.0, 0.0], (4, 1)))),
    }
    assert calibration_error(y, np.tile([0.75, 0.25], (4, 1))) == 0


@pytest.mark.parametrize("y", [np.zeros(0, dtype=int), np.array([0, 1])])
def test_predictions_belong_to_patients(y):
    with pytest.raises(ValueError, match="`probabilities`"):
        calibration_error(y, np.zeros((len(y) % 2, 2)))


def test_a_class_without_a_patient_is_refused():
    with pytest.raises(ValueError, match=r"3.*\[2, 1, 0\]"):
        score(np.array([0, 1, 0]), np.full((3, 3), 1 / 3))
