"""What methods of a fold share is what each would have computed alone."""

from __future__ import annotations

import numpy as np
import pytest

from repatient.mil import Bags, Ensemble, Linear, fit_once, make_predictor, sharing
from repatient.mil import _features as features

NAMES = ("composition", "prototypes", "likelihood", "kernel_mean", "cells")


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    sizes = rng.integers(20, 40, size=12)
    X = rng.normal(size=(sizes.sum(), 4)).astype(np.float32) + np.repeat(y, sizes)[:, None]
    return Bags.from_codes(X, np.repeat(np.arange(12), sizes), 12), y


@pytest.fixture
def fits(monkeypatch):
    """Mixtures that are fitted."""
    found = []
    fit = features.Components.fit.__func__
    monkeypatch.setattr(
        features.Components, "fit", classmethod(lambda cls, *args, **more: found.append(1) or fit(cls, *args, **more))
    )
    return found


def test_same_bits_after_others(cohort):
    bags, y = cohort
    alone = {name: make_predictor(name).fit(bags, y).predict_proba(bags) for name in NAMES}
    for order in (NAMES, NAMES[::-1]):
        with sharing():
            for name in order:
                found = fit_once(make_predictor(name), bags, y).predict_proba(bags)
                np.testing.assert_array_equal(found, alone[name], err_msg=name)


def test_one_mixture_for_all_that_see_the_same(cohort, fits):
    bags, y = cohort
    with sharing():
        for name in ("composition", "prototypes", "likelihood"):
            make_predictor(name).fit(bags, y)
    assert len(fits) == 1


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"number": 5}, {"patients": np.arange(10)}],
    ids=["another seed", "another number of components", "other patients"],
)
def test_own_mixture_where_anything_differs(cohort, fits, changed):
    bags, y = cohort
    patients = changed.get("patients", np.arange(12))
    with sharing():
        Linear("composition", n_components=4, random_state=0).fit(bags, y)
        other = Linear("composition", n_components=changed.get("number", 4), random_state=changed.get("seed", 0)).fit(
            bags.take(patients), y[patients]
        )
        assert len(fits) == 2
    alone = Linear("composition", n_components=changed.get("number", 4), random_state=changed.get("seed", 0))
    expected = alone.fit(bags.take(patients), y[patients]).predict_proba(bags)
    np.testing.assert_array_equal(other.predict_proba(bags), expected)


def test_members_of_an_ensemble_are_the_predictors_of_their_names(cohort):
    bags, y = cohort
    with sharing():
        mean = fit_once(Linear("mean", moderation=4.0), bags, y, groups=np.arange(12))
        members = dict(Ensemble(device="cpu", progress=False).fit(bags, y, groups=np.arange(12)).members_)
    assert members["mean"] is mean


def test_nothing_is_kept_beyond(cohort, fits):
    bags, y = cohort
    for _ in range(2):
        with sharing():
            Linear("composition").fit(bags, y)
    Linear("composition").fit(bags, y)
    assert len(fits) == 3


def test_labels_tell_fits_apart(cohort):
    bags, y = cohort
    with sharing():
        one, other = fit_once(Linear("mean"), bags, y), fit_once(Linear("mean"), bags, 1 - y)
    np.testing.assert_allclose(one.predict_proba(bags), other.predict_proba(bags)[:, ::-1], atol=1e-5)
    assert one is not other
