from __future__ import annotations

import numpy as np
import pytest

from repatient import mixing
from repatient.mil import MILClassifier, MILOrdinalClassifier, MILRegressor, load_model

QUICK = {"max_epochs": 3, "hidden": 16, "attention_hidden": 8}
NAMES = np.array(["none", "mild", "moderate", "severe"])


@pytest.fixture(scope="module")
def fitted(graded) -> MILOrdinalClassifier:
    bags, _, grades = graded
    return MILOrdinalClassifier().fit(bags, NAMES[grades], classes=NAMES)


def test_grades_that_follow_the_composition_are_found(fitted, graded, graded_test):
    bags, _, grades = graded_test
    probabilities = fitted.predict_proba(bags)
    majority = np.bincount(graded[2]).argmax()
    assert (probabilities.argmax(axis=1) == grades).mean() > (grades == majority).mean() + 0.2
    plain = MILClassifier().fit(graded[0], graded[2]).predict_proba(bags)

    def error(p):
        return np.abs(p.argmax(axis=1) - grades).mean()

    assert error(probabilities) <= error(plain)
    assert np.corrcoef(fitted.expected_grade(bags), graded_test[1])[0, 1] > 0.8
    assert np.abs(fitted.expected_grade(bags) - grades).mean() < np.abs(np.median(grades) - grades).mean()


def test_shuffled_grades_are_not_found(graded, graded_test):
    bags, _, grades = graded
    model = MILOrdinalClassifier(max_epochs=20).fit(bags, np.random.default_rng(3).permutation(grades))
    wrong = ((model.expected_grade(graded_test[0]) - graded_test[2]) ** 2).mean()
    assert wrong > 0.9 * graded_test[2].var()


def test_grades_are_told_in_their_order_with_coherent_probabilities(fitted, graded_test):
    bags, *_ = graded_test
    assert fitted.classes_.tolist() == NAMES.tolist()
    assert (np.diff(fitted.thresholds_) > 0).all()
    assert len(fitted.thresholds_) == 3
    for probabilities in (fitted.predict_proba(bags), *fitted.predict_proba_mc(bags, n_passes=5)):
        assert probabilities.shape == (200, 4)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert set(fitted.predict(bags)) <= set(NAMES)
    np.testing.assert_array_equal(fitted.predict(bags), NAMES[fitted.predict_proba(bags).argmax(axis=1)])
    np.testing.assert_allclose(fitted.expected_grade(bags), fitted.predict_proba(bags) @ [0, 1, 2, 3])


def test_history_keeps_the_error_in_grades(fitted):
    history = fitted.history_
    assert list(history) == ["epoch", "train_loss", "validation_loss", "validation_mean_absolute_error"]
    assert 0 < min(history["validation_mean_absolute_error"]) < history["validation_mean_absolute_error"][0]
    assert fitted.best_epoch_ == 1 + int(np.argmin(history["validation_loss"]))
    assert fitted.temperature_ != 1.0


def test_rare_grades_have_the_same_say_unless_told_otherwise(graded):
    bags, _, grades = graded
    kept = np.sort(np.r_[np.flatnonzero(grades == 0), np.flatnonzero(grades > 0)[:8]])
    some, y = bags.take(kept), (grades[kept] > 0).astype(int)
    balanced, plain = (
        MILOrdinalClassifier(max_epochs=2, class_weight=weight).fit(some, y).predict_proba(some)[:, 1].mean()
        for weight in ("balanced", None)
    )
    assert balanced == pytest.approx(0.5, abs=0.1)
    assert plain == pytest.approx(y.mean(), abs=0.1)
    assert plain < balanced - 0.1


def test_numbers_are_in_their_order(graded):
    bags, _, grades = graded
    model = MILOrdinalClassifier(**QUICK).fit(bags, np.array([10, 2, 33, 4])[grades])
    assert model.classes_.tolist() == [2, 4, 10, 33]


def test_a_grade_of_generated_bags_alone(graded):
    bags, _, grades = graded
    real = np.flatnonzero(grades < 3)
    model = MILOrdinalClassifier(max_epochs=30, validation_fraction=0.0).fit(
        bags.take(real),
        NAMES[grades[real]],
        generated=bags.take(np.flatnonzero(grades == 3)),
        generated_y=NAMES[grades[grades == 3]],
        classes=NAMES,
    )
    assert model.expected_grade(bags)[grades == 3].mean() > model.expected_grade(bags)[grades == 1].mean() + 0.5


@pytest.mark.parametrize(
    "augmenter",
    [
        mixing.PseMix(),
        mixing.RankMix(),
        mixing.ReMix(),
        mixing.Mixup(),
        mixing.InsMix(),
        mixing.SameClassMixing(),
        mixing.Oversampling(),
        mixing.Alternating(mixing.PseMix(), mixing.InsMix()),
    ],
    ids=lambda augmenter: type(augmenter).__name__,
)
def test_every_augmenter_makes_bags_for_grades(graded, augmenter):
    bags, _, grades = graded
    model = MILOrdinalClassifier(**QUICK).fit(bags, NAMES[grades], classes=NAMES, augment=augmenter)
    assert np.isfinite(model.history_["train_loss"]).all()


def test_recipes_of_grades_are_mixed(graded):
    bags, share, grades = graded
    components = (bags.X[:, :2].sum(axis=1) > 3).astype(int)
    augmenter = mixing.RecipeMix(components, label_mixing=0.5)
    model = MILOrdinalClassifier(max_epochs=25).fit(bags, NAMES[grades], classes=NAMES, augment=augmenter)
    assert np.corrcoef(model.expected_grade(bags), share)[0, 1] > 0.8


def test_the_same_seed_gives_the_same_bits_and_files_keep_them(fitted, graded, graded_test, tmp_path):
    bags, _, grades = graded
    first, again = (MILOrdinalClassifier(**QUICK).fit(bags, NAMES[grades], classes=NAMES) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba_mc(bags), again.predict_proba_mc(bags))
    expected = fitted.predict_proba_mc(graded_test[0], n_passes=3)
    fitted.save(tmp_path / "model")
    for loaded in (MILOrdinalClassifier.load(tmp_path / "model"), load_model(tmp_path / "model")):
        assert type(loaded) is MILOrdinalClassifier
        assert loaded.classes_.tolist() == NAMES.tolist()
        np.testing.assert_array_equal(loaded.thresholds_, fitted.thresholds_)
        np.testing.assert_array_equal(loaded.predict_proba_mc(graded_test[0], n_passes=3), expected)
        np.testing.assert_equal(loaded.history_, fitted.history_)
    for other in (MILClassifier, MILRegressor):
        with pytest.raises(ValueError, match="load_model"):
            other.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"classes": None}, "`classes`"),
        ({"classes": ["none", "mild", "none"]}, "`classes`"),
        ({"classes": ["none", "mild"]}, r"`y` .*\['moderate', 'severe'\]"),
        ({"y": ["none"] * 80, "classes": ["none"]}, "at least two classes"),
        ({"y": ["none"] * 3}, r"\b80\b"),
        ({"y": [None] * 80}, "missing values or mixed types"),
        ({"generated_y": ["none"]}, "given together"),
    ],
)
def test_wrong_arguments_are_named(graded, change, match):
    bags, _, grades = graded
    with pytest.raises(ValueError, match=match):
        MILOrdinalClassifier(**QUICK).fit(bags, **({"y": NAMES[grades], "classes": NAMES} | change))
