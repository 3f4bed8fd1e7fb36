from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone

from repatient import mixing
from repatient.mil import Bags, MILRegressor, load_model, predictive_sd

QUICK = {"max_epochs": 3, "hidden": 16, "attention_hidden": 8}


def value(share: np.ndarray) -> np.ndarray:
    """A value in units of its own that is linear in the share of the planted cells."""
    return 300.0 - 200.0 * share


@pytest.fixture(scope="module")
def fitted(graded) -> MILRegressor:
    return MILRegressor().fit(graded[0], value(graded[1]))


def test_a_value_linear_in_the_share_of_some_cells_is_found_in_new_bags(fitted, graded_test):
    bags, share, _ = graded_test
    predicted = fitted.predict(bags)
    assert np.corrcoef(predicted, value(share))[0, 1] > 0.8
    assert np.abs(predicted - value(share)).mean() < 0.6 * np.abs(value(share) - value(share).mean()).mean()
    assert fitted.score(bags, value(share)) > 0.5


def test_shuffled_values_are_not_found(graded, graded_test):
    bags, share, _ = graded
    model = MILRegressor(max_epochs=20).fit(bags, np.random.default_rng(3).permutation(value(share)))
    assert model.score(graded_test[0], value(graded_test[1])) < 0.1


def test_predictions_move_with_the_unit_of_the_target(fitted, graded, graded_test):
    bags, share, _ = graded
    shift, scale = -1234.5, 0.037
    other = MILRegressor().fit(bags, shift + scale * value(share))
    (mean, sd), (other_mean, other_sd) = (model.predict(graded_test[0], return_std=True) for model in (fitted, other))
    np.testing.assert_allclose(other_mean, shift + scale * mean, rtol=1e-4)
    np.testing.assert_allclose((other_mean - shift) / scale, mean, rtol=1e-4)
    np.testing.assert_allclose(other_sd, scale * sd, rtol=1e-4)
    np.testing.assert_array_equal(other.validation_bags_, fitted.validation_bags_)
    np.testing.assert_allclose(other.history_["validation_loss"], fitted.history_["validation_loss"], atol=1e-4)
    error = "validation_mean_absolute_error"
    np.testing.assert_allclose(other.history_[error], scale * np.array(fitted.history_[error]), rtol=1e-3)


def test_the_target_is_standardised_by_the_training_bags_alone(graded):
    bags, share, _ = graded
    y = share + 1e-3 * np.random.default_rng(0).random(len(share))
    first = MILRegressor(**QUICK).fit(bags, y)
    held_out = first.validation_bags_
    outside = np.setdiff1d(np.arange(len(bags)), held_out)
    assert first.target_mean_ == pytest.approx(y[outside].mean())
    assert first.target_scale_ == pytest.approx(y[outside].std())
    # Other values of the validation bags, of the same ranks, change neither the split nor what is trained.
    ordered = np.sort(y)
    moved = y.copy()
    moved[held_out] = (y[held_out] + np.append(ordered, 1e3)[np.searchsorted(ordered, y[held_out]) + 1]) / 2
    second = MILRegressor(**QUICK).fit(bags, moved)
    np.testing.assert_array_equal(held_out, second.validation_bags_)
    assert (first.target_mean_, first.target_scale_) == (second.target_mean_, second.target_scale_)
    assert first.history_["train_loss"] == second.history_["train_loss"]
    assert first.history_["validation_loss"] != second.history_["validation_loss"]


def test_validation_bags_are_whole_donors_from_all_ranges_of_the_values(graded):
    bags, share, _ = graded
    donors = np.arange(len(bags)) // 2
    model = MILRegressor(**QUICK).fit(bags, share, groups=donors)
    held_out = model.validation_bags_
    assert 0.1 <= len(held_out) / len(bags) <= 0.3
    outside = np.setdiff1d(np.arange(len(bags)), held_out)
    assert not set(donors[held_out]) & set(donors[outside])
    fifths = np.digitize(share, np.quantile(share, [0.2, 0.4, 0.6, 0.8]))
    assert set(fifths[held_out]) == set(fifths[outside]) == set(range(5))


def test_spread_is_calibrated_and_splits_into_its_parts(fitted, graded_test):
    bags, share, _ = graded_test
    total, epistemic, aleatoric = predictive_sd(*fitted.predict_mc(bags))
    assert (epistemic > 0).all()
    assert (aleatoric > 0).all()
    z = (value(share) - fitted.predict(bags)) / total
    inside = np.mean(np.abs(z) < norm.ppf(0.9))
    assert 0.65 < inside < 0.97
    assert 0.25 <= fitted.temperature_ <= 4.0
    _, sd = fitted.predict(bags, return_std=True)
    hotter = MILRegressor.__new__(MILRegressor)
    hotter.__dict__.update(fitted.__dict__)
    hotter.temperature_ = 2 * fitted.temperature_
    np.testing.assert_allclose(hotter.predict(bags, return_std=True)[1], 2 * sd)


def test_a_bag_far_from_all_others_is_more_uncertain(fitted, graded_test):
    bags, *_ = graded_test
    far = Bags(bags.X * 4, bags.rows, bags.indptr)
    near = predictive_sd(*fitted.predict_mc(bags)).epistemic
    assert np.median(predictive_sd(*fitted.predict_mc(far)).epistemic) > 1.5 * np.median(near)


def test_history_and_early_stopping(fitted):
    assert list(fitted.history_) == ["epoch", "train_loss", "validation_loss", "validation_mean_absolute_error"]
    errors = fitted.history_["validation_mean_absolute_error"]
    assert errors[fitted.best_epoch_ - 1] < errors[0] < 200
    assert fitted.best_epoch_ == 1 + int(np.argmin(fitted.history_["validation_loss"]))


def test_generated_bags_bring_their_values(graded, graded_test):
    bags, share, _ = graded
    few, others = np.arange(6), np.arange(6, 80)
    alone = MILRegressor().fit(bags.take(few), value(share[few]))
    both = MILRegressor().fit(
        bags.take(few), value(share[few]), generated=bags.take(others), generated_y=value(share[others])
    )
    test, wanted = graded_test[0], value(graded_test[1])
    assert both.score(test, wanted) > alone.score(test, wanted) + 0.1
    assert both.target_mean_ == alone.target_mean_


@pytest.mark.parametrize("augmenter", [mixing.PseMix(), mixing.RankMix(), mixing.Mixup(alpha=1.0), mixing.InsMix()])
def test_mixed_bags_have_the_mean_of_the_values(graded, augmenter):
    bags, share, _ = graded
    codes = np.arange(len(bags))
    sampler = augmenter.bind(bags, codes, share, codes)
    mixed, targets = sampler(codes[:40], np.random.default_rng(0), lambda some: np.zeros(len(some.rows), np.float32))
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
    planted = mixed.X[mixed.rows][:, :2].sum(axis=1) > 3
    found = np.add.reduceat(planted.astype(float), mixed.indptr[:-1]) / mixed.sizes
    if not isinstance(augmenter, mixing.Mixup | mixing.RankMix):
        assert np.corrcoef(targets @ share, found)[0, 1] > 0.9
    model = MILRegressor(**QUICK).fit(bags, value(share), augment=augmenter)
    assert np.isfinite(model.history_["train_loss"]).all()


@pytest.mark.parametrize(
    "augmenter",
    [
        mixing.ReMix(),
        mixing.SameClassMixing(),
        mixing.Oversampling(),
        mixing.RecipeMix([0, 1]),
        mixing.Alternating(mixing.PseMix(), mixing.Oversampling()),
    ],
    ids=lambda augmenter: type(augmenter).__name__,
)
def test_augmenters_that_need_classes_are_refused(graded, augmenter):
    with pytest.raises(ValueError, match="`augment`"):
        MILRegressor(**QUICK).fit(graded[0], graded[1], augment=augmenter)


def test_the_same_seed_gives_the_same_bits_and_files_keep_them(fitted, graded, graded_test, tmp_path):
    bags, share, _ = graded
    first, again = (MILRegressor(**QUICK).fit(bags, value(share)) for _ in range(2))
    np.testing.assert_array_equal(first.predict_mc(bags), again.predict_mc(bags))
    expected = fitted.predict_mc(graded_test[0], n_passes=3)
    fitted.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is MILRegressor
    np.testing.assert_array_equal(loaded.predict_mc(graded_test[0], n_passes=3), expected)
    np.testing.assert_array_equal(loaded.predict(graded_test[0]), fitted.predict(graded_test[0]))
    assert loaded.get_params() == fitted.get_params()
    assert (loaded.target_mean_, loaded.target_scale_) == (fitted.target_mean_, fitted.target_scale_)
    with np.load(tmp_path / "model" / "weights.npz") as arrays:
        assert all(array.size != len(bags) for array in arrays.values())
    assert clone(fitted).get_params() == fitted.get_params()


def test_without_dropout_or_validation(graded):
    bags, share, _ = graded
    model = MILRegressor(**QUICK, dropout=0.0, validation_fraction=0.0).fit(bags, share)
    np.testing.assert_allclose(predictive_sd(*model.predict_mc(bags)).epistemic, 0.0, atol=1e-12)
    assert model.temperature_ == 1.0
    assert np.isnan(model.history_["validation_loss"]).all()
    with pytest.warns(UserWarning, match=r"\b5\b.*\b4\b") as caught:
        MILRegressor(**QUICK).fit(bags.take(range(4)), share[:4])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training ended near guessing")
        MILRegressor(**QUICK, validation_fraction=0.0).fit(bags.take(range(4)), share[:4])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": np.full(80, 2.5)}, "2.5"),
        ({"y": np.r_[np.nan, np.arange(79)]}, "`y`"),
        ({"y": np.r_[np.inf, np.arange(79)]}, "`y`"),
        ({"y": ["a", *"b" * 79]}, "`y`.*'a'.*'b'"),
        ({"y": np.array([None, *range(79)], dtype=object)}, "`y`"),
        ({"y": np.arange(80) > 3}, "`y`"),
        ({"y": np.arange(3.0)}, r"\b80\b"),
        ({"generated_y": [1.0]}, "given together"),
    ],
)
def test_wrong_arguments_are_named(graded, change, match):
    bags, share, _ = graded
    with pytest.raises(ValueError, match=match):
        MILRegressor(**QUICK).fit(bags, **({"y": share} | change))
