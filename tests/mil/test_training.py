from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from repatient.mil import Bags, MILClassifier, _model, _train
from repatient.mil._batches import LabelledBags, orders_of_steps
from repatient.mil._embedding import SegmentEmbedding, embedding_of
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._train import evaluate, fit_temperature

QUICK = {"max_epochs": 3, "hidden": 16, "attention_hidden": 8}


@pytest.fixture
def spied(monkeypatch) -> dict:
    """What training is handed."""
    seen = {}

    def spy(network, training, validation, plan, generator):
        seen.update(training=training, validation=validation, network=network, threads=torch.get_num_threads())
        return _train.train(network, training, validation, plan, generator)

    monkeypatch.setattr(_model, "train", spy)
    return seen


def numbered(n_bags: int, size: int = 5) -> tuple[Bags, np.ndarray, np.ndarray]:
    """Bags whose cells carry the number of their row; two bags a donor."""
    X = np.arange(float(n_bags * size))[:, None]
    y = np.arange(n_bags) // 2 % 2
    return (
        Bags.from_codes(X, np.repeat(np.arange(n_bags), size), n_bags),
        y,
        np.array([f"d{b // 2}" for b in range(n_bags)]),
    )


def cells(labelled: LabelledBags) -> set[int]:
    return set(labelled.bags.X[labelled.bags.rows, 0].astype(int).tolist())


def test_generated_bags_are_trained_on_without_the_cells_of_validation_donors(spied):
    bags, y, donors = numbered(40)
    sources = np.repeat(donors, 5)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2, size=(200, 30))
    counts[:, -20:] = 0
    for b in range(20):  # the last twenty are of one donor each, so that some are emptied
        counts[10 * b : 10 * b + 10, 10 + b] = 1
    generated = Bags.from_counts(bags.X, counts)
    model = MILClassifier(**QUICK, standardize=False).fit(
        bags, y, groups=donors, generated=generated, generated_y=np.arange(30) % 2, source_groups=sources
    )
    held_out = set(donors[model.validation_bags_])
    n_real = 40 - len(model.validation_bags_)
    assert len(held_out) == 4
    assert {d for r in cells(spied["training"]) for d in [sources[r]]} == set(donors) - held_out
    assert cells(spied["validation"]) == set(np.flatnonzero(np.isin(sources, list(held_out))).tolist())
    assert len(spied["validation"].bags) == len(model.validation_bags_)
    assert len(spied["training"].bags) == n_real + 30 - len(held_out)
    # Every other drawn cell is still there, and the labels still belong to their bags.
    kept = generated.drop_rows(np.isin(sources, list(held_out)))
    assert spied["training"].bags.sizes[n_real:].tolist() == kept.sizes[kept.sizes > 0].tolist()
    assert spied["training"].y[n_real:].tolist() == (np.arange(30) % 2)[kept.sizes > 0].tolist()


def test_cells_of_validation_bags_leave_generated_ones_even_without_source_groups(spied):
    bags, y, _ = numbered(40)
    everything = Bags(bags.X, np.arange(200), np.array([0, 200]))
    model = MILClassifier(**QUICK, standardize=False).fit(bags, y, generated=everything, generated_y=[1])
    assert not cells(spied["training"]) & cells(spied["validation"])
    assert spied["training"].bags.sizes[-1] == 200 - 5 * len(model.validation_bags_)


def test_a_class_may_have_generated_bags_only(spied):
    bags, y, _ = numbered(20)
    generated = Bags.from_codes(bags.X, np.arange(100) % 4, 4)
    with pytest.warns(UserWarning, match="2: 0"):
        model = MILClassifier(**QUICK).fit(bags, y, generated=generated, generated_y=[2, 2, 2, 2])
    assert model.predict_proba(bags).shape == (20, 3)
    assert spied["validation"] is None
    assert len(spied["training"].bags) == 24


def test_generated_bags_must_share_the_array(planted):
    bags, y = planted
    other = Bags(bags.X.copy(), bags.rows, bags.indptr)
    with pytest.raises(ValueError, match="generated"):
        MILClassifier(**QUICK).fit(bags, y, generated=other, generated_y=y)
    with pytest.raises(ValueError, match="generated_y"):
        MILClassifier(**QUICK).fit(bags, y, generated=bags, generated_y=np.zeros(60))


def test_early_stopping_restores_the_weights_of_the_best_epoch(planted, spied):
    bags, y = planted
    noise = np.random.default_rng(3).permutation(y)
    model = MILClassifier(n_steps=600, patience=5, learning_rate=5e-3).fit(bags, noise)
    losses = np.array(model.history_["validation_loss"])
    assert model.early_stopped_
    assert model.best_epoch_ == losses.argmin() + 1
    assert model.n_epochs_ == len(losses) == model.best_epoch_ + 5 < 60
    embed = embedding_of(spied["network"], torch.from_numpy(spied["validation"].bags.X))
    loss, accuracy = evaluate(spied["network"], embed, spied["validation"])
    assert loss == pytest.approx(losses.min(), rel=1e-6)
    assert loss < losses[-1]
    assert accuracy == model.history_["validation_balanced_accuracy"][model.best_epoch_ - 1]


def test_training_runs_on_one_thread(planted, spied):
    MILClassifier(**QUICK).fit(*planted)
    assert spied["threads"] == 1


def test_training_lowers_the_loss(planted):
    model = MILClassifier(n_steps=300, validation_fraction=0.0).fit(*planted)
    assert model.history_["train_loss"][-1] < 0.5 * model.history_["train_loss"][0]
    assert model.history_["epoch"] == list(range(1, 31))


def test_steps_are_counted_and_bags_come_up_equally_often(planted):
    for settings, expected in (({"n_steps": 24}, 3), ({"n_steps": 24, "max_epochs": 2}, 2), ({"n_steps": 7}, 1)):
        model = MILClassifier(**QUICK | {"max_epochs": None} | settings, validation_fraction=0.0).fit(*planted)
        assert model.history_["epoch"] == list(range(1, expected + 1))
    taken = np.concatenate(list(orders_of_steps(60, 20, 7, torch.Generator().manual_seed(0))))
    assert np.bincount(taken, minlength=60).sum() == 140
    assert np.ptp(np.bincount(taken, minlength=60)) == 1


def test_a_step_sees_a_random_part_of_large_bags():
    X = np.arange(1100.0)[:, None]
    bags = Bags(X, np.arange(1100), np.array([0, 1000, 1040, 1100]))
    labelled = LabelledBags.of(bags, np.zeros(3, dtype=int), n_classes=2, balanced=False)
    batch = labelled.batch(np.arange(3), None, torch.device("cpu"))
    thin = batch.thinned(50, torch.Generator().manual_seed(0))
    assert thin.sizes.tolist() == [50, 40, 50]
    assert thin.rows[50:90].tolist() == list(range(1000, 1040))
    assert (np.diff(thin.rows[:50]) > 0).all()
    assert (thin.rows[:50] // 20).tolist() == list(range(50))
    assert batch.thinned(1000, torch.Generator()) is batch


def test_a_step_reads_its_bags_wherever_they_stand():
    bags = Bags(np.arange(10.0)[:, None], np.arange(10)[::-1], np.array([0, 2, 5, 10]))
    labelled = LabelledBags.of(bags, np.zeros(3, dtype=int), n_classes=2, balanced=False)
    read = []
    for chosen in ([2, 0], [0, 1, 2], [1]):
        batch = labelled.batch(np.array(chosen), lambda *given: read.append(given), torch.device("cpu"))
        batch.embeddings()
        expected = bags.take(chosen)
        np.testing.assert_array_equal(read[-1][0], expected.rows)
        np.testing.assert_array_equal(read[-1][1], expected.indptr)
    batch.embeddings(slice(0, 1))
    np.testing.assert_array_equal(read[-1][0], bags.rows[2:5])


def test_guessing_is_told(planted):
    bags, y = planted
    with pytest.warns(UserWarning, match=r"0\.\d+.* 0\.69"):
        MILClassifier(n_steps=3, validation_fraction=0.0, learning_rate=1e-5).fit(bags, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MILClassifier(validation_fraction=0.0).fit(bags.take(range(8)), y[:8])


def test_segments_for_other_devices_train_the_same_model(planted, monkeypatch):
    bags, y = planted
    by_pieces = MILClassifier(max_epochs=10).fit(bags, y)
    monkeypatch.setattr(_train, "embedding_of", SegmentEmbedding)
    by_segments = MILClassifier(max_epochs=10).fit(bags, y)
    for name, losses in by_pieces.history_.items():
        np.testing.assert_allclose(losses, by_segments.history_[name], rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(by_pieces.predict_proba(bags), by_segments.predict_proba(bags), atol=1e-4)


def test_balanced_weights_give_each_class_the_same_say():
    y = np.repeat([0, 1, 2], [1, 3, 8])
    labelled = LabelledBags.of(None, y, n_classes=3, balanced=True)
    assert [labelled.weights[y == c].sum() for c in range(3)] == pytest.approx([4, 4, 4])
    assert LabelledBags.of(None, y, n_classes=3, balanced=False).weights.tolist() == [1.0] * 12


def test_temperature_minimises_the_loss_within_bounds():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    y = np.array([rng.choice(3, p=p) for p in np.exp(log_softmax(logits / 1.7, axis=1))])
    assert fit_temperature(ClassOutcome(3), logits, y) == pytest.approx(1.7, rel=0.1)
    grid = np.linspace(0.5, 3, 200)
    losses = [-log_softmax(logits / t, axis=1)[np.arange(4000), y].mean() for t in grid]
    assert fit_temperature(ClassOutcome(3), logits, y) == pytest.approx(grid[np.argmin(losses)], abs=0.02)
    assert fit_temperature(ClassOutcome(3), logits, logits.argmax(axis=1)) == pytest.approx(0.25, rel=1e-3)
    assert fit_temperature(ClassOutcome(3), logits, logits.argmin(axis=1)) == pytest.approx(4.0, rel=1e-3)


def test_a_diverging_loss_is_an_error(planted):
    with pytest.raises(FloatingPointError, match="learning_rate"):
        MILClassifier(learning_rate=1e30, max_epochs=20).fit(*planted)


def test_ten_right_answers_do_not_ask_for_the_lowest_temperature():
    logits = np.tile([[1.0, -1.0]], (10, 1))
    assert 0.5 < fit_temperature(ClassOutcome(3), logits, np.zeros(10, int)) < 1.0
