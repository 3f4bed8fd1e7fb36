"""What happens to an object between two calls: what was stored is right for what the object is now, or is refused."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import repatient as rp

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
KEYS = {"patient_key": "patient", "label_key": "label"}


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def moved_on(draw, adata):
    """The object after something that users do, and whether the recipes still are those of all its cells."""
    what = draw(st.sampled_from(["copy", "shuffle", "reorder", "files", "zarr", "concat", "unused", "column"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if what == "copy":
        return adata.copy()
    if what == "shuffle":
        return adata[rng.permutation(adata.n_obs)].copy()
    if what == "reorder":
        for key in KEYS.values():
            adata.obs[key] = adata.obs[key].cat.reorder_categories(list(rng.permutation(adata.obs[key].cat.categories)))
    if what == "unused":
        adata.obs["label"] = adata.obs["label"].cat.add_categories(["nobody"])
    if what == "column":
        adata.obs["label_colors"] = 1.0
        adata.uns["label_colors"] = draw(st.sampled_from([None, [], "red", ["red"], {"a": 1}, np.array(["r", "b"])]))
    if what in {"files", "zarr"}:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = "h5ad" if what == "files" else "zarr"
            getattr(adata, f"write_{storage}")(Path(folder, "a"))
            return getattr(ad, f"read_{storage}")(Path(folder, "a"))
    if what == "concat":
        half = np.arange(adata.n_obs) < adata.n_obs // 2
        join, uns = (
            draw(st.sampled_from(["inner", "outer"])),
            draw(st.sampled_from(["same", "unique", "first", "only"])),
        )
        return ad.concat([adata[half].copy(), adata[~half].copy()], join=join, merge="same", uns_merge=uns)
    return adata


@examples(4)
@given(st.data())
def test_what_happens_between_two_calls(six_patients, recipes_of, data):
    """What says the same gives the same recipes again, and the stored ones are still read."""
    adata = six_patients()
    adata.obs = adata.obs.astype(str).astype("category")
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS)
    before = recipes_of(adata)
    adata = moved_on(data.draw, adata)
    try:
        assert len(rp.get.recipes(adata)) == before.size
        np.testing.assert_allclose(recipes_of(adata).loc[before.index], before, atol=1e-9)
        rp.pl.recipes(adata).figure.draw_without_rendering()
    except (KeyError, ValueError) as error:
        # Of what was merged, it may be that nothing is left; then it is said whose result is missing.
        assert "_key`" in str(error)  # noqa: PT017
        assert "rp.tl." in str(error)  # noqa: PT017
        return
    finally:
        plt.close("all")
    rp.tl.recipes(adata, **KEYS)
    np.testing.assert_allclose(recipes_of(adata).loc[before.index], before, atol=1e-6)


def renamed(names, prefix):
    return prefix + names.astype(str)


CHANGES = {
    "cells left out": lambda adata, rng: adata[rng.random(adata.n_obs) < 0.7].copy(),
    "patients left out": lambda adata, rng: adata[adata.obs["patient"].isin(["0", "1", "4"])].copy(),
    "genes left out": lambda adata, rng: adata[:, :1].copy(),
    "cells renamed": lambda adata, rng: setattr(adata, "obs_names", renamed(adata.obs_names, "z")),
    "patients renamed": lambda adata, rng: adata.obs.__setitem__("patient", renamed(adata.obs["patient"], "p")),
    "classes renamed": lambda adata, rng: adata.obs.__setitem__("label", renamed(adata.obs["label"], "c")),
    "a class renamed": lambda adata, rng: adata.obs.__setitem__(
        "label", adata.obs["label"].astype(str).replace("1", "2")
    ),
    "classes removed": lambda adata, rng: adata.obs.__delitem__("label"),
    "labels taken away": lambda adata, rng: adata.obs.__setitem__("label", None),
    "components removed": lambda adata, rng: adata.obs.__delitem__("gmm"),
    "components reordered": lambda adata, rng: adata.obs.__setitem__(
        "gmm", adata.obs["gmm"].cat.reorder_categories(list("210"))
    ),
    "mixture fitted again": lambda adata, rng: rp.tl.gmm(adata, 4),
    "recipes learnt again": lambda adata, rng: rp.tl.recipes(adata, kind="mean", **KEYS),
    "embedding removed": lambda adata, rng: adata.obsm.__delitem__("X_pca"),
    "counts removed": lambda adata, rng: adata.obsm.__delitem__("generated"),
}


def joined(draw, adata, rng):
    """The cohort below another one of the same mixture, whose patients have other names."""
    other = adata.copy()
    other.obs_names = "d" + other.obs_names
    other.obs["patient"] = pd.Categorical(renamed(other.obs["patient"], "q"))
    if draw(st.booleans()):
        rp.tl.recipes(other, **KEYS)
        rp.tl.generate(other, 3, random_state=1)
    options = {
        "join": draw(st.sampled_from(["inner", "outer"])),
        "merge": draw(st.sampled_from([None, "same", "unique", "first", "only"])),
        "uns_merge": draw(st.sampled_from([None, "same", "unique", "first", "only"])),
    }
    return ad.concat([adata, other], **options)


@examples(8)
@given(st.data())
def test_what_is_stored_is_right_for_the_object_or_refused(six_patients, trial, data):
    """After anything that users do, every reader counts what is there, or says what is stale and changes nothing."""
    adata = six_patients()
    adata.obs = adata.obs.astype(str).astype("category")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(adata, 3)
        rp.tl.recipes(adata, **KEYS)
        rp.tl.generate(adata, 2)
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        what = data.draw(st.sampled_from([*CHANGES, "joined"]))
        adata = joined(data.draw, adata, rng) if what == "joined" else CHANGES[what](adata, rng) or adata
    table, done = trial(rp.get.compositions, adata, generated_key="generated")
    if done:
        is_generated = table.index.get_level_values("is_generated").to_numpy(dtype=bool)
        assert table[~is_generated].to_numpy().sum() == adata.n_obs
        assert table[is_generated].to_numpy().sum() == adata.obsm["generated"].sum()
    for function, options in (
        (rp.get.patients, {"generated_key": "generated"}),
        (rp.get.augmented, {}),
        (rp.get.generated, {}),
        (rp.get.bags, {"generated_key": "generated", **KEYS}),
        (rp.tl.generate, {"n_patients": 1, "key_added": "more"}),
        (rp.tl.mil, {"generated_key": "generated", "model": "mean", **KEYS}),
    ):
        result, done = trial(function, adata, **options)
        if done and function is rp.tl.mil:
            # No class is there twice, under the name that it had and the one that it has.
            assert list(map(str, result.classes)) == ["0", "1"]
        if done and function is rp.get.augmented:
            assert set(result.obs["label"].dropna().astype(str)) <= {"0", "1"}


@examples(6)
@given(other=st.sampled_from([None, 3, "text", [1], {}, {"params": {}}, {"params": 1}, pd.DataFrame({"a": [1]})]))
def test_a_foreign_entry_is_recognised(six_patients, other):
    adata = six_patients()
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS)
    for key, function in (("gmm", rp.pl.embedding), ("recipes", rp.get.recipes), ("recipes", rp.tl.generate)):
        changed = adata.copy()
        changed.uns[key] = other
        with pytest.raises(ValueError, match=rf"`{key}_key`"):
            function(changed)
