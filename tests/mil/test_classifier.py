from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from repatient.mil import Bags, MILClassifier

QUICK = {"max_epochs": 3, "hidden": 16, "attention_hidden": 8}


@pytest.fixture(scope="module")
def fitted(planted) -> MILClassifier:
    bags, y = planted
    return MILClassifier().fit(bags, y)


def test_planted_key_cells_are_found_in_new_bags(fitted, planted_test):
    bags, y = planted_test
    assert roc_auc_score(y == "case", fitted.predict_proba(bags)[:, 0]) > 0.9
    assert fitted.score(bags, y) > 0.8
    key = bags.X[bags.rows, :2].sum(axis=1) > 4
    attention = fitted.attention(bags)
    assert attention[key].mean() > 3 * attention[~key].mean()


def test_shuffled_labels_are_not_found(planted, planted_test):
    bags, y = planted
    model = MILClassifier().fit(bags, np.random.default_rng(5).permutation(y))
    assert 0.25 < model.score(*planted_test) < 0.75


def test_probabilities_and_attention_sum_to_one_whatever_the_bag(fitted):
    rng = np.random.default_rng(0)
    X, sizes = rng.normal(size=(500, 6)), np.array([1, 1000, 2, 57])
    bags = Bags(X, rng.integers(0, 500, sizes.sum()), np.r_[0, np.cumsum(sizes)])
    np.testing.assert_allclose(fitted.predict_proba(bags).sum(axis=1), 1.0)
    np.testing.assert_allclose(np.add.reduceat(fitted.attention(bags), bags.indptr[:-1]), 1.0, rtol=1e-5)
    assert fitted.attention(bags)[0] == 1.0


def test_neither_the_order_of_cells_nor_the_company_of_bags_matters(fitted, planted_test):
    bags, _ = planted_test
    rng, order = np.random.default_rng(0), np.random.default_rng(1).permutation(len(bags))
    shuffled = np.concatenate(
        [rng.permutation(bags.rows[a:b]) for a, b in np.lib.stride_tricks.sliding_window_view(bags.indptr, 2)]
    )
    np.testing.assert_allclose(
        fitted.predict_proba(Bags(bags.X, shuffled, bags.indptr).take(order)),
        fitted.predict_proba(bags)[order],
        atol=1e-5,
    )
    np.testing.assert_allclose(
        fitted.predict_proba_mc(bags.take([7]))[:, 0], fitted.predict_proba_mc(bags)[:, 7], atol=1e-5
    )


def test_generated_counts_are_predicted_like_copies(fitted):
    X = np.random.default_rng(0).normal(size=(50, 6))
    counts = np.random.default_rng(1).integers(0, 3, size=(50, 4))
    copied = [np.repeat(X, counts[:, b], axis=0) for b in range(4)]
    codes = np.repeat(np.arange(4), [len(c) for c in copied])
    np.testing.assert_allclose(
        fitted.predict_proba(Bags.from_counts(X, counts)),
        fitted.predict_proba(Bags.from_codes(np.concatenate(copied), codes, 4)),
        atol=1e-5,
    )


def test_monte_carlo_passes_vary_around_the_prediction(fitted, planted_test):
    bags, _ = planted_test
    passes = fitted.predict_proba_mc(bags, n_passes=400)
    assert passes.shape == (400, len(bags), 2)
    np.testing.assert_allclose(passes.sum(axis=2), 1.0)
    assert passes.std(axis=0).max() > 0.01
    assert np.corrcoef(passes.mean(axis=0)[:, 0], fitted.predict_proba(bags)[:, 0])[0, 1] > 0.95
    np.testing.assert_array_equal(fitted.predict_proba_mc(bags), fitted.predict_proba_mc(bags, random_state=0))
    assert np.any(fitted.predict_proba_mc(bags) != fitted.predict_proba_mc(bags, random_state=1))
    assert len(fitted.predict_proba_mc(bags)) == fitted.n_passes


def test_no_bags_give_no_predictions(fitted, planted_test):
    none = planted_test[0].take([])
    assert fitted.predict_proba(none).shape == (0, 2)
    assert fitted.predict_proba_mc(none, n_passes=3).shape == (3, 0, 2)
    assert fitted.attention(none).shape == (0,)


def test_the_temperature_divides_the_logits(fitted, planted_test):
    bags, _ = planted_test
    assert len(fitted.validation_bags_) >= 10
    assert 0.25 <= fitted.temperature_ <= 4.0
    hotter = MILClassifier.__new__(MILClassifier)
    hotter.__dict__.update(fitted.__dict__)
    hotter.temperature_ = 2 * fitted.temperature_
    p, q = fitted.predict_proba(bags), hotter.predict_proba(bags)
    np.testing.assert_allclose(np.log(p[:, 0] / p[:, 1]), 2 * np.log(q[:, 0] / q[:, 1]), rtol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "ä"]),
        np.array(["b", "ä"], dtype=object),
        np.array([7, -3]),
        np.array([True, False]),
        np.array([0.1, 2.5]),
    ],
    ids=["str", "object", "int", "bool", "float"],
)
def test_labels_come_back_as_they_were(planted, labels):
    bags, y = planted
    given = labels[(y == "case").astype(int)]
    model = MILClassifier(**QUICK).fit(bags, given)
    assert model.classes_.tolist() == sorted(labels.tolist())
    assert set(model.predict(bags).tolist()) <= set(labels.tolist())


def test_follows_the_conventions_of_scikit_learn(planted):
    model = MILClassifier(hidden=8, max_epochs=2, validation_fraction=0.0)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(hidden=9).hidden == 9
    assert model.fit(*planted) is model
    assert model.n_features_in_ == 6
    assert model.n_epochs_ == 2
    assert not hasattr(clone(model), "classes_")


def test_constant_features_and_large_offsets_do_no_harm(planted):
    bags, y = planted
    X = np.column_stack([bags.X.astype(np.float64) * 1e-3 + 1e6, np.full(len(bags.X), 0.1)])
    shifted = Bags(X, bags.rows, bags.indptr)
    plain = MILClassifier(**QUICK).fit(Bags(np.column_stack([bags.X, np.zeros(len(X))]), bags.rows, bags.indptr), y)
    model = MILClassifier(**QUICK).fit(shifted, y)
    np.testing.assert_allclose(model.predict_proba(shifted)[:, 0], plain.predict_proba(
        Bags(np.column_stack([bags.X, np.zeros(len(X))]), bags.rows, bags.indptr))[:, 0], atol=1e-3)  # fmt: skip


def test_a_feature_that_hardly_varied_in_training_cannot_decide_alone(planted):
    bags, y = planted
    X = np.column_stack([bags.X, np.full(len(bags.X), 2.0)])
    model = MILClassifier(**QUICK).fit(Bags(X, bags.rows, bags.indptr), y)
    probabilities = []
    for value in (2.0 + 10.0, 1e9):
        X[:, -1] = value
        probabilities.append(model.predict_proba(Bags(X, bags.rows, bags.indptr)))
    np.testing.assert_array_equal(*probabilities)


def test_the_scaler_sees_training_bags_only(planted):
    bags, y = planted
    model = MILClassifier(**QUICK).fit(bags, y)
    outside = np.setdiff1d(np.arange(len(bags)), model.validation_bags_)
    cells = bags.X[bags.take(outside).rows]
    np.testing.assert_allclose(model._mean, cells.mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model._scale, cells.std(axis=0), rtol=1e-4)
    assert np.any(np.abs(model._mean - bags.X.mean(axis=0)) > 1e-3)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_global_state_is_left_alone(planted):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = MILClassifier(**QUICK).fit(*planted)
    model.predict_proba_mc(planted[0])
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert torch.get_num_threads() == 2


HASH = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from conftest import plant
from repatient.mil import MILClassifier
bags, y = plant(0)
model = MILClassifier(max_epochs=2, hidden=256, n_passes=3).fit(bags, y)
print(hashlib.sha256(model.predict_proba_mc(bags).tobytes() + model.attention(bags).tobytes()).hexdigest())
"""


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(planted):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    # A number of threads that this process does not have.
    threads = str(1 + torch.get_num_threads())
    done = subprocess.run(
        [sys.executable, "-c", HASH, os.path.dirname(__file__)],
        env=os.environ | dict.fromkeys(names, threads),
        capture_output=True,
        text=True,
        check=True,
    )
    bags, y = planted
    found = []
    for seed in (0, 1):
        model = MILClassifier(max_epochs=2, hidden=256, n_passes=3, random_state=seed).fit(bags, y)
        content = model.predict_proba_mc(bags, random_state=0).tobytes() + model.attention(bags).tobytes()
        found.append(hashlib.sha256(content).hexdigest())
    assert found[0] == done.stdout.strip()
    assert found[1] != found[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": ["a"] * 60}, "at least two classes, found only a"),
        ({"y": ["a", "b"]}, r"\b60\b"),
        ({"y": [None, *["a"] * 59]}, "missing values or mixed types"),
        ({"y": [np.nan, *[1.0] * 59]}, "missing values or mixed types"),
        ({"groups": [1, 2]}, "groups must have one entry"),
        ({"source_groups": np.zeros(1200)}, "source_groups"),
        (
            {"groups": np.arange(60), "source_groups": [1]},
            "source_groups.*1200",
        ),
        ({"groups": np.arange(60), "source_groups": np.arange(1200)}, "source_groups"),
        ({"groups": np.arange(60), "source_groups": np.arange(1200).astype(str)}, "source_groups"),
        ({"generated_y": ["case"]}, "given together"),
    ],
)
def test_wrong_arguments_are_named(planted, change, match):
    bags, y = planted
    with pytest.raises(ValueError, match=match):
        MILClassifier(**QUICK).fit(bags, **({"y": y} | change))


def test_wrong_bags_are_named(planted, fitted):
    bags, y = planted
    X = bags.X.copy()
    for bad in (np.nan, np.inf):
        X[123, 2] = bad
        with pytest.raises(ValueError, match=r"\b1\b.*\b123\b"):
            MILClassifier(**QUICK).fit(Bags(X, bags.rows, bags.indptr), y)
        with pytest.raises(ValueError, match="row 123"):
            fitted.predict(Bags(X, bags.rows, bags.indptr))
    # A cell of no bag may be anything.
    MILClassifier(**QUICK).fit(Bags(X, bags.rows, bags.indptr).drop_rows(np.isinf(X).any(axis=1)), y)
    with pytest.raises(ValueError, match=r"\b1\b.*\b60\b"):
        MILClassifier(**QUICK).fit(Bags(bags.X, bags.rows, np.r_[bags.indptr, len(bags.rows)]), [*y, "case"])
    with pytest.raises(ValueError, match="bags"):
        MILClassifier(**QUICK).fit(bags.take([0]), y[:1])
    with pytest.raises(ValueError, match="ndarray"):
        MILClassifier(**QUICK).fit(bags.X, y)
    with pytest.raises(ValueError, match=r"\b5\b.*\b6\b"):
        fitted.predict(Bags(bags.X[:, :5], bags.rows, bags.indptr))


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden": 0},
        {"n_layers": 1.5},
        {"batch_size": -1},
        {"dropout": 1.0},
        {"validation_fraction": 1.0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"class_weight": "even"},
        {"n_steps": 0},
        {"max_epochs": 0},
        {"cells_per_step": 0},
    ],
)
def test_parameters_out_of_range_are_named(planted, parameters):
    with pytest.raises((TypeError, ValueError), match=f"`{next(iter(parameters))}`"):
        MILClassifier(**parameters).fit(*planted)


def test_too_few_patients_train_without_validation_and_say_so(planted):
    bags, y = planted
    few = np.r_[np.flatnonzero(y == "case")[:4], np.flatnonzero(y == "control")[:20]]
    with pytest.warns(UserWarning, match="case: 4, control: 20.*n_steps=200"):
        model = MILClassifier(**QUICK).fit(bags.take(few), y[few])
    assert len(model.validation_bags_) == 0
    assert model.n_epochs_ == 3
    assert not model.early_stopped_
    assert model.temperature_ == 1.0
    assert np.isnan(model.history_["validation_loss"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training ended near guessing")
        MILClassifier(**QUICK, validation_fraction=0.0).fit(bags.take(few), y[few])
