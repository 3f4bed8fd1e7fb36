from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

from repatient.evaluation import METRICS, score


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


@pytest.mark.parametrize("n_classes", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_more_classes(n_classes, seed):
    y, p = predictions(n_classes, seed)
    measured = score(y, p)
    assert measured["auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
    assert measured["macro_f1"] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
    assert measured["brier"] == pytest.approx(((p - np.eye(n_classes)[y]) ** 2).sum(axis=1).mean())


def test_a_constant_prediction_is_worth_nothing():
    y = np.array([0, 0, 0, 1])
    measured = score(y, np.tile([1.0, 0.0], (4, 1)))
    assert measured == {
        "auroc": 0.5,
        "balanced_accuracy": 0.5,
        "macro_f1": pytest.approx(f1_score(y, np.zeros(4), average="macro")),
        "brier": 0.25,
    }


def test_a_class_without_a_patient_is_refused():
    with pytest.raises(ValueError, match=r"every one of the 3 classes needs a patient, found \[2, 1, 0\]"):
        score(np.array([0, 1, 0]), np.full((3, 3), 1 / 3))
