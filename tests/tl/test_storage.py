"""After each function the object survives h5ad, zarr, subsetting and concatenation, and nothing else changed."""

from __future__ import annotations

import warnings

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}


def gmm(data, **kwargs):
    return rp.tl.gmm(data, 4, store_proba=True, **kwargs)


def assign(data, **kwargs):
    return rp.tl.assign(data, data, key_added="assigned", **kwargs)


def recipes(kind):
    def run(data, **kwargs):
        return rp.tl.recipes(data, **KEYS, kind=kind, key_added="again", **kwargs)

    return run


def generate(data, **kwargs):
    return rp.tl.generate(data, {"disease": 3}, key_added="more", max_donor_share=0.3, **kwargs)


def mil(data, **kwargs):
    result = rp.tl.mil(
        data, **KEYS, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), **kwargs
    )
    return result[1] if kwargs.get("copy") else None


def select(data, **kwargs):
    model = rp.tl.mil(data, **KEYS, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), copy=True)[0]
    return rp.tl.select(data, model, **kwargs)


FUNCTIONS = {
    "gmm": gmm,
    "assign": assign,
    "recipes": recipes("logistic_normal"),
    "generate": generate,
    "mil": mil,
    "select": select,
}


@pytest.fixture(params=FUNCTIONS)
def function(request):
    return FUNCTIONS[request.param]


def test_round_trip(generated, function, read_back, same_content):
    function(generated)
    same_content(read_back(generated, "h5ad"), generated)


def test_round_trip_of_every_kind(generated, read_back, same_content):
    for kind in rp.recipe.KINDS:
        rp.tl.recipes(generated, **KEYS, kind=kind, key_added=kind)
    same_content(read_back(generated, "h5ad"), generated)


def test_round_trip_through_zarr(generated, read_back, same_content):
    generated = generated[:, :5].copy()
    for kind in ("logistic_normal", "empirical"):
        rp.tl.recipes(generated, **KEYS, kind=kind, key_added=kind)
    for function in (assign, generate, mil, select):
        function(generated)
    rp.tl.gmm(generated, 4, store_proba=True, key_added="other")
    same_content(read_back(generated, "zarr"), generated)


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
def test_results_read_back_serve_the_next_step(generated, storage, read_back):
    """Strings, frames and sparse counts come back as other types, which the functions take."""
    generated = generated[:, :5].copy()
    whole = generated.copy()
    model = rp.tl.mil(
        whole, **KEYS, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2)
    )
    rp.tl.select(whole, model)
    again = read_back(generated, storage)
    model = rp.tl.mil(
        again, **KEYS, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2)
    )
    rp.tl.select(again, model)
    table = again.uns["generated"]["patients"]
    np.testing.assert_array_equal(table["uncertainty"], whole.uns["generated"]["patients"]["uncertainty"])
    rp.tl.generate(again, 7)
    assert (again.obsm["generated"] != generated.obsm["generated"]).nnz == 0
    rp.get.augmented(read_back(again, "h5ad"))


def test_input_is_untouched_but_for_the_new_keys(generated, function, same_content):
    generated.layers["counts"] = generated.X.copy()
    generated.obsp["graph"] = sp.eye_array(generated.n_obs, format="csr")
    before = generated.copy()
    function(generated)
    for name in set(generated.obs) - set(before.obs):
        del generated.obs[name]
    for name in set(generated.obsm) - set(before.obsm):
        del generated.obsm[name]
    for name in ("gmm", "gmm_log_density"):
        generated.obs[name] = before.obs[name]
    generated.obsm["generated"] = before.obsm["generated"]
    generated.uns = before.uns
    same_content(generated, before)


def test_copy_touches_nothing(generated, function, untouched):
    with untouched(generated):
        written = function(generated, copy=True)
    other = generated.copy()
    function(other)
    assert set(written.uns) == set(other.uns)
    assert set(written.obs) == set(other.obs)


def test_views_become_actual_and_leave_their_parent(generated, function, untouched):
    half = generated.obs["patient"].isin(generated.obs["patient"].cat.categories[::2]).to_numpy()
    with untouched(generated), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(generated[half])


def test_subset_keeps_what_belongs_to_its_cells(generated, function, same_content):
    function(generated)
    half = np.arange(generated.n_obs) % 2 == 0
    part = generated[half].copy()
    same_content(part.copy(), part)
    assert (part.obsm["generated"] != generated.obsm["generated"][half]).nnz == 0
    assert dict(part.uns).keys() == dict(generated.uns).keys()


def test_subset_of_generated_patients_can_be_made_real(generated):
    part = generated[::2].copy()
    cells = rp.get.generated(part)
    assert cells.n_obs == part.obsm["generated"].sum()
    assert set(cells.obs["source_cell"]) <= set(part.obs_names)


def test_concat_cuts_counts_and_they_are_refused(generated, function):
    other = generated.copy()
    function(generated)
    rp.tl.generate(other, 2)
    for part in (generated, other):
        part.obs_names = part.obs_names + ("a" if part is other else "b")
    joined = ad.concat([generated, other])
    assert joined.n_obs == 2 * generated.n_obs
    with pytest.raises(KeyError, match="rp.tl.generate"):
        rp.get.generated(joined)
    joined = ad.concat([generated, other], uns_merge="first")
    with pytest.raises(ValueError, match="columns and .* patients; they are of different draws"):
        rp.get.generated(joined)


@pytest.fixture
def mudata(generated):
    rna = generated[:, :5].copy()
    rna.uns, rna.obs = {}, rna.obs[["patient", "label"]].copy()
    del rna.obsm["generated"]
    protein = ad.AnnData(np.ones((rna.n_obs, 2), dtype=np.float32), obs=rna.obs[[]].copy())
    mdata = md.MuData({"rna": rna, "protein": protein})
    mdata.obs["patient"], mdata.obs["label"] = rna.obs["patient"], rna.obs["label"]
    return mdata


def test_mudata(mudata, generated, read_back, same_content):
    rp.tl.gmm(mudata, 6, use_rep="rna:X_pca")
    np.testing.assert_array_equal(mudata.uns["gmm"]["means"], generated.uns["gmm"]["means"])
    rp.tl.recipes(mudata, **KEYS)
    rp.tl.generate(mudata, 7)
    assert (mudata.obsm["generated"] != generated.obsm["generated"]).nnz == 0
    model = rp.tl.mil(
        mudata,
        **KEYS,
        generated_key="generated",
        use_rep="rna:X_pca",
        model=rp.mil.Attention(n_steps=4, validation_fraction=0.2),
    )
    rp.tl.select(mudata, model)
    for storage in ("h5ad", "zarr"):
        back = read_back(mudata, storage)
        same_content(back, mudata)
        assert len(model.predict(back)) == 16

        whole = rp.get.augmented(back)
        assert isinstance(whole, md.MuData)
        assert whole.n_obs == mudata.n_obs + rp.get.generated(mudata).n_obs
        assert whole.mod["protein"].n_obs == whole.n_obs
        fakes = whole[whole.obs["is_generated"].to_numpy(dtype=bool)]
        source = generated[fakes.obs["source_cell"].to_numpy()]
        np.testing.assert_array_equal(fakes.mod["rna"].obsm["X_pca"], source.obsm["X_pca"])


def test_mudata_columns_of_a_modality(mudata):
    del mudata.obs["patient"], mudata.obs["label"]
    rp.tl.gmm(mudata, 3, use_rep="rna:X_pca")
    rp.tl.recipes(mudata, patient_key="rna:patient", label_key="rna:label")
    assert len(mudata.uns["recipes"]["patients"]) == 16


def test_mudata_view(mudata, untouched):
    with untouched(mudata), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(mudata[: mudata.n_obs // 2], 3, use_rep="rna:X_pca")
