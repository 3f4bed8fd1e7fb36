"""A model knows its input: it finds it wherever it is, and says what is not like what it was trained on."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}
MODELS = {"linear": "mean", "attention": rp.mil.Attention(n_steps=30)}
SPACES = ("X_embedded", "X", "X_pca")


@pytest.fixture(scope="module")
def cohorts():
    adata, _ = rp.datasets.pbmc_cohort(n_patients=12, n_cells=100)
    adata.X = np.asarray(adata.X.todense(), dtype=np.float32)
    first = adata.obs["patient"].cat.codes % 12 < 9
    train, new = adata[first, :200].copy(), adata[~first, :200].copy()
    for part in (train, new):
        part.obs["patient"] = part.obs["patient"].cat.remove_unused_categories()
        del part.obsm["X_pca"]
    rp.pp.embed(train, "features", n_components=10)
    return train, new


@pytest.fixture(scope="module")
def _fitted(cohorts):
    train = cohorts[0].copy()
    sc.pp.pca(train, n_comps=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: {use_rep: rp.tl.mil(train, **KEYS, model=model, use_rep=use_rep) for use_rep in SPACES}
            for name, model in MODELS.items()
        }, train


@pytest.fixture(params=MODELS)
def fitted(request, _fitted):
    """Models on the embedding, on the features themselves, and on principal components of unknown origin."""
    models, train = _fitted
    return models[request.param], train


def of(new, X, names=None):
    other = ad.AnnData(X.astype(np.float32), obs=new.obs[["patient"]].copy())
    other.var_names = new.var_names if names is None else names
    return other


def own_pca(new, rng, train):
    other = new.copy()
    sc.pp.pca(other, n_comps=10)
    other.obsm["X_embedded"] = other.obsm["X_pca"]
    return other[:, :1].copy()


FOREIGN = {
    "own pca": ("X_pca", own_pca),
    "own pca as the embedding": ("X_embedded", own_pca),
    "noise": ("X", lambda new, rng, train: of(new, rng.normal(size=new.shape) * 100)),
    "units": ("X", lambda new, rng, train: of(new, np.expm1(new.X) * 1000)),
    "units before the projection": ("X_embedded", lambda new, rng, train: of(new, np.expm1(new.X) * 1000)),
    "permuted without names": ("X", lambda new, rng, train: of(new, new.X[:, rng.permutation(new.n_vars)])),
}


def lazy_h5ad(new, folder):
    new.write_h5ad(folder / "new.h5ad")
    return ad.experimental.read_lazy(folder / "new.h5ad")


def backed_h5ad(new, folder):
    new.write_h5ad(folder / "new.h5ad")
    return ad.read_h5ad(folder / "new.h5ad", backed="r")


STORED = {"in memory": lambda new, folder: new, "lazily": lazy_h5ad, "backed": backed_h5ad}


@pytest.mark.parametrize(
    ("fitted", "stored"),
    [("linear", "in memory"), ("attention", "in memory"), ("linear", "lazily"), ("linear", "backed")],
    indirect=["fitted"],
)
@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_input_is_refused(what, stored, fitted, cohorts, tmp_path):
    models, train = fitted
    use_rep, make = FOREIGN[what]
    new = STORED[stored](make(cohorts[1], np.random.default_rng(0), train), tmp_path)
    with pytest.raises(ValueError, match="trained on"):
        models[use_rep].predict(new)
    assert len(models[use_rep].predict(new, check="none")) == 6


@pytest.mark.parametrize("use_rep", ["X_embedded", "X"])
def test_right_input_is_found_in_any_order(use_rep, fitted, cohorts):
    models, train = fitted
    model, new = models[use_rep], cohorts[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = model.predict(new)
        model.predict(train)
    assert {"familiarity", "inside", "p_mean", "p_composition"} <= set(plain)
    order = np.random.default_rng(0).permutation(new.n_vars)
    np.testing.assert_allclose(
        model.predict(new[:, order].copy())["probability_disease"], plain["probability_disease"], atol=1e-5
    )
    fewer = new[:, 5:].copy()
    with pytest.raises(ValueError, match="`allow_missing`") as error:
        model.predict(fewer)
    assert all(repr(name) in str(error.value) for name in new.var_names[:5])
    some = model.predict(fewer, allow_missing=0.05)["probability_disease"]
    assert np.abs(some - plain["probability_disease"]).max() < 0.25


def test_an_embedding_of_other_steps_is_refused(fitted, cohorts):
    model, new = fitted[0]["X_embedded"], cohorts[1].copy()
    expected = model.predict(new)
    rp.pp.project(new, model)
    pd.testing.assert_frame_equal(model.predict(new, use_rep="X_embedded"), expected)
    pd.testing.assert_frame_equal(model.predict(new[:, :3].copy()), expected)
    rp.pp.embed(new, "features", n_components=10)
    with pytest.raises(ValueError, match="other steps"):
        model.predict(new, use_rep="X_embedded")
    with pytest.raises(ValueError, match="other steps"):
        model.predict(new[:, :3].copy())
    pd.testing.assert_frame_equal(model.predict(new), expected)
    with pytest.raises(ValueError, match="`source`"):
        fitted[0]["X"].predict(new, source="X")
    with pytest.raises(ValueError, match="`check`"):
        model.predict(new, check="maybe")


PCA = {**KEYS, "model": "mean", "use_rep": "X_pca"}


def test_the_principal_components_of_scanpy_are_applied_to_new_cells(cohorts, tmp_path):
    """What was mapped in another way is noticed: components of the new file's own, or by `sc.tl.ingest`, which centres anew."""
    train, new = cohorts[0].copy(), cohorts[1][: len(cohorts[1]) // 2].copy()
    train.var["chosen"] = np.arange(train.n_vars) % 3 > 0
    sc.pp.pca(train, n_comps=10, mask_var="chosen")
    mean, loadings = train.X.mean(axis=0), train.varm["PCs"]
    rp.tl.mil(train, **PCA).save(tmp_path / "model")
    model = rp.tl.load_model(tmp_path / "model")
    assert sorted(model.projection.features) == sorted(train.var_names[train.var["chosen"]])
    by_hand = new.copy()
    by_hand.obsm["X_pca"] = np.asarray((by_hand.X - mean) @ loadings, dtype=np.float32)
    ingested, own = new.copy(), new.copy()
    ingested.obsm["X_pca"] = (new.X - new.X.mean(axis=0)) @ loadings  # as `sc.tl.ingest` has it
    sc.pp.pca(own, n_comps=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = model.predict(by_hand)
        pd.testing.assert_frame_equal(model.predict(train), rp.tl.mil(train, **PCA).predict(train))
        np.testing.assert_allclose(
            model.predict(new[:, ::-1].copy())["probability_disease"], expected["probability_disease"], atol=1e-4
        )
    for other in (ingested, own):
        with pytest.warns(UserWarning, match="not what the steps of the training make"):
            found = model.predict(other)
        np.testing.assert_allclose(found["probability_disease"], expected["probability_disease"], atol=1e-4)
    for stored in (lazy_h5ad, backed_h5ad):
        with pytest.warns(UserWarning, match="not what the steps of the training make"):
            found = model.predict(stored(ingested, tmp_path))
        np.testing.assert_allclose(found["probability_disease"], expected["probability_disease"], atol=1e-4)


def test_principal_components_that_do_not_follow_from_the_features_have_no_steps(cohorts):
    train = cohorts[0].copy()
    sc.pp.pca(train, n_comps=10)
    corrected, scaled = train.copy(), train.copy()
    corrected.obsm["X_pca"] = train.obsm["X_pca"] * np.linspace(0.9, 1.1, train.n_obs)[:, None].astype(np.float32)
    sc.pp.scale(scaled)
    sc.pp.pca(scaled, n_comps=10)
    broken = train.copy()
    broken.X[3, 2] = np.nan
    for part in (corrected, scaled, broken, train[:, :50].copy()):
        assert rp.tl.mil(part, **PCA).projection is None
    assert rp.tl.mil(train, **PCA).projection is not None


@pytest.mark.parametrize("steps", ["embed", "scanpy"])
def test_components_of_few_cells_are_no_reason_to_refuse_new_patients(steps):
    """Principal components have less variance in new cells than in those that they were learnt from."""
    rng = np.random.default_rng(0)
    codes, kinds = np.repeat(np.arange(28), 100), rng.normal(size=(4, 300))
    X = kinds[rng.integers(4, size=len(codes))] + rng.normal(size=(len(codes), 300))
    obs = pd.DataFrame({"patient": np.char.mod("p%02d", codes), "label": np.where(codes % 2, "a", "b")})
    everybody = ad.AnnData(X.astype(np.float32), obs=obs.set_index(np.arange(len(obs)).astype(str)))
    train, new = everybody[codes < 20].copy(), everybody[codes >= 20].copy()
    if steps == "embed":
        rp.pp.embed(train, "features", n_components=30)
    else:
        sc.pp.pca(train, n_comps=30)
    model = rp.tl.mil(train, **KEYS, model="mean")
    kept = model.projection.arrays["kept"]
    Z = model.origin.read(new)
    assert kept[:3].min() > 0.8
    assert kept[-1] == pytest.approx(
        Z.var(axis=0)[-10:].mean() / model.origin.read(train).var(axis=0)[-10:].mean(), abs=0.06
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(train)
        model.predict(new)
    foreign = new.copy()
    foreign.X = 2 * foreign.X
    with pytest.raises(ValueError, match="trained on"):
        model.predict(foreign)


def test_one_odd_patient_is_named(fitted, cohorts):
    model, new = fitted[0]["X"], cohorts[1].copy()
    odd = new.obs["patient"].cat.categories[2]
    new.X[(new.obs["patient"] == odd).to_numpy()] *= 4
    with pytest.warns(UserWarning, match=odd):
        frame = model.predict(new)
    assert frame["familiarity"].idxmin() == odd
    with pytest.raises(ValueError, match=odd):
        model.predict(new, check="error")


def test_too_few_donors_to_tell(cohorts):
    train = cohorts[0][cohorts[0].obs["patient"].isin(cohorts[0].obs["patient"].cat.categories[[0, 1, -1]])].copy()
    frame = rp.tl.mil(train, **KEYS, model="mean").predict(cohorts[1])
    assert frame["familiarity"].isna().all()
    assert frame["predicted"].notna().all()


def test_the_same_bits_in_a_fresh_process(cohorts, tmp_path):
    """Saved, moved to another folder, loaded elsewhere: equal predictions from raw features."""
    train, new = cohorts[0][::2].copy(), cohorts[1]
    new.write_h5ad(tmp_path / "new.h5ad")
    models = {}
    for name, model in {**MODELS, "auto": "auto"}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models[name] = rp.tl.mil(train.copy(), **KEYS, model=model)
        models[name].save(tmp_path / "here" / name)
    (tmp_path / "here").rename(tmp_path / "elsewhere")
    code = (
        "import sys, anndata as ad, repatient as rp\n"
        "folder, new, *names = sys.argv[1:]\n"
        "new = ad.read_h5ad(new)\n"
        "for name in names:\n"
        "    rp.tl.load_model(f'{folder}/{name}').predict(new).to_pickle(f'{folder}/{name}.pkl')\n"
    )
    given = (tmp_path / "elsewhere", tmp_path / "new.h5ad", *models)
    subprocess.run([sys.executable, "-c", code, *map(str, given)], check=True)
    for name, model in models.items():
        found = pd.read_pickle(tmp_path / "elsewhere" / f"{name}.pkl")
        pd.testing.assert_frame_equal(found, model.predict(new), check_exact=True)
        loaded = rp.tl.load_model(tmp_path / "elsewhere" / name)
        assert loaded.projection.fingerprint == model.projection.fingerprint


def test_a_model_knows_the_names_of_its_features(fitted, cohorts):
    assert fitted[0]["X"].features.tolist() == cohorts[1].var_names.tolist()


def test_what_a_file_holds_is_checked(fitted, tmp_path):
    folder = tmp_path / "model"
    fitted[0]["X_embedded"].save(folder)
    content, arrays = (folder / "cohort.json").read_text(), (folder / "cohort.npz").read_bytes()
    (folder / "cohort.npz").write_bytes(arrays[:-1] + b"x")
    with pytest.raises(ValueError, match="damaged"):
        rp.tl.load_model(folder)
    (folder / "cohort.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"cohort\.npz"):
        rp.tl.load_model(folder)
    (folder / "cohort.npz").write_bytes(arrays)
    values = json.loads(content)
    values["n_features"] = 3
    (folder / "cohort.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="checksum"):
        rp.tl.load_model(folder)
    fitted[0]["X"].save(folder)
    assert rp.tl.load_model(folder).projection is None


def test_the_latent_space_of_a_model_of_scvi_tools(tmp_path):
    scvi = pytest.importorskip("scvi")
    rng = np.random.default_rng(0)
    counts = ad.AnnData(rng.poisson(2, (240, 30)).astype(np.float32))
    counts.obs["patient"] = pd.Categorical([f"p{i:02d}" for i in np.repeat(np.arange(12), 20)])
    counts.obs["label"] = pd.Categorical(np.repeat(["a", "b"], 120))
    train = counts[: 20 * 12].copy()
    scvi.model.SCVI.setup_anndata(train)
    latent = scvi.model.SCVI(train, n_latent=3)
    latent.train(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False)
    rp.pp.embed(train, latent)
    rp.tl.mil(train, **KEYS, model="mean").save(tmp_path / "model")
    model = rp.tl.load_model(tmp_path / "model")
    new = counts[:, ::-1].copy()
    with pytest.raises(ValueError, match="`model`"):
        model.predict(new)
    found = model.predict(new, model=latent)["probability_a"]
    np.testing.assert_allclose(found, model.predict(train)["probability_a"], rtol=1e-4)
    other = scvi.model.SCVI(train, n_latent=3)
    with pytest.raises(ValueError, match="another one"):
        model.predict(new, model=other)


@pytest.mark.parametrize("by", ["generated_key", "augment", "reference"])
def test_patients_of_a_class_without_a_real_one_are_not_refused(by, cohorts, tmp_path):
    """They may well be unlike those that were there; their cells still have to lie where cells lay."""
    adata = cohorts[0].copy()
    rp.tl.gmm(adata, 4, progress=False)
    rp.tl.recipes(adata, **KEYS)
    missing = adata.obs["label"] == "disease"
    here = adata[~missing].copy()
    rp.tl.recipes(here, **KEYS, reference=adata)
    rp.tl.generate(here, {"disease": 10, "healthy": 5})
    given = {
        "generated_key": {"generated_key": "generated", "model": "mean"},
        "augment": {"augment": "recipe", "model": "mean"},
        "reference": {"reference": adata},
    }[by]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.mil(here, **KEYS, **given).save(tmp_path / "model")
        model = rp.tl.load_model(tmp_path / "model")
        assert model.unseen == ["disease"]
        assert model.predict(adata[missing].copy())["predicted"].notna().all()
        noise = of(cohorts[1], np.random.default_rng(0).normal(size=cohorts[1].shape) * 100)
        with pytest.raises(ValueError, match="trained on"):
            model.predict(noise)
