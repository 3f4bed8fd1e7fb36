"""What is read after the object has moved on: rows filtered, objects joined, patients generated twice."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp


@pytest.fixture
def small(_generated):
    return _generated[:, :3].copy()


def readers(keys):
    return {
        "augmented": rp.get.augmented,
        "generated": rp.get.generated,
        "compositions": lambda adata: rp.get.compositions(adata, generated_key="generated"),
        "patients": lambda adata: rp.get.patients(adata, generated_key="generated"),
        "bags": lambda adata: rp.get.bags(adata, generated_key="generated", **keys),
        "audit": rp.tl.audit,
        "mil": lambda adata: rp.tl.mil(adata, generated_key="generated", **keys),
    }


def refused(adata, keys, error, match):
    for read in readers(keys).values():
        with pytest.raises(error, match=match):
            read(adata)


def test_cells_that_are_left_are_counted(small, keys):
    part = small[::3].copy()
    sizes = np.asarray(part.obsm["generated"].sum(axis=0)).ravel()
    p = rp.get.patients(part, generated_key="generated")
    np.testing.assert_array_equal(p.obs["n_cells"], p.layers["counts"].sum(axis=1))
    np.testing.assert_array_equal(p.obs["n_cells"][16:], sizes)
    bags = rp.get.bags(part, generated_key="generated", **keys)
    assert bags.table["n_cells"].tolist() == [len(item["X"]) for item in bags]
    table = rp.get.compositions(part[part.obs["patient"].isin(part.obs["patient"].cat.categories[:2])].copy())
    assert table.to_numpy().sum() == part.obs["patient"].isin(part.obs["patient"].cat.categories[:2]).sum()
    assert len(table) == 2


def test_patients_without_a_cell_are_refused_by_all(small, keys):
    part = small[small.obsm["generated"][:, [0]].toarray().ravel() == 0].copy()
    refused(part, keys, ValueError, "1 of 14 generated patients .* have no cell here: .*_generated_0")


@pytest.mark.parametrize("uns_merge", ["first", "same", "unique", "only", None])
def test_joined_cohorts(small, keys, uns_merge):
    other = small.copy()
    other.obs_names = "other-" + other.obs_names
    rp.tl.generate(other, 7, random_state=1)
    joined = ad.concat([small, other], uns_merge=uns_merge)
    error, match = {
        "first": (ValueError, "`generated_key`.*different draws"),
        "same": (ValueError, "`generated_key`.*is not what `rp.tl.generate`"),
        "unique": (ValueError, "`generated_key`.*is not what `rp.tl.generate`"),
    }.get(uns_merge, (KeyError, "uns"))
    for name, read in readers(keys).items():
        if name not in ("compositions", "patients") or uns_merge in ("first", "same", "unique"):
            with pytest.raises(error, match=match):
                read(joined)


@pytest.mark.parametrize("entry", [{"x": 1}, "text", np.arange(3), {"params": {}, "patients": 3}])
def test_entries_of_something_else(small, keys, entry):
    small.uns["generated"] = entry
    refused(small, keys, ValueError, r"`generated_key`: `uns\['generated'\]` is not what")
    for key, argument in (("gmm", "gmm_key"), ("recipes", "recipes_key")):
        other = small.copy()
        other.uns[key] = entry
        with pytest.raises(ValueError, match=rf"`{argument}`: `uns\['{key}'\]` is not what"):
            rp.tl.generate(other)


def test_generated_twice(small, keys):
    first = rp.get.augmented(small)
    with pytest.warns(UserWarning, match="generated"):
        rp.tl.recipes(first, **keys)
    counts = first.uns["recipes"]["counts"]
    np.testing.assert_array_equal(counts, small.uns["recipes"]["counts"])
    rp.tl.generate(first, 7)
    assert not np.isin(first.uns["generated"]["patients"].index, first.obs["patient"]).any()
    assert first.obsm["generated"][first.obs["is_generated"].to_numpy()].nnz == 0
    second = rp.get.augmented(first)
    assert second.obs_names.is_unique
    assert second.obs["patient"].nunique() == 16 + 14 + 14
    assert second.obs["is_generated"].sum() == first.obs["is_generated"].sum() + first.obsm["generated"].sum()
    before = second.obs.loc[first.obs_names[first.obs["is_generated"]]]
    assert (before["source_cell"].astype(str) == first.obs.loc[before.index, "source_cell"].astype(str)).all()
    assert rp.get.patients(first, generated_key="generated").obs["is_generated"].sum() == 28


def test_only_generated_patients_are_no_cohort(small, keys):
    alone = rp.get.generated(small)
    with pytest.raises(ValueError, match="`mask_obs`"):
        rp.tl.recipes(alone, **keys)


def test_variables_of_one_name(small, tmp_path):
    small.var_names = ["g", "g", "h"]
    small.raw = small.copy()
    both = rp.get.augmented(small)
    assert list(both.var_names) == list(both.raw.var_names) == ["g", "g", "h"]
    found = ad.read_h5ad(rp.get.augmented(small, to=tmp_path / "a.h5ad"))
    assert (found.X != both.X).nnz == 0


def test_modalities_agree_with_the_whole(small, keys):
    protein = ad.AnnData(obs=small.obs[["label"]].iloc[::2].copy())
    mdata = md.MuData({"rna": small[:, :2].copy(), "protein": protein})
    mdata.obs["patient"], mdata.obs["label"] = small.obs["patient"], small.obs["label"]
    rp.tl.gmm(mdata, 4, use_rep="rna:X_pca")
    rp.tl.recipes(mdata, **keys)
    rp.tl.generate(mdata, 3)
    for found in (rp.get.augmented(mdata), rp.get.generated(mdata)):
        for name in ("patient", "label"):
            for part in found.mod.values():
                if name in part.obs:
                    assert (part.obs[name].astype(str) == found.obs.loc[part.obs_names, name].astype(str)).all()


@pytest.mark.parametrize("draw", ["cells", "gaussian"])
def test_generated_objects_carry_no_table_of_real_patients(small, keys, draw, tmp_path):
    names = {name: f"SECRET{i}" for i, name in enumerate(small.obs["patient"].cat.categories)}
    small.obs["patient"] = small.obs["patient"].cat.rename_categories(names)
    small.obs["sample"] = small.obs["patient"]
    rp.tl.recipes(small, **keys)
    rp.tl.mil(small, **keys, model=rp.mil.Attention(n_steps=1))
    rp.tl.audit(rp.tl.generate(small, 3, copy=True), n_permutations=1, n_repeats=1)
    small.uns["anything"] = {"frame": pd.DataFrame({"a": list(names.values())})}
    rp.tl.generate(small, 3, draw=draw)
    new = rp.get.generated(small)
    assert set(new.uns) <= {"gmm", "mil", "pca", "log1p", "hvg", "label_colors"}
    assert new.uns["mil"]["predictions"].empty
    if draw == "gaussian":
        new.write_h5ad(tmp_path / "points.h5ad")
        assert b"SECRET" not in (tmp_path / "points.h5ad").read_bytes()
