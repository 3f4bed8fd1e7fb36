"""The synthetic view of a modality: what is written, measured, warned of and refused."""

from __future__ import annotations

import warnings

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

KEY = "X_prot_synthetic"
GENES = ["IL7R", "CD14", "CD19", "NCAM1", "CD3D", "CD3E", "ACTB", "GAPDH"]
PROTEINS = ["CD127", "CD14_TotalSeqB", "CD19", "CD56", "CD3", "other"]
SETTINGS = {"settings": {"hidden": 8, "n_neighbors": 6}, "n_steps": 20, "progress": False, "device": "cpu"}
MEANS = np.array([[3, 0, 0, 0, 3], [0, 3, 0, 0, 0], [0, 0, 3, 0, 0], [0, 0, 0, 3, 0]])


def modality(latent, names, kinds, scale):
    adata = ad.AnnData(
        (scale * latent).astype(np.float32),
        obs=pd.DataFrame({"kind": pd.Categorical(np.array(["T", "mono", "B", "NK"])[kinds])}),
        var=pd.DataFrame(index=names),
    )
    adata.obs_names = [f"cell{i}" for i in range(len(latent))]
    return adata


@pytest.fixture
def both():
    """RNA and protein of the same 240 cells of four kinds."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(4, size=240)
    latent = MEANS[kinds] + 0.6 * rng.normal(size=(240, 5))
    noise = rng.normal(size=(240, 3))
    rna = modality(np.column_stack([latent, latent[:, 4], noise[:, :2]]), GENES, kinds, 1.0)
    rna.X += 0.2 * rng.normal(size=rna.shape).astype(np.float32)
    prot = modality(np.column_stack([latent, noise[:, 2]]), PROTEINS, kinds, 2.0)
    return rna, prot


@pytest.fixture
def mdata(both):
    rna, prot = both
    result = md.MuData({"rna": rna, "prot": prot})
    result.obs["training"] = np.arange(240) % 4 != 0
    return result


def run(data, **kwargs):
    options = {"links": "names", **SETTINGS, **kwargs}
    return rp.tl.synthesize(data, "rna", "prot", **options)


def test_what_is_written(mdata):
    translator = run(mdata, mask_obs="training", evaluation_pairs="obs_names", groupby="kind", n_seeds=2)
    rna = mdata.mod["rna"]
    assert rna.obsm[KEY].shape == (240, 6)
    assert rna.obsm[KEY].dtype == np.float32
    np.testing.assert_array_equal(rna.obsm[KEY], translator.translate(rna.X))
    entry = rna.uns[KEY]
    assert entry["params"]["generator"] == "ot"
    assert (entry["params"]["n_source"], entry["params"]["n_target"], entry["params"]["n_pairs"]) == (180, 180, 0)
    np.testing.assert_array_equal(entry["trained"], mdata.obs["training"])
    found = set(map(tuple, entry["links"].to_numpy()))
    assert found == {
        ("IL7R", "CD127"),
        ("CD14", "CD14_TotalSeqB"),
        ("CD19", "CD19"),
        ("NCAM1", "CD56"),
        ("CD3D", "CD3"),
        ("CD3E", "CD3"),
    }
    figures = entry["fidelity"]
    assert figures["n_held_out_pairs"] == 60
    assert figures["foscttm"] < 0.2
    assert 0.2 < figures["neighbour_overlap"] <= 1
    assert figures["link_correlation"] > 0.5
    assert figures["distribution_match"] < 0.2
    assert 0.8 < figures["seed_agreement"] < 1
    assert np.isnan(figures["cycle_error_weak"])
    assert entry["by_feature"]["correlation"][:5].min() > 0.5
    assert entry["by_group"]["n"].sum() == 60
    assert entry["by_group"]["read_as_own"].min() > 0.7
    assert not entry["composition"]["missing"].any()


def test_held_out_pairs_are_not_learnt_from(mdata):
    run(mdata, links=None, pairs="obs_names", generator="regression")
    entry = mdata.mod["rna"].uns[KEY]
    assert entry["params"]["n_pairs"] == 192
    assert entry["fidelity"]["n_held_out_pairs"] == 48
    assert entry["trained"].sum() == 192
    first = mdata.mod["rna"].obsm[KEY].copy()
    held_out = ~entry["trained"]
    mdata.mod["prot"].X[held_out] += 100
    run(mdata, links=None, pairs="obs_names", generator="regression")
    np.testing.assert_array_equal(mdata.mod["rna"].obsm[KEY], first)


def test_masked_rows_are_not_learnt_from(mdata):
    run(mdata, mask_obs="training")
    first = mdata.mod["rna"].obsm[KEY].copy()
    outside = ~mdata.obs["training"].to_numpy()
    mdata.mod["prot"].X[outside] *= -3
    run(mdata, mask_obs="training")
    np.testing.assert_array_equal(mdata.mod["rna"].obsm[KEY], first)


def test_equal_names_prove_nothing(mdata):
    with pytest.raises(ValueError, match="neither|without `pairs` or `links`"):
        run(mdata, links=None)
    run(mdata)
    assert mdata.mod["rna"].uns[KEY]["params"]["n_pairs"] == 0


def test_links_by_name_and_by_hand(mdata):
    run(mdata, links="names")
    by_name = set(map(tuple, mdata["rna"].uns[KEY]["links"].to_numpy()))
    run(mdata, links=["names", {"IL7R": "CD19", "CD19": "CD19"}])
    assert set(map(tuple, mdata["rna"].uns[KEY]["links"].to_numpy())) == by_name | {("IL7R", "CD19")}


def test_disjoint_observations(both):
    rna, prot = both
    prot = prot[::2].copy()
    prot.obs_names = "p" + prot.obs_names
    mdata = md.MuData({"rna": rna, "prot": prot})
    run(mdata, links={"IL7R": "CD127", "CD14": "CD14_TotalSeqB", "CD19": ["CD19"], "NCAM1": "CD56"})
    entry = mdata.mod["rna"].uns[KEY]
    assert entry["params"]["n_target"] == 120
    assert np.isnan(entry["fidelity"]["foscttm"])
    assert entry["fidelity"]["link_correlation"] > 0.5
    with pytest.raises(ValueError, match="share no name"):
        run(mdata, pairs="obs_names")


def test_missing_groups_are_warned_of_and_shown(mdata):
    prot = mdata.mod["prot"]
    without = ~prot.obs["kind"].isin(["B", "NK"]).to_numpy()
    with pytest.warns(UserWarning, match=r"composition by groups: 'B' .*'NK' .*made up") as caught:
        run(mdata, target_mask_obs=without, evaluation_pairs="obs_names", groupby="kind")
    assert len([one for one in caught if "made up" in str(one.message)]) == 1
    table = mdata.mod["rna"].uns[KEY]["by_group"]
    assert table.index[table["missing"]].tolist() == ["B", "NK"]
    assert table.loc[["B", "NK"], "read_as_own"].max() == 0
    assert table.loc[["B", "NK"], "error"].min() > 1.3 * table.loc[["T", "mono"], "error"].max()


def test_missing_kinds_are_warned_of_without_groups(mdata):
    without = ~mdata.mod["prot"].obs["kind"].isin(["B"]).to_numpy()
    with pytest.warns(UserWarning, match="clusters of linked features"):
        run(mdata, target_mask_obs=without)


def test_equal_compositions_warn_of_nothing(mdata):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(mdata)
        run(mdata, groupby="kind")


def test_two_objects_and_new_data(both, tmp_path, untouched):
    rna, prot = both
    with untouched(prot):
        translator = run(rna, target_data=prot)
    translator.save(tmp_path / "translator")
    again = rp.views.Translator.load(tmp_path / "translator", device="cpu")
    new = rna[::-1, ::-1].copy()
    del new.obsm[KEY]
    rp.tl.synthesize(new, "rna", "prot", translator=again)
    np.testing.assert_allclose(new.obsm[KEY][::-1], rna.obsm[KEY], atol=1e-5)
    with pytest.raises(KeyError, match="1 of the 8 features of training are not in it: \\['IL7R'\\]"):
        rp.tl.synthesize(rna[:, 1:].copy(), "rna", "prot", translator=again)


def test_round_trip(mdata, read_back, same_content):
    run(mdata, mask_obs="training", evaluation_pairs="obs_names", groupby="kind")
    for storage in ("h5mu", "zarr"):
        same_content(read_back(mdata, storage).mod["rna"], mdata.mod["rna"])


def test_copy_and_same_seed_same_result(mdata, untouched):
    with untouched(mdata):
        _, written = run(mdata, copy=True)
    run(mdata)
    np.testing.assert_array_equal(written.mod["rna"].obsm[KEY], mdata.mod["rna"].obsm[KEY])


def test_images_are_made_on_the_fly_and_stored_where_asked(both):
    rna, prot = both
    rng = np.random.default_rng(0)
    for adata, n_channels in ((rna, 3), (prot, 1)):
        adata.obsm["tiles"] = rng.random((240, n_channels, 8, 8)).astype(np.float32)
    options = {"source_rep": "tiles", "target_rep": "tiles", "target_data": prot, "links": None, "n_steps": 2}
    options["settings"] = {"width": 4, "batch_size": 4}
    translator = run(rna, **options)
    assert KEY not in rna.obsm
    assert rna.uns[KEY]["params"]["generator"] == "cyclegan"
    assert rna.uns[KEY]["fidelity"]["cycle_error_weak"] > 0
    run(rna, **options, store=True)
    np.testing.assert_array_equal(rna.obsm[KEY], translator.translate(rna.obsm["tiles"]))


def set_nan(mdata):
    mdata.mod["rna"].X[3, 2] = np.nan


def set_constant(mdata):
    mdata.mod["prot"].X[:] = 1


def set_duplicates(mdata):
    mdata.mod["prot"].obs_names = ["same"] * 240


@pytest.mark.parametrize(
    ("change", "kwargs", "error", "message"),
    [
        (set_nan, {}, ValueError, "NaN or infinity in 1 of 240 rows"),
        (set_constant, {}, ValueError, "constant"),
        (set_duplicates, {}, ValueError, "not unique"),
        (None, {"links": {"IL7X": "CD127"}}, KeyError, "'IL7X'.* are no features of the source"),
        (None, {"links": {"IL7R": "CD99"}}, KeyError, "'CD99'.* are no features of the target"),
        (None, {"links": {}}, ValueError, "`links` is empty"),
        (None, {"links": "genes"}, ValueError, "`links` is one of"),
        (None, {"links": 3}, TypeError, "mapping"),
        (None, {"links": []}, TypeError, "mapping"),
        (None, {"links": ["names", {"IL7X": "CD127"}]}, KeyError, "'IL7X'.* are no features of the source"),
        (None, {"pairs": "names"}, ValueError, "`pairs` is one of"),
        (None, {"pairs": [[0, 999]]}, ValueError, "outside of the 240 and 240"),
        (None, {"source_rep": "X_pca"}, KeyError, "no view 'X_pca'"),
        (None, {"groupby": "nothing"}, KeyError, "no column 'nothing'"),
        (None, {"mask_obs": np.arange(240) < 1}, ValueError, "has 1 rows; 2 or more"),
        (None, {"generator": "magic"}, ValueError, "`generator` is one of"),
        (None, {"settings": {"n_steps": 3}}, ValueError, "arguments of their own"),
        (None, {"settings": {"members": 3}}, ValueError, r"no \['members'\]; there are .*'n_members'"),
        (None, {"n_seeds": 0}, ValueError, "`n_seeds`"),
        (None, {"target_data": ad.AnnData(np.ones((2, 2)))}, ValueError, "a MuData has both"),
    ],
)
def test_errors_leave_the_object_as_it_was(mdata, untouched, change, kwargs, error, message):
    if change is not None:
        change(mdata)
    with untouched(mdata), pytest.raises(error, match=message):
        run(mdata, **kwargs)


def test_source_and_target_differ(mdata, untouched):
    with untouched(mdata), pytest.raises(ValueError, match="'rna' is the source itself"):
        rp.tl.synthesize(mdata, "rna", "rna", links="names")
    with untouched(mdata), pytest.raises(KeyError, match="no modality 'atac'"):
        rp.tl.synthesize(mdata, "rna", "atac", links="names")
