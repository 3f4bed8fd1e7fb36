from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from repatient.mil import Bags, MILClassifier, _augment, _train
from repatient.mil._augment import Augmented, weights_of_classes
from repatient.mil._batches import LabelledBags
from repatient.mil._embedding import SegmentEmbedding, embedding_of
from repatient.mil._missing import N_TIMES, shift_missing
from repatient.mil._network import GatedAttentionNetwork
from repatient.mil._pooling import softmax_within

QUICK = {"max_epochs": 3, "hidden": 16, "attention_hidden": 8}


@dataclass
class Identity:
    """The real bags as they are, over the bound array or over a copy of their cells, optionally with other targets."""

    copies: bool = False
    targets: Any = None
    rows: Any = None
    calls: list = field(default_factory=list)

    def bind(self, bags, y, classes, groups):
        self.bound = (bags, y, classes, groups)
        self.class_shares = np.bincount(y, minlength=len(classes)) / len(y)
        return self

    def __call__(self, chosen, rng, score):
        bags, y, classes, _ = self.bound
        self.calls.append((chosen.copy(), score(bags.take(chosen)), rng.random()))
        taken = bags.take(chosen)
        if self.rows is not None:
            taken = Bags(bags.X, np.resize(self.rows, len(taken.rows)), taken.indptr)
        if self.copies:
            taken = Bags(bags.X[taken.rows], np.arange(len(taken.rows)), taken.indptr)
        targets = np.eye(len(classes), dtype=np.float32)[y[chosen]]
        return taken, targets if self.targets is None else self.targets(targets)


@pytest.mark.parametrize("settings", [{}, {"class_weight": None}, {"batch_size": 7, "validation_fraction": 0.0}])
@pytest.mark.parametrize("copies", [False, True])
def test_real_bags_from_an_augmenter_train_the_same_model(planted, planted_test, settings, copies):
    bags, y = planted
    uneven = bags.take(np.r_[np.arange(0, 60, 2), np.arange(1, 25, 2)])
    labels = np.r_[y[::2], y[1:25:2]]
    plain = MILClassifier(max_epochs=10, **settings).fit(uneven, labels)
    augmented = MILClassifier(max_epochs=10, **settings).fit(uneven, labels, augment=Identity(copies=copies))
    for name, values in plain.history_.items():
        np.testing.assert_allclose(values, augmented.history_[name], rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(
        plain.predict_proba(planted_test[0]), augmented.predict_proba(planted_test[0]), atol=1e-4
    )


def test_only_training_bags_are_bound(planted):
    bags, y = planted
    donors = np.arange(60) // 3
    augment = Identity()
    model = MILClassifier(**QUICK).fit(bags, y, groups=donors, augment=augment)
    bound, codes, classes, groups = augment.bound
    assert not set(donors[model.validation_bags_]) & set(groups)
    training = np.setdiff1d(np.arange(60), model.validation_bags_)
    assert bound.rows.tolist() == bags.take(training).rows.tolist()
    assert bound.X is bags.X
    assert classes[codes].tolist() == y[training].tolist()
    assert groups.tolist() == donors[training].tolist()


def test_cells_of_other_bags_are_refused(planted):
    bags, y = planted
    model = MILClassifier(**QUICK).fit(bags, y)
    held_out = bags.take(model.validation_bags_).rows
    with pytest.raises(ValueError, match=rf"in no training bag, the first is row {held_out[0]}"):
        MILClassifier(**QUICK).fit(bags, y, augment=Identity(rows=held_out))
    outside = bags.take(np.arange(50))
    with pytest.raises(ValueError, match=r"row \d+"):
        MILClassifier(**QUICK).fit(outside, y[:50], augment=Identity(rows=bags.rows[-5:]))


def test_soft_targets_are_learnt(planted):
    bags, y = planted
    augment = Identity(targets=lambda certain: (0.6 * certain + 0.2).astype(np.float32))
    soft = MILClassifier(n_steps=200, validation_fraction=0.0).fit(bags, y, augment=augment)
    hard = MILClassifier(n_steps=200, validation_fraction=0.0).fit(bags, y)
    assert hard.predict_proba(bags).max(axis=1).mean() > 0.9
    assert soft.predict_proba(bags).max(axis=1).mean() == pytest.approx(0.8, abs=0.06)


def test_weights_follow_the_expected_classes():
    weights = weights_of_classes(np.array([0.1, 0.6, 0.3, 0.0]))
    assert (weights * [0.1, 0.6, 0.3, 0.0]).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def bound(bags: Bags, sampler: Any) -> tuple[Augmented, GatedAttentionNetwork]:
    generator = torch.Generator().manual_seed(0)
    network = GatedAttentionNetwork(6, 2, hidden=16, attention_hidden=8, n_layers=1, dropout=0.5, generator=generator)
    torch.nn.init.normal_(network.score.weight, generator=generator)
    standardize = lambda X: ((X - 1) / 2).astype(np.float32)
    cells = Bags(standardize(bags.X[bags.rows]), np.arange(len(bags.rows)), bags.indptr)
    real = LabelledBags.of(cells, np.zeros(len(bags), dtype=np.int64), n_classes=2, balanced=False)
    augmented = Augmented.of(sampler, bags, real, standardize, balanced=False, rng=np.random.default_rng(0))
    return augmented, network


@pytest.mark.parametrize("copies", [False, True])
def test_scores_are_those_of_the_network_before_the_softmax(planted, copies):
    bags, y = planted
    sampler = Identity().bind(bags, (y == "case").astype(int), np.arange(2), np.arange(60))
    augmented, network = bound(bags, sampler)
    some = bags.take([4, 1, 7])
    if copies:
        some = Bags(bags.X[some.rows], np.arange(len(some.rows)), some.indptr)
    scores = augmented._score(network, some)
    instances = torch.from_numpy((some.X[some.rows] - 1) / 2)
    hidden, expected = network.encode(instances)
    np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-5)
    assert scores.std() > 0.01
    pooled = softmax_within(scores, some.indptr)[:20] @ hidden.detach().numpy()[:20]
    embedded = network.embed(instances, torch.from_numpy(some.sizes)).detach().numpy()
    np.testing.assert_allclose(pooled, embedded[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bags, targets: (bags, targets[:, :1]), "targets"),
        (lambda bags, targets: (bags, targets[1:]), "targets"),
        (lambda bags, targets: (Bags(bags.X, bags.rows[:0], 0 * bags.indptr), targets), r"\b16\b"),
        (lambda bags, targets: (Bags(bags.X[:, 1:], bags.rows, bags.indptr), targets), r"\b5\b.*\b6\b"),
    ],
)
def test_what_a_sampler_gives_is_checked(planted, change, message):
    class Wrong(Identity):
        def __call__(self, chosen, rng, score):
            return change(*super().__call__(chosen, rng, score))

    with pytest.raises(ValueError, match=message):
        MILClassifier(**QUICK).fit(*planted, augment=Wrong())


def test_the_augmenter_is_asked_in_every_step(planted):
    bags, y = planted
    augment, few = Identity(), Identity()
    MILClassifier(**QUICK, n_steps=8, validation_fraction=0.0).fit(bags, y, augment=augment)
    assert len(augment.calls) == 8
    assert sorted(np.concatenate([chosen for chosen, _, _ in augment.calls])[:60]) == list(range(60))
    # At first all cells are attended to alike, later not.
    assert augment.calls[0][1].std() < 1e-6
    assert augment.calls[-1][1].std() > 1e-6
    MILClassifier(**QUICK, n_steps=5, validation_fraction=0.0).fit(bags.take(range(6)), y[:6], augment=few)
    assert [sorted(chosen) for chosen, _, _ in few.calls] == [list(range(6))] * 5


def test_the_same_seed_gives_the_same_bits_and_global_states_are_left_alone(planted):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    first, second = Identity(), Identity()
    one, two = (MILClassifier(**QUICK).fit(*planted, augment=augment) for augment in (first, second))
    np.testing.assert_array_equal(one.predict_proba(planted[0]), two.predict_proba(planted[0]))
    assert [draw for _, _, draw in first.calls] == [draw for _, _, draw in second.calls]
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_classes_without_a_bag_can_be_asked_for(planted):
    bags, y = planted

    class Third(Identity):
        def bind(self, bags, y, classes, groups):
            super().bind(bags, y, classes, groups)
            self.class_shares = np.full(3, 1 / 3)
            return self

        def __call__(self, chosen, rng, score):
            taken, targets = super().__call__(chosen, rng, score)
            return taken, np.roll(targets, rng.integers(3), axis=1)

    with pytest.warns(UserWarning, match="other: 0"):
        model = MILClassifier(**QUICK).fit(bags, y, augment=Third(), classes=["case", "control", "other"])
    assert model.classes_.tolist() == ["case", "control", "other"]
    assert model.predict_proba(bags).shape == (60, 3)
    with pytest.raises(ValueError, match="classes"):
        MILClassifier(**QUICK).fit(bags, y, augment=Third(), classes=["case", "other"])


class Halves:
    """Some bags, the first five of which stand for class 0 and the others for class 1; every third is of neither."""

    class_shares = np.array([0.5, 0.5])

    def __init__(self, bags, mixed=(2, 7)) -> None:
        self.bags, self.targets = bags, np.eye(2, dtype=np.float32)[np.repeat([0, 1], 5)]
        self.targets[list(mixed)] = 0.5

    def __call__(self, chosen, rng, score):
        return self.bags.take(np.arange(10)), self.targets


def logits(augmented, network):
    embed = embedding_of(network, torch.from_numpy(augmented.cells))
    real = augmented.real.batch(np.arange(len(augmented.real.bags)), embed, torch.device("cpu"))
    return network.classify(real.embeddings()).detach().numpy()


def test_a_missing_class_is_shifted_by_how_real_bags_of_the_other_differ(planted):
    augmented, network = bound(planted[0], Halves(planted[0]))
    before = logits(augmented, network)
    (shift,) = shift_missing(network, augmented, torch.Generator().manual_seed(0))
    after = logits(augmented, network)
    np.testing.assert_allclose(before[:, 1] - after[:, 1], shift.shift, rtol=1e-5)
    odds = before[:, 1] - before[:, 0]
    welch = stats.ttest_ind(odds, np.tile(odds[[0, 1, 3, 4]], N_TIMES), equal_var=False).confidence_interval()
    np.testing.assert_allclose([shift.low, shift.high], welch, rtol=1e-4)
    odds_before, odds_after = before[:, 1] - before[:, 0], after[:, 1] - after[:, 0]
    # Real patients are now taken for what those in their place were taken for.
    assert odds_after.mean() == pytest.approx(odds_before[[0, 1, 3, 4]].mean(), abs=1e-5)
    np.testing.assert_allclose(odds_after - odds_before, (odds_after - odds_before).mean(), atol=1e-5)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])


@pytest.mark.parametrize("case", ["no class is missing", "all made bags lie between classes"])
def test_nothing_is_shifted_where(planted, case):
    mixed = range(10) if case.startswith("all") else (2,)
    augmented, network = bound(planted[0], Halves(planted[0], mixed))
    if case.startswith("no"):
        augmented.real.y[::2] = 1
    before = logits(augmented, network)
    shift_missing(network, augmented, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(logits(augmented, network), before)


def test_classes_change_nothing_when_all_have_bags(planted):
    bags, y = planted
    plain = MILClassifier(**QUICK).fit(bags, y).predict_proba(bags)
    named = MILClassifier(**QUICK).fit(bags, y, classes=["control", "case"]).predict_proba(bags)
    np.testing.assert_array_equal(plain, named)


def test_what_cannot_augment_is_refused(planted):
    bags, y = planted
    with pytest.raises(TypeError, match=r"`augment`.*'psemix'"):
        MILClassifier(**QUICK).fit(bags, y, augment="psemix")
    with pytest.raises(ValueError, match="`generated`"):
        MILClassifier(**QUICK).fit(bags, y, augment=Identity(), generated=bags, generated_y=y)


def test_validation_is_of_real_bags_with_their_own_labels(planted):
    model = MILClassifier(max_epochs=20, patience=40).fit(*planted, augment=Identity(targets=lambda t: 1 - t))
    # What learns exchanged labels gets worse than chance on real ones.
    assert model.history_["train_loss"][-1] < 0.6
    assert model.history_["validation_loss"][-1] > np.log(2)


@pytest.mark.parametrize("copies", [False, True])
def test_segments_for_other_devices_train_the_same_model(planted, monkeypatch, copies):
    by_pieces = MILClassifier(max_epochs=5).fit(*planted, augment=Identity(copies=copies))
    monkeypatch.setattr(_train, "embedding_of", SegmentEmbedding)
    monkeypatch.setattr(_augment, "embedding_of", SegmentEmbedding)
    by_segments = MILClassifier(max_epochs=5).fit(*planted, augment=Identity(copies=copies))
    for name, losses in by_pieces.history_.items():
        np.testing.assert_allclose(losses, by_segments.history_[name], rtol=1e-4, err_msg=name)
