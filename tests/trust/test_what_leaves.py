"""What is planted in a cohort is looked for in every byte of what is meant to leave it: names, places and extremes."""

from __future__ import annotations

import struct

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp

SECRET = "Qx7SECRETz"
YOUNGEST, OLDEST = 17.06251831, 96.93755722
KEYS = {"patient_key": "patient", "label_key": "label", "donor_key": "donor"}
N_PATIENTS, N_CELLS = 24, 30


@pytest.fixture(scope="module")
def cohort():
    """Names of patients, donors, samples, cells, wards and files are secret, and so are the youngest and the oldest."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(N_PATIENTS), N_CELLS)
    n = len(patient)
    adata = ad.AnnData(rng.poisson(3, (n, 12)).astype(np.float32))
    adata.obs_names = [f"{SECRET}cell{i}" for i in range(n)]
    for column in ("patient", "donor", "sample"):
        adata.obs[column] = [f"{SECRET}{column}{i}" for i in patient]
    adata.obs["label"] = np.where(patient % 2, "b", "a")
    ages = rng.uniform(40, 60, N_PATIENTS)
    ages[[0, 1]] = YOUNGEST, OLDEST
    adata.obs["age"] = ages[patient]
    adata.obs["ward"] = np.where(patient == 3, f"{SECRET}ward", np.where(patient % 3, "north", "south"))
    adata.X[patient % 2 == 1, 0] += 4
    adata.uns["file"] = f"/home/{SECRET}/cohort.h5ad"
    rp.pp.embed(adata, kind="counts", n_components=3)
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS, covariates=["age", "ward"])
    return adata


def spellings(adata):
    """The secrets as text of any width, numbers of either width, and the cells of the first patients."""
    found = [SECRET.encode(code) for code in ("utf-8", "utf-16-le", "utf-32-le")]
    for value in (YOUNGEST, OLDEST):
        found += [struct.pack(code, value) for code in ("<d", ">d", "<f", ">f")] + [f"{value:.7f}"[:9].encode()]
    for row in adata.obsm["X_embedded"][:200]:
        found += [row.astype(kind).tobytes() for kind in (np.float32, np.float64)]
    return found


def check_nothing_leaves(adata, path):
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    assert files
    for file in files:
        content = file.read_bytes() + str(file.relative_to(path.parent)).encode()
        for secret in spellings(adata):
            assert secret not in content, f"{file.name} holds {secret!r}"


def recipes_file(adata, path, **settings):
    rp.io.write_recipes(adata, path, **settings)


def export(adata, path):
    rp.io.export_recipes(adata, path, with_patients=False)


def compared(adata, path):
    rp.tl.compare_recipes(adata, n_draws=100)
    rp.io.export_recipes(adata, path, with_patients=False, comparison_key="compare_recipes")


def model_of(name, **settings):
    def write(adata, path):
        rp.tl.mil(adata, **KEYS, model=name, progress=False, **settings).save(path)

    return write


def points(adata, path):
    rp.tl.mil(adata, **KEYS, model="mean")
    rp.tl.generate(adata, 4, draw="gaussian", key_added="points")
    rp.get.generated(adata, generated_key="points").write_h5ad(path)


def translator(adata, path):
    X = adata.obsm["X_embedded"]
    pairs = np.stack([np.arange(40)] * 2, axis=1)
    rp.views.Translator(n_steps=2, device="cpu", progress=False).fit(X, X[:, :2], pairs).save(path)


def encoder(adata, path):
    X = adata.obsm["X_embedded"]
    settings = {"dim": 4, "width": 8, "projection": 8, "n_steps": 2, "evaluate_every": 1, "progress": False}
    rp.views.Encoder(**settings, device="cpu").fit(X, X[:, :2]).save(path)


WRITERS = {
    "recipes.h5": recipes_file,
    "without offsets.h5": lambda adata, path: recipes_file(adata, path, offsets=False),
    "export": export,
    "comparison": compared,
    "points.h5ad": points,
    "auto": model_of("auto"),
    "kernel mean": model_of("kernel_mean"),
    "centroid": model_of("centroid"),
    "attention": model_of("attention", n_steps=2),
    "translator": translator,
    "encoder": encoder,
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_no_secret_leaves(name, cohort, tmp_path):
    path = tmp_path / name
    adata = cohort.copy()
    WRITERS[name](adata, path)
    check_nothing_leaves(adata, path)


def test_the_search_finds_what_is_there(cohort, tmp_path):
    """Files of the hospital's own: an export with patients, the object itself."""
    with pytest.warns(UserWarning, match="ward"):
        rp.io.write_recipes(cohort, tmp_path / "coarse.h5")
    rp.io.export_recipes(cohort, tmp_path / "own")
    rp.io.write_recipes(cohort, tmp_path / "fine.h5", min_donors=1, min_cells=1)
    cohort.write_h5ad(tmp_path / "cohort.h5ad")
    for name in ("own", "fine.h5", "cohort.h5ad"):
        with pytest.raises(AssertionError, match="holds"):
            check_nothing_leaves(cohort, tmp_path / name)


def test_samples_of_one_donor_are_one_donor(cohort, tmp_path):
    """Five samples of the youngest do not make a mean of five."""
    adata = cohort.copy()
    order = np.arange(adata.n_obs) // N_CELLS
    donor = np.where(order < 10, order % 2, order)
    adata.obs["donor"] = [f"d{i}" for i in donor]
    adata.obs["age"] = np.where(donor == 0, YOUNGEST, np.where(donor == 1, OLDEST, adata.obs["age"]))
    rp.tl.recipes(adata, **KEYS, covariates=["age"])
    rp.io.write_recipes(adata, tmp_path / "a.h5")
    check_nothing_leaves(adata, tmp_path / "a.h5")
    low = rp.io.read_recipes(tmp_path / "a.h5")["recipes"]["covariate_low"]
    ages = pd.Series(adata.obs["age"].to_numpy()).groupby(donor).first().sort_values()
    np.testing.assert_allclose(low[:, 0], ages.iloc[:5].mean())


def test_a_model_has_no_row_of_a_patient(cohort):
    """What training patients look like is kept as distributions, in no order of theirs."""
    adata = cohort.copy()
    adata = adata[np.arange(adata.n_obs) % 37 != 0].copy()
    model = rp.tl.mil(adata, **KEYS, model="mean")
    arrays = model.familiarity.to_arrays()
    assert len(np.unique(arrays["n_cells"])) == 1
    assert (np.diff(arrays["held_out"], axis=0) >= 0).all()
