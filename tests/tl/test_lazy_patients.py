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
    """1,200 cells of 16 patients, two classes and four states, patients mixed among each other."""
    rng = np.random.default_rng(0)
    patients = rng.integers(16, size=1200)
    shares = np.where(np.arange(16)[:, None] % 2, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
    states = (rng.random((1200, 1)) > shares.cumsum(axis=1)[patients]).sum(axis=1).clip(max=3)
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical([f"p{code}" for code in patients]),
            "label": pd.Categorical(np.where(patients % 2, "sick", "well")),
            "age": 20.0 + patients,
            "grade": pd.Categorical(np.array(["low", "high"])[patients % 2], ["low", "high"], ordered=True),
            "train": patients < 14,
        },
        index=[f"c{i}" for i in range(1200)],
    )
    counts = sp.random(1200, 20, 0.2, format="csr", dtype=np.float32, random_state=0)
    adata = ad.AnnData(X=counts, obs=obs)
    centres = 4 * rng.standard_normal((4, 6)) + 0.3 * rng.standard_normal((16, 1, 6))
    adata.obsm["X_pca"] = (centres[patients, states] + rng.standard_normal((1200, 6))).astype(np.float32)
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


@pytest.fixture(scope="module")
def files(cohort, done, tmp_path_factory):
    """Folders of the cohort before and after all steps, in both formats."""
    folders = {}
    for name, adata in {"cohort": cohort, "done": done[0]}.items():
        folders[name] = tmp_path_factory.mktemp(name)
        adata.write_zarr(folders[name] / "cohort.zarr")
        adata.write_h5ad(folders[name] / "cohort.h5ad")
    return folders


def opened(folder, kind: str):
    """The object as it is read from disk, with nothing but tables in memory where it is read lazily."""
    if kind == "read_lazy zarr":
        return read_lazy(folder / "cohort.zarr")
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
def test_all_steps_give_the_same_bits(files, done, kind, budget):
    lazy, model = all_steps(opened(files["cohort"], kind), memory_budget=budget)
    plain, other = done
    assert_same_patients(lazy, plain)
    # With a budget of 0, cells are read from a temporary file.
    predictions = [one.predict(lazy, memory_budget=budget) for one in (model, other)]
    pd.testing.assert_frame_equal(*predictions, check_exact=True)
    pd.testing.assert_frame_equal(predictions[0], model.predict(plain), check_exact=True)


def further_steps(data, model):
    """What reads stored recipes and patients."""
    rp.tl.generate(data, 2, key_added="more")
    rp.tl.mil(data, **KEYS, augment="recipe+mixup", gmm_key="gmm", key_added="augmented", **BRIEF)
    rp.tl.select(data, model, keep="high")
    rp.tl.audit(data, n_permutations=2, n_repeats=1)
    return data


@pytest.fixture(scope="module")
def again(done):
    return further_steps(done[0].copy(), done[1])


@pytest.mark.parametrize("kind", ["read_lazy zarr", "read_lazy h5ad"])
def test_stored_results_are_read_from_the_file(files, done, again, kind):
    plain, model = done
    lazy = opened(files["done"], kind)
    pd.testing.assert_frame_equal(rp.get.recipes(lazy), rp.get.recipes(plain))
    compositions = [rp.get.compositions(data, generated_key="generated") for data in (lazy, plain)]
    pd.testing.assert_frame_equal(*compositions)
    further_steps(lazy, model)
    assert (lazy.obsm["more"] != again.obsm["more"]).nnz == 0
    pd.testing.assert_frame_equal(lazy.uns["augmented"]["predictions"], again.uns["augmented"]["predictions"])
    pd.testing.assert_frame_equal(lazy.uns["generated"]["patients"], again.uns["generated"]["patients"])
    pd.testing.assert_frame_equal(lazy.uns["audit"]["measures"], again.uns["audit"]["measures"])


@pytest.mark.parametrize(("outcome", "label_key"), [("ordinal", "grade"), ("continuous", "age")])
def test_other_outcomes_are_learnt_from_a_file(cohort, files, outcome, label_key):
    lazy, plain = opened(files["cohort"], "read_lazy zarr"), cohort.copy()
    for data in (lazy, plain):
        rp.tl.mil(data, patient_key="patient", label_key=label_key, outcome=outcome, memory_budget=0, **BRIEF)
    pd.testing.assert_frame_equal(lazy.uns["mil"]["predictions"], plain.uns["mil"]["predictions"], check_exact=True)


def test_points_of_gaussians_are_trained_on_below_cells_in_a_file(files, done):
    lazy, plain = opened(files["done"], "read_lazy zarr"), done[0].copy()
    for data in (lazy, plain):
        rp.tl.generate(data, 3, draw="gaussian", key_added="points")
        rp.tl.mil(data, **KEYS, generated_key="points", memory_budget=0, **BRIEF)
    for name in ("history", "predictions"):
        pd.testing.assert_frame_equal(lazy.uns["mil"][name], plain.uns["mil"][name], check_exact=True)


def test_cohorts_in_files_are_aligned(cohort, files):
    shifted = cohort.copy()
    shifted.obsm["X_pca"] = shifted.obsm["X_pca"] * 1.5 + 1
    keys = {**KEYS, "align": "moments", "key_added": "aligned"}
    rp.tl.assign(shifted, cohort, **keys)
    lazy = opened(files["cohort"], "read_lazy zarr")
    lazy.obsm["X_pca"] = lazy.obsm["X_pca"] * 1.5 + 1
    rp.tl.assign(lazy, opened(files["cohort"], "read_lazy h5ad"), **keys)
    np.testing.assert_array_equal(np.asarray(lazy.obs["aligned"]), np.asarray(shifted.obs["aligned"]))
    ours, theirs = (data.uns["aligned"]["reference"] for data in (lazy, shifted))
    np.testing.assert_allclose(ours["matrix"], theirs["matrix"], rtol=1e-6)
    pd.testing.assert_frame_equal(ours["shift"], theirs["shift"])


@pytest.mark.parametrize("kind", ["read_lazy h5ad", "backed h5ad"])
def test_what_lies_in_a_file_is_not_copied(files, kind):
    lazy = opened(files["cohort"], kind)
    if lazy.filename is None:
        pytest.skip("this anndata copies lazily read objects without reading the file")
    with pytest.raises(ValueError, match=r"`copy=True`: an object that lies in .*cohort\.h5ad"):
        rp.tl.recipes(lazy, **KEYS, copy=True)
    with pytest.raises(ValueError, match=r"`data` is a view"):
        rp.tl.mil(lazy[:1000], **KEYS)
    in_memory = lazy[:1000].to_memory()
    rp.tl.recipes(in_memory, **KEYS)
    assert in_memory.uns["recipes"]["counts"].to_numpy().sum() == 1000


def test_the_file_stays_as_it_is(files):
    lazy = opened(files["cohort"], "read_lazy h5ad")
    before = (files["cohort"] / "cohort.h5ad").read_bytes()
    rp.tl.mil(lazy, **KEYS, **BRIEF)
    assert (files["cohort"] / "cohort.h5ad").read_bytes() == before
    loaded = lazy.to_memory()
    assert loaded.obs["mil_attention"].dtype == np.float32
    assert set(loaded.uns["mil"]) == {"history", "params", "predictions"}


def test_bad_budgets_are_refused_before_any_work(cohort):
    with pytest.raises(TypeError, match="`memory_budget` is an integer of 0 or more, not 1000000000.0"):
        rp.tl.mil(cohort, **KEYS, memory_budget=1e9)
    assert "mil" not in cohort.uns
