"""Wide embeddings as the members of an average see them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from repatient._files._scratch import filled
from repatient.mil import Attention, Bags, Cells, Ensemble, Linear, load_model
from repatient.mil._axes import PrincipalAxes

D, R = 300, 8
MEMBERS = [("mean", Linear()), ("cells", Cells()), ("kernel_mean", Linear("kernel_mean", n_frequencies=50))]


@pytest.fixture(scope="module")
def wide():
    """Patients whose cells have 300 features of ten directions and noise, the first of which shifts with the class."""
    rng = np.random.default_rng(0)
    y, n_cells = np.arange(30) % 2, 20
    codes = np.repeat(np.arange(len(y)), n_cells)
    hidden = rng.normal(size=(len(codes), 10)) * np.geomspace(4, 1, 10)
    hidden[:, 0] += 3.0 * y[codes]
    X = hidden @ rng.normal(size=(10, D)) + rng.normal(size=(len(codes), D)) + 100.0
    return Bags.from_codes(X.astype(np.float32), codes, len(y)), y


def ensemble(**settings) -> Ensemble:
    return Ensemble(MEMBERS, **{"n_axes": R, "progress": False, "device": "cpu"} | settings)


def test_members_see_the_principal_axes_of_standardised_training_cells(wide):
    bags, y = wide
    model = ensemble().fit(bags, y)
    assert (model.n_features_in_, model.axes_.axes.shape) == (D, (D, R))
    # The one that is linear in the mean cell sees all features.
    assert {name: member.n_features_in_ for name, member in model.members_} == {"mean": D, "cells": R, "kernel_mean": R}
    assert any("8 principal axes of 300 features" in reason for reason in model.reasons_)
    Z = StandardScaler().fit_transform(bags.X.astype(np.float64))
    expected = PCA(R).fit(Z)
    overlap = expected.components_ @ model.axes_.axes
    np.testing.assert_allclose(np.abs(np.diag(overlap)), 1.0, atol=1e-3)
    along = model.axes_.along(bags.take([3, 1]))
    rows = bags.take([3, 1]).rows
    np.testing.assert_allclose(along.X[along.rows], Z[rows] @ model.axes_.axes, atol=2e-4)


def test_what_it_says_of_cells_and_patients_fits_together_and_comes_back_from_files(wide, tmp_path):
    bags, y = wide
    train, test = np.arange(20), np.arange(20, 30)
    model = ensemble().fit(bags.take(train), y[train], groups=train)
    new = bags.take(test)
    p, scores = model.predict_proba(new), model.decision_function(new)
    assert (model.predict(new) == y[test]).mean() > 0.8
    sums = np.add.reduceat(model.contributions(new), new.indptr[:-1], axis=0) + model.intercept_
    np.testing.assert_allclose(sums, scores, atol=1e-5)
    assert model.predict_proba_mc(new, n_passes=6).shape == (6, 10, 2)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(new), p)
    np.testing.assert_array_equal(loaded.contributions(new), model.contributions(new))
    X = filled(lambda part: bags.X[part], bags.X.shape, bags.X.dtype, in_file=True)
    np.testing.assert_array_equal(model.predict_proba(Bags(X, new.rows, new.indptr)), p)


def test_axes_are_those_of_the_training_patients(wide):
    bags, y = wide
    train = np.arange(20)
    model = ensemble().fit(bags.take(train), y[train])
    X = bags.X.copy()
    X[bags.take(np.arange(20, 30)).rows] *= 1e3
    other = ensemble().fit(Bags(X, bags.rows, bags.indptr).take(train), y[train])
    for name, array in model.axes_.arrays.items():
        np.testing.assert_array_equal(other.axes_.arrays[name], array)


def test_donors_left_out_for_the_temperature_are_not_seen_by_axes(wide, monkeypatch):
    bags, y = wide
    seen, fit = [], PrincipalAxes.fit.__func__

    def recorded(cls, some, n_axes, rng):
        seen.append(set(some.rows.tolist()))
        return fit(cls, some, n_axes, rng)

    monkeypatch.setattr(PrincipalAxes, "fit", classmethod(recorded))
    model = ensemble().fit(bags, y)
    assert any("temperature" in reason for reason in model.reasons_)
    everything = set(bags.rows.tolist())
    assert seen[0] == everything
    left = [everything - some for some in seen[1:]]
    assert set().union(*left) == everything
    assert sum(map(len, left)) == len(everything)


@pytest.mark.parametrize(
    "settings",
    [{"n_axes": None}, {"n_axes": 76}, {"n_axes": 300}],
    ids=["not wished", "fewer than eight cells for each axis", "no fewer axes than features"],
)
def test_otherwise_members_see_all_features(wide, settings):
    model = ensemble(**settings).fit(*wide)
    assert model.axes_ is None
    assert {member.n_features_in_ for _, member in model.members_} == {D}


def test_members_that_learn_from_generated_patients_see_all_features(wide):
    bags, y = wide
    model = ensemble().fit(bags, y, generated=bags.take([0, 1]), generated_y=y[:2])
    assert model.axes_ is None


def test_what_lies_off_the_axes_is_not_out_of_sight():
    """Classes differ in three features that go with nothing else."""
    rng = np.random.default_rng(1)
    y, n_cells = np.arange(60) % 2, 50
    codes = np.repeat(np.arange(len(y)), n_cells)
    X = (rng.normal(size=(len(codes), 10)) * np.geomspace(30, 10, 10)) @ rng.normal(size=(10, D))
    X = X / X.std(axis=0) + 0.02 * rng.normal(size=X.shape)
    X[:, :3] = rng.normal(size=(len(codes), 3)) + y[codes][:, None]
    bags, train, test = Bags.from_codes(X.astype(np.float32), codes, len(y)), np.arange(40), np.arange(40, 60)
    model = ensemble(calibrate=False).fit(bags.take(train), y[train])
    assert model.axes_ is not None
    assert np.abs(model.axes_.axes[:3]).max() < 0.1
    assert roc_auc_score(y[test], model.predict_proba(bags.take(test))[:, 1]) > 0.9
    blind = Ensemble(MEMBERS[1:], n_axes=R, calibrate=False).fit(bags.take(train), y[train])
    assert roc_auc_score(y[test], blind.predict_proba(bags.take(test))[:, 1]) < 0.9


@pytest.mark.filterwarnings("ignore:Training ended near guessing")
def test_an_attention_member_looks_along_the_axes(wide):
    bags, y = wide
    members = [("mean", Linear()), ("attention", Attention(n_steps=5, calibrate=False))]
    model = Ensemble(members, n_axes=R, progress=False, device="cpu").fit(bags, y)
    shares = model.attention(bags.take([2, 5]))
    np.testing.assert_allclose(np.add.reduceat(shares, [0, 20]), 1.0, atol=1e-5)


@pytest.mark.parametrize("bad", [0, 2.5, "64"])
def test_a_wrong_number_of_axes_is_named(wide, bad):
    with pytest.raises((TypeError, ValueError), match="n_axes"):
        ensemble(n_axes=bad).fit(*wide)


def test_a_member_that_settings_change_sees_what_it_then_needs(wide):
    model = ensemble(settings={"features": "moments"}).fit(*wide)
    assert {name: member.n_features_in_ for name, member in model.members_} == dict.fromkeys(
        ["mean", "cells", "kernel_mean"], R
    )
    assert model.predict_proba(wide[0]).shape == (30, 2)
