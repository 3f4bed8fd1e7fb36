"""A kind of recipes that a user writes goes wherever the package's own go."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import repatient as rp
from repatient.recipe import KINDS, Array, Kind, fit_recipes, log_ratio_transfer, proportions, register_kind


class Spiked(Kind):
    """Patients are the mean, or have much more of one component."""

    name = "spiked"
    arrays = {
        "spike": Array(("K",), "proportions"),
        "share": Array((), "positive"),
        "seen": Array(("*", "K"), "proportions", "seen_class"),
    }

    def fit(self, counts, learning):
        shares = proportions(counts)
        mean = (shares.sum(axis=0) + learning.shrinkage * learning.pool.mean) / (len(counts) + learning.shrinkage)
        spike = proportions(mean[None] + np.eye(len(mean))[[mean.argmax()]])[0]
        return {"mean": mean, "spike": spike, "share": np.asarray(0.25), "seen": shares}

    def sample(self, parameters, n_patients, rng):
        spiked = rng.random(n_patients) < parameters["share"]
        return np.where(spiked[:, None], parameters["spike"], parameters["mean"])

    def shift(self, parameters, factor):
        moved = {name: proportions(np.atleast_2d(parameters[name]) * factor) for name in ("mean", "spike", "seen")}
        return {**parameters, "mean": moved["mean"][0], "spike": moved["spike"][0], "seen": moved["seen"]}


@pytest.fixture
def spiked():
    register_kind(Spiked())
    yield "spiked"
    del KINDS["spiked"]


def test_it_is_offered_everywhere(spiked, plain, keys, tmp_path, same):
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **keys, kind=spiked)
    rp.tl.generate(plain, 3)
    rp.tl.mil(plain, **keys, augment="recipe", model=rp.mil.Attention(n_steps=2))
    rp.pl.recipes(plain)
    entry = plain.uns["recipes"]
    assert entry["seen_class"].tolist() == [0] * 8 + [1] * 8
    small = plain[:, :2].copy()
    small.write_h5ad(tmp_path / "a.h5ad")
    small.write_zarr(tmp_path / "a.zarr")
    for back in (ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")):
        same(dict(back.uns["recipes"]), dict(entry))
        rp.tl.generate(back, 2)
    rp.io.write_recipes(plain, tmp_path / "a.h5")
    content = rp.io.read_recipes(tmp_path / "a.h5")["recipes"]
    for name in ("spike", "share", "seen", "seen_class"):
        np.testing.assert_array_equal(content[name], entry[name])
    target = plain[plain.obs["label"] == "healthy"].copy()
    rp.tl.assign(target, tmp_path / "a.h5")
    rp.tl.recipes(target, **keys, kind=spiked, reference=tmp_path / "a.h5", transfer="log_ratio")
    rp.tl.generate(target, {"disease": 4})


def test_a_transfer_moves_all_that_it_has(spiked):
    rng = np.random.default_rng(0)
    counts = rng.multinomial(300, [0.4, 0.3, 0.2, 0.1], size=12)
    external = fit_recipes(counts, np.repeat(["disease", "healthy"], 6), kind=spiked)
    own = fit_recipes(counts[:, ::-1], np.repeat(["disease", "healthy"], 6), kind=spiked).take(["healthy"])
    moved = log_ratio_transfer(external, own, ["disease"]).parameters[0]
    before = external.take(["disease"]).parameters[0]
    factor = (0.99 * own.mean[0] + 0.0025) / (0.99 * external.take(["healthy"]).mean[0] + 0.0025)
    for name in ("mean", "spike", "seen"):
        expected = before[name] * factor
        np.testing.assert_allclose(moved[name], expected / expected.sum(axis=-1, keepdims=True))


def test_a_file_of_a_kind_that_is_not_known_here(spiked, plain, keys, tmp_path):
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **keys, kind=spiked)
    rp.io.write_recipes(plain, tmp_path / "a.h5")
    kind = KINDS.pop(spiked)
    try:
        with pytest.raises(ValueError, match="'spiked'.*register_kind"):
            rp.io.read_recipes(tmp_path / "a.h5")
    finally:
        KINDS[spiked] = kind


def test_what_is_no_kind(spiked):
    with pytest.raises(ValueError, match="'spiked'"):
        register_kind(Spiked())
    with pytest.raises(TypeError, match="`kind`"):
        register_kind(Spiked)
    for arrays in ({"offsets": Array()}, {"x": Array(("Z",))}, {"x": Array(("*", "K"))}, {"x": Array((), "odd")}):
        other = type("Other", (Spiked,), {"name": "other", "arrays": arrays})()
        with pytest.raises(ValueError, match=r"`kind\.arrays`"):
            register_kind(other)


@pytest.mark.parametrize("kind", KINDS)
def test_merged_components_are_sums(kind):
    """Compositions drawn from merged recipes have the moments of compositions whose parts were added up."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(300, rng.dirichlet([8, 4, 4, 2], size=12))
    recipes, groups = fit_recipes(counts, np.repeat("a", 12), kind=kind), np.array([0, 1, 0, 1])
    parts = recipes.sample("a", 30_000, rng)
    merged = recipes.merged(groups)
    found = merged.sample("a", 30_000, rng)
    expected = np.stack([parts[:, groups == g].sum(axis=1) for g in range(2)], axis=1)
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(merged.mean[0], expected.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found.std(axis=0), expected.std(axis=0), rtol=0.1, atol=1e-6)
    assert merged.classes == ("a",)
