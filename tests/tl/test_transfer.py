from __future__ import annotations

import numpy as np
import pytest

import repatient as rp
from repatient.recipe import KINDS, Recipes, log_ratio_transfer


@pytest.fixture
def two_cohorts(generated, keys):
    """A healthy cohort and another one with both classes, of one mixture."""
    target = generated[generated.obs["label"] == "healthy"].copy()
    return target, generated.copy()


def recipe(kind, name, mean, **parts):
    return Recipes(kind, (name,), ({"mean": np.asarray(mean, dtype=float), **parts},))


def test_the_ratio_of_the_shared_class_is_carried_over():
    own = recipe("mean", "healthy", [0.5, 0.3, 0.2])
    external = recipe("mean", "healthy", [0.25, 0.5, 0.25]).join(recipe("mean", "disease", [0.1, 0.2, 0.7]))
    found = log_ratio_transfer(external, own, ["disease"])
    expected = np.array([0.1 * 0.5 / 0.25, 0.2 * 0.3 / 0.5, 0.7 * 0.2 / 0.25])
    np.testing.assert_allclose(found.mean[0], expected / expected.sum(), rtol=0.03)


def test_smoothing_bounds_the_ratio_of_rare_components():
    own = recipe("mean", "healthy", [0.5, 0.5, 1e-12])
    external = recipe("mean", "healthy", [0.5, 0.5, 1e-9]).join(recipe("mean", "disease", [0.4, 0.4, 0.2]))
    np.testing.assert_allclose(log_ratio_transfer(external, own, ["disease"]).mean[0], [0.4, 0.4, 0.2], atol=1e-6)
    own = recipe("mean", "healthy", [0.4, 0.4, 0.2])
    assert log_ratio_transfer(external, own, ["disease"]).mean[0, 2] < 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_equal_shared_classes_change_nothing(two_cohorts, keys, kind):
    _, external = two_cohorts
    rp.tl.recipes(external, **keys, kind=kind)
    target = external.copy()
    unlabelled = target.obs["label"] == "disease"
    target.obs["label"] = target.obs["label"].where(~unlabelled)
    # Without shrinkage a class's recipe does not depend on which other classes there are.
    rp.tl.recipes(external, **keys, kind=kind, shrinkage=0)
    rp.tl.recipes(target, **keys, kind=kind, shrinkage=0, reference=external, transfer="log_ratio")
    found, expected = (adata.uns["recipes"]["mean"].loc["disease"] for adata in (target, external))
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_moves_by_the_ratio(kind):
    """Draws of the moved recipe are draws of the other one times the ratio; checked on samples."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(300, [0.4, 0.3, 0.2, 0.1], size=12)
    fitted = rp.recipe.fit_recipes(counts, np.repeat(["disease", "healthy"], 6), kind=kind)
    edited = np.array([0.1, 0.2, 0.3, 0.4])
    own = Recipes(kind, ("healthy",), (fitted.take(["healthy"]).parameters[0] | {"mean": edited},))
    found = log_ratio_transfer(fitted, own, ["disease"])
    factor = (0.99 * edited + 0.0025) / (0.99 * fitted.take(["healthy"]).mean[0] + 0.0025)
    draws = fitted.sample("disease", 40_000, rng) * factor
    draws /= draws.sum(axis=1, keepdims=True)
    moved = found.sample("disease", 40_000, rng)
    np.testing.assert_allclose(moved.mean(axis=0), draws.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found.mean[0], moved.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(moved.std(axis=0), draws.std(axis=0), atol=0.02)


def test_in_the_object(two_cohorts, keys):
    target, external = two_cohorts
    rp.tl.recipes(target, **keys, reference=external, transfer="log_ratio")
    entry = target.uns["recipes"]
    assert list(entry["origin"]) == ["cohort", "reference"]
    assert entry["params"]["transfer"] == "log_ratio"
    raw = rp.tl.recipes(target, **keys, reference=external, copy=True).uns["recipes"]
    assert not np.allclose(entry["mean"].loc["disease"], raw["mean"].loc["disease"])
    np.testing.assert_array_equal(entry["concentration"], raw["concentration"])
    rp.tl.generate(target, {"disease": 3})
    alone = rp.tl.recipes(
        target, **keys, labels=["disease"], reference=external, transfer="log_ratio", shared_class="healthy", copy=True
    )
    np.testing.assert_allclose(alone.uns["recipes"]["mean"].loc["disease"], entry["mean"].loc["disease"])


def test_errors(two_cohorts, keys, untouched):
    target, external = two_cohorts
    with untouched(target):
        with pytest.raises(ValueError, match="`transfer` is one of"):
            rp.tl.recipes(target, **keys, reference=external, transfer="ratio")
        with pytest.raises(ValueError, match="pass them as `reference`"):
            rp.tl.recipes(target, **keys, transfer="log_ratio")
        with pytest.raises(ValueError, match="`shared_class` is for"):
            rp.tl.recipes(target, **keys, reference=external, shared_class="healthy")
        with pytest.raises(ValueError, match="'flu' is not in both.*'healthy'"):
            rp.tl.recipes(target, **keys, reference=external, transfer="log_ratio", shared_class="flu")
    both = external.copy()
    external.obs["label"] = external.obs["label"].cat.add_categories("flu")
    external.obs.loc[external.obs["patient"] == external.obs["patient"].iloc[0], "label"] = "flu"
    rp.tl.recipes(external, **keys)
    with pytest.raises(ValueError, match="`shared_class`: name the one class"):
        rp.tl.recipes(both, **keys, reference=external, transfer="log_ratio")
    target.obs["label"] = target.obs["label"].astype(str).astype("category").cat.set_categories([])
    with pytest.raises(ValueError, match="no class has a patient here"):
        rp.tl.recipes(target, **keys, reference=external, transfer="log_ratio")
