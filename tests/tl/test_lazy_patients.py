"""Patients of objects that lie in a file: what is learnt, drawn and predicted is what objects in memory give."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.experimental import read_lazy

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}
BRIEF = {"model": rp.mil.Attention(n_steps=4, validation_fraction=0.2), "progress": False}
KINDS = ("read_lazy zarr", "read_lazy h5ad", "backed h5ad")


@pytest.fixture(scope="module")
def cohort() -> ad.AnnData:
    """3,000 cells of 24 patients, two classes and four states, patients mixed among each other."""
    rng = np.random.default_rng(0)
    patients = rng.integers(24, size=3000)
    shares = np.where(np.arange(24)[:, None] % 2, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
    states = (rng.random((3000, 1)) > shares.cumsum(axis=1)[patients]).sum(axis=1).clip(max=3)
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical([f"p{code}" for code in patients]),
            "label": pd.Categorical(np.where(patients % 2, "sick", "well")),
            "age": 20.0 + patients,
            "grade": pd.Categorical(np.array(["low", "high"])[patients % 2], ["low", "high"], ordered=True),
            "train": patients < 20,
        },
        index=[f"c{i}" for i in range(3000)],
    )
    counts = sp.random(3000, 20, 0.2, format="csr", dtype=np.float32, random_state=0)
    adata = ad.AnnData(X=counts, obs=obs)
    centres = 4 * rng.standard_normal((4, 6)) + 0.3 * rng.standard_normal((24, 1, 6))
    adata.obsm["X_pca"] = (centres[patients, states] + rng.standard_normal((3000, 6))).astype(np.float32)
    rp.tl.gmm(adata, 4, n_init=1)
    return adata


@pytest.fixture(scope="module")
def done(cohort):
    """The cohort after all steps in memory, and its model."""
    return all_steps(cohort.copy())


def all_steps(data, **budget):
    """Recipes, generated patients, a model that has seen them, and its selection."""
    rp.tl.recipes(data, **KEYS, covariates=["age"], mask_obs="train")
    rp.tl.generate(data, 3)
    model = rp.tl.mil(data, **KEYS, generated_key="generated", mask_obs="train", **BRIEF, **budget)
    rp.tl.select(data, model)
    return data, model


def opened(adata: ad.AnnData, folder, kind: str):
    """The object as it is read from disk, with nothing but tables in memory where it is read lazily."""
    if kind == "read_lazy zarr":
        adata.write_zarr(folder / "cohort.zarr")
        return read_lazy(folder / "cohort.zarr")
    adata.write_h5ad(folder / "cohort.h5ad")
    return read_lazy(folder / "cohort.h5ad") if "lazy" in kind else ad.read_h5ad(folder / "cohort.h5ad", backed="r")


def assert_same_patients(lazy, plain):
    pd.testing.assert_frame_equal(lazy.uns["recipes"]["counts"], plain.uns["recipes"]["counts"])
    pd.testing.assert_frame_equal(rp.get.recipes(lazy), rp.get.recipes(plain))
    assert (lazy.obsm["generated"] != plain.obsm["generated"]).nnz == 0
    pd.testing.assert_frame_equal(lazy.uns["generated"]["patients"], plain.uns["generated"]["patients"])
    compositions = [rp.get.compositions(data, generated_key="generated") for data in (lazy, plain)]
    pd.testing.assert_frame_equal(*compositions)
    for name in ("history", "predictions"):
        pd.testing.assert_frame_equal(lazy.uns["mil"][name], plain.uns["mil"][name], check_exact=True)
    np.testing.assert_array_equal(np.asarray(lazy.obs["mil_attention"]), plain.obs["mil_attention"])


@pytest.mark.parametrize(("kind", "budget"), zip(KINDS, (0, 2**30, 0), strict=True))
def test_all_steps_give_the_same_bits(cohort, done, tmp_path, kind, budget):
    lazy, model = all_steps(opened(cohort, tmp_path, kind), memory_budget=budget)
    plain, other = done
    assert_same_patients(lazy, plain)
    # With a budget of 0, cells are read from a temporary file.
    predictions = [one.predict(lazy, memory_budget=budget) for one in (model, other)]
    pd.testing.assert_frame_equal(*predictions, check_exact=True)
    pd.testing.assert_frame_equal(predictions[0], model.predict(plain), check_exact=True)


@pytest.mark.parametrize("kind", ["read_lazy zarr", "read_lazy h5ad"])
def test_stored_results_are_read_from_the_file(done, tmp_path, kind):
    plain, model = done
    lazy = opened(plain, tmp_path, kind)
    pd.testing.assert_frame_equal(rp.get.recipes(lazy), rp.get.recipes(plain))
    compositions = [rp.get.compositions(data, generated_key="generated") for data in (lazy, plain)]
    pd.testing.assert_frame_equal(*compositions)
    for data in (lazy, again := plain.copy()):
        rp.tl.generate(data, 2, key_added="more")
        rp.tl.mil(data, **KEYS, augment="recipe+mixup", key_added="augmented", **BRIEF)
        rp.tl.select(data, model, keep="high")
        rp.tl.audit(data, n_permutations=2, n_repeats=1)
    assert (lazy.obsm["more"] != again.obsm["more"]).nnz == 0
    pd.testing.assert_frame_equal(lazy.uns["augmented"]["predictions"], again.uns["augmented"]["predictions"])
    pd.testing.assert_frame_equal(lazy.uns["generated"]["patients"], again.uns["generated"]["patients"])
    pd.testing.assert_frame_equal(lazy.uns["audit"]["measures"], again.uns["audit"]["measures"])


@pytest.mark.parametrize(("outcome", "label_key"), [("ordinal", "grade"), ("continuous", "age")])
def test_other_outcomes_are_learnt_from_a_file(cohort, tmp_path, outcome, label_key):
    lazy, plain = opened(cohort, tmp_path, "read_lazy zarr"), cohort.copy()
    for data in (lazy, plain):
        rp.tl.mil(data, patient_key="patient", label_key=label_key, outcome=outcome, memory_budget=0, **BRIEF)
    pd.testing.assert_frame_equal(lazy.uns["mil"]["predictions"], plain.uns["mil"]["predictions"], check_exact=True)


def test_points_of_gaussians_are_trained_on_below_cells_in_a_file(done, tmp_path):
    lazy, plain = opened(done[0], tmp_path, "read_lazy zarr"), done[0].copy()
    for data in (lazy, plain):
        rp.tl.generate(data, 3, draw="gaussian", key_added="points")
        rp.tl.mil(data, **KEYS, generated_key="points", memory_budget=0, **BRIEF)
    for name in ("history", "predictions"):
        pd.testing.assert_frame_equal(lazy.uns["mil"][name], plain.uns["mil"][name], check_exact=True)


def test_cohorts_in_files_are_aligned(cohort, tmp_path):
    shifted = cohort.copy()
    shifted.obsm["X_pca"] = shifted.obsm["X_pca"] * 1.5 + 1
    keys = {**KEYS, "align": "moments", "key_added": "aligned"}
    rp.tl.assign(shifted, cohort, **keys)
    lazy = opened(shifted, tmp_path, "read_lazy zarr")
    rp.tl.assign(lazy, opened(cohort, tmp_path, "read_lazy h5ad"), **keys)
    np.testing.assert_array_equal(np.asarray(lazy.obs["aligned"]), np.asarray(shifted.obs["aligned"]))
    ours, theirs = (data.uns["aligned"]["reference"] for data in (lazy, shifted))
    np.testing.assert_allclose(ours["matrix"], theirs["matrix"], rtol=1e-6)
    pd.testing.assert_frame_equal(ours["shift"], theirs["shift"])


@pytest.mark.parametrize("kind", ["read_lazy h5ad", "backed h5ad"])
def test_what_lies_in_a_file_is_not_copied(cohort, tmp_path, kind):
    lazy = opened(cohort, tmp_path, kind)
    if lazy.filename is None:
        pytest.skip("this anndata copies lazily read objects without reading the file")
    with pytest.raises(ValueError, match=r"`copy=True`: an object that lies in .*cohort\.h5ad"):
        rp.tl.recipes(lazy, **KEYS, copy=True)
    with pytest.raises(ValueError, match=r"`data` is a view"):
        rp.tl.mil(lazy[:1000], **KEYS)
    in_memory = lazy[:1000].to_memory()
    rp.tl.recipes(in_memory, **KEYS)
    assert in_memory.uns["recipes"]["counts"].to_numpy().sum() == 1000


def test_the_file_stays_as_it_is(cohort, tmp_path):
    lazy = opened(cohort, tmp_path, "read_lazy h5ad")
    before = (tmp_path / "cohort.h5ad").read_bytes()
    rp.tl.mil(lazy, **KEYS, **BRIEF)
    assert (tmp_path / "cohort.h5ad").read_bytes() == before
    loaded = lazy.to_memory()
    assert loaded.obs["mil_attention"].dtype == np.float32
    assert set(loaded.uns["mil"]) == {"history", "params", "predictions"}


def test_bad_budgets_are_refused_before_any_work(cohort):
    with pytest.raises(TypeError, match="`memory_budget` is an integer of 0 or more, not 1000000000.0"):
        rp.tl.mil(cohort, **KEYS, memory_budget=1e9)
    assert "mil" not in cohort.uns
