from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from repatient.views import (
    CountAugmentation,
    Encoder,
    ImageAugmentation,
    VectorAugmentation,
    probe_errors,
)

QUICK = {
    "dim": 8,
    "width": 16,
    "projection": 16,
    "n_steps": 20,
    "evaluate_every": 10,
    "device": "cpu",
    "progress": False,
}
LONGER = QUICK | {"n_steps": 80, "evaluate_every": 40, "width": 32, "learning_rate": 5e-3}


def planted(n, seed=0):
    """A weak signal among strong nuisance, what the signal looks like in the other view, and its class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    signal = np.eye(4)[y] + 0.3 * rng.standard_normal((n, 4))
    mixing = np.linalg.qr(np.random.default_rng(99).standard_normal((14, 14)))[0]
    X = np.column_stack([signal, 1.5 * rng.standard_normal((n, 10))]) @ mixing
    return X.astype(np.float32), signal.astype(np.float32), y


@pytest.fixture(scope="module")
def views():
    return planted(300)


@pytest.fixture(scope="module")
def encoder(views):
    X, partner, _ = views
    return Encoder(**QUICK).fit(X, partner)


@pytest.mark.parametrize(
    ("objective", "branches", "distill"),
    [("infonce", 2, 0.0), ("infonce", 3, 1.0), ("vicreg", 2, 0.0), ("barlow", 2, 0.0)],
)
def test_a_partner_teaches_what_to_look_at(views, objective, branches, distill):
    X, partner, y = views
    X_test, _, y_test = planted(300, seed=1)
    settings = LONGER | {"objective": objective, "branches": branches, "distill": distill}
    errors = []
    for other in (partner, None):
        encoder = Encoder(**settings).fit(X, other)
        errors.append(probe_errors(encoder.embed(X), y, encoder.embed(X_test), y_test, n_labels=20)["linear_few"])
    assert errors[0] < 0.85 * errors[1]


def test_distilling_puts_the_partner_into_the_embedding(views):
    X, partner, _ = views
    explained = []
    for distill in (5.0, 0.0):
        encoder = Encoder(**LONGER, distill=distill).fit(X, partner)
        embedding = np.column_stack([encoder.embed(X), np.ones(len(X))])
        residual = partner - embedding @ np.linalg.lstsq(embedding, partner, rcond=None)[0]
        explained.append(1 - residual.var() / partner.var())
    assert explained[0] > explained[1]
    assert explained[0] > 0.3


def test_a_teacher_works_without_a_partner(views):
    X, partner, y = views
    X_test, _, y_test = planted(300, seed=1)
    taught, alone = (Encoder(**LONGER, distill=10.0).fit(X, teacher=teacher) for teacher in (partner, None))
    errors = [probe_errors(e.embed(X), y, e.embed(X_test), y_test)["linear"] for e in (taught, alone)]
    assert errors[0] < errors[1]


def test_the_embedding_is_standardised_by_the_training_rows(views, encoder):
    X = views[0]
    embedding = encoder.embed(np.delete(X, encoder.held_out_, axis=0))
    assert embedding.dtype == np.float32
    assert embedding.shape == (270, 8)
    np.testing.assert_allclose(embedding.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(embedding.std(axis=0), 1, atol=1e-4)


def test_rows_are_embedded_one_by_one(views, encoder):
    X = views[0]
    together = encoder.embed(X)
    np.testing.assert_allclose(encoder.embed(X[7:8]), together[7:8], atol=1e-5)


def test_same_seed_same_bits_whatever_the_threads(views, encoder):
    X, partner, _ = views
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        again = Encoder(**QUICK).fit(X, partner)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(again.embed(X), encoder.embed(X))
    assert again.history_ == encoder.history_
    assert torch.equal(torch.get_rng_state(), state)
    other = Encoder(**QUICK, random_state=1).fit(X, partner)
    assert not np.array_equal(other.embed(X), encoder.embed(X))


def test_held_out_rows_are_of_whole_groups_and_do_not_train(views):
    X, partner, _ = views
    groups = np.arange(300) // 15
    encoder = Encoder(**QUICK, validation_fraction=0.2).fit(X, partner, groups=groups)
    held_out = np.isin(groups, np.unique(groups[encoder.held_out_]))
    assert np.flatnonzero(held_out).tolist() == encoder.held_out_.tolist()
    assert len(encoder.held_out_) == 60
    changed = X.copy()
    changed[held_out] += 100
    same_steps = QUICK | {"n_steps": 10, "validation_fraction": 0.2}
    first, second = (Encoder(**same_steps).fit(x, partner, groups=groups) for x in (X, changed))
    assert first.history_["train_loss"] == second.history_["train_loss"]
    assert first.history_["validation_loss"] != second.history_["validation_loss"]


def test_training_stops_when_held_out_rows_no_longer_gain():
    rng = np.random.default_rng(0)
    X, partner = rng.standard_normal((2, 40, 6))
    settings = QUICK | {"n_steps": 2000, "evaluate_every": 20, "patience": 3, "validation_fraction": 0.25}
    encoder = Encoder(**settings, learning_rate=1e-2).fit(X, partner)
    assert encoder.early_stopped_
    assert encoder.n_steps_ == encoder.best_step_ + 60
    losses = encoder.history_["validation_loss"]
    assert encoder.history_["step"][int(np.argmin(losses))] == encoder.best_step_


def test_no_steps_leave_a_random_encoder(views):
    X, partner, _ = views
    encoder = Encoder(**QUICK | {"n_steps": 0}).fit(X, partner)
    assert encoder.n_steps_ == 0
    assert encoder.history_["step"] == []
    assert np.isfinite(encoder.embed(X)).all()


def test_too_few_rows_to_hold_out_are_said_aloud(views):
    X, partner, _ = views
    with pytest.warns(UserWarning, match="No rows are held out: 0.1 of 20 groups are 2 rows"):
        encoder = Encoder(**QUICK).fit(X[:20], partner[:20])
    assert len(encoder.held_out_) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Encoder(**QUICK, validation_fraction=0.0).fit(X[:2], partner[:2])


def test_wide_counts_are_thinned_and_depth_is_left_out():
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, 1.0, (3, 250))[rng.integers(0, 3, 120)]
    counts = rng.poisson(rates * rng.lognormal(0, 0.3, (120, 1))).astype(np.float32)
    encoder = Encoder(**QUICK).fit(counts, rates)
    assert encoder.kind_ == "counts"
    assert encoder.partner_kind_ == "vectors"
    assert isinstance(encoder._primary.augmentation, CountAugmentation)
    np.testing.assert_allclose(encoder.embed(counts * 7), encoder.embed(counts), atol=1e-3)
    assert Encoder(**QUICK, kind="vectors").fit(counts).kind_ == "vectors"


def test_images_of_other_sizes_and_channels_are_partners():
    rng = np.random.default_rng(0)
    X = rng.random((40, 3, 64, 64), dtype=np.float32)
    settings = QUICK | {"n_steps": 4, "evaluate_every": 2, "batch_size": 16, "width": 64, "validation_fraction": 0.2}
    for partner in (X[:, :1] + 1, X[:, :2, ::4, ::2], X.mean(axis=(2, 3))):
        encoder = Encoder(**settings).fit(X, partner)
        assert encoder.kind_ == "images"
        assert encoder.embed(X[:3]).shape == (3, 8)


def bad(X, change):
    X = X.copy()
    change(X)
    return X


@pytest.mark.parametrize(
    ("X", "partner", "match"),
    [
        (np.full((20, 3), np.nan), None, "`X` has NaN or infinity in 20 of 20 rows"),
        (np.eye(20), np.full((20, 3), np.inf), "`partner` has NaN or infinity"),
        (np.eye(20), np.eye(20) * -1e16, r"`partner` has values beyond ±1e\+15 in 20 of 20 rows, the greatest 1e\+16"),
        (np.zeros((20, 3, 4)), None, r"`X` has shape \(20, 3, 4\); vectors"),
        (np.random.default_rng(0).random((20, 16, 16, 3)), None, "channels last"),
        (np.random.default_rng(0).random((20, 3, 18, 16)), None, "18 × 16 pixels; both sides must be divisible"),
        (np.ones((1, 3)), None, "`X` has 1 rows; 2 or more are needed"),
        (np.ones((20, 3)), None, "`X` is constant"),
        (np.eye(20), np.ones((20, 3)), "`partner` is constant"),
        (np.eye(20), np.eye(19), "`partner` must have one row for each of the 20 rows of `X`, found 19"),
    ],
)
def test_views_that_cannot_be_learnt_from(X, partner, match):
    with pytest.raises(ValueError, match=match):
        Encoder(**QUICK).fit(X, partner)


def test_rows_that_cannot_be_embedded(views, encoder):
    X = views[0]
    with pytest.raises(
        ValueError, match=r"`X` has rows of shape \(13,\); the encoder was trained on rows of shape \(14,\)"
    ):
        encoder.embed(X[:, 1:])
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 300 rows"):
        encoder.embed(bad(X, lambda x: x.__setitem__((5, 5), np.nan)))
    with pytest.raises(TypeError, match="real numbers"):
        encoder.embed(X.astype(str))


@pytest.mark.parametrize(
    ("error", "match", "settings"),
    [
        (ValueError, "objective must be one of", {"objective": "triplet"}),
        (ValueError, "branches must be 2 or 3, found 4", {"branches": 4}),
        (ValueError, "distill must be at least 0", {"distill": -1}),
        (ValueError, "batch_size must be an integer of at least 2", {"batch_size": 1}),
        (ValueError, "n_steps must be an integer", {"n_steps": 2.5}),
        (ValueError, "dim must be an integer", {"dim": True}),
        (ValueError, "validation_fraction must be at least 0 and less than 1", {"validation_fraction": 1.0}),
        (ValueError, "learning_rate must be positive", {"learning_rate": 0}),
        (ValueError, "kind of X must be one of", {"kind": "words"}),
        (ValueError, "kind of X is 'images', which does not fit", {"kind": "images"}),
        (ValueError, "kind of X is 'counts', but its values", {"kind": "counts"}),
        (TypeError, "augmentation must be a VectorAugmentation for vectors", {"augmentation": ImageAugmentation()}),
        (TypeError, "partner_augmentation must be a Vec", {"partner_augmentation": CountAugmentation()}),
    ],
)
def test_parameters_out_of_their_range(views, error, match, settings):
    X, partner, _ = views
    with pytest.raises(error, match=match):
        Encoder(**QUICK | settings).fit(X, partner)


def test_groups_are_one_a_row(views):
    with pytest.raises(ValueError, match=r"groups must have one entry for each of the 300 rows, found shape \(3,\)"):
        Encoder(**QUICK).fit(views[0], groups=[1, 2, 3])


def test_a_loss_that_does_not_stay_finite(views):
    X, partner, _ = views
    with pytest.raises(FloatingPointError, match="a lower learning_rate than 1e"):
        Encoder(**QUICK | {"n_steps": 200}, learning_rate=1e30, objective="vicreg").fit(X, partner)


def test_augmentations_are_parameters(views):
    X, partner, _ = views
    calm = VectorAugmentation(mask=0.0, swap=0.0, noise=0.0)
    encoder = Encoder(**QUICK, augmentation=calm).fit(X, partner)
    assert not np.array_equal(encoder.embed(X), Encoder(**QUICK).fit(X, partner).embed(X))
    assert encoder.get_params()["augmentation"] == calm
