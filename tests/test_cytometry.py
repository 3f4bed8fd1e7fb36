"""Flow cytometry: from FCS files to generated patients and a patient classifier."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import repatient as rp

MARKERS = ("CD3", "CD4", "CD8", "CD19", "CD14")
# Mean of every marker on the arcsinh scale, by population: CD4 T, CD8 T, B, monocytes.
MEANS = np.array([[4, 4, 0, 0, 0], [4, 0, 4, 0, 0], [0, 0, 0, 4, 0], [0, 1, 0, 0, 5]], dtype=float)
RECIPES = {"healthy": (0.45, 0.25, 0.15, 0.15), "disease": (0.25, 0.20, 0.10, 0.45)}
COFACTOR = 150.0
SPILLOVER = np.eye(5) + np.diag([0.2] * 4, 1)

flowio = pytest.importorskip("flowio")
readfcs = pytest.importorskip("readfcs")


def write_files(folder):
    """One FCS file a patient, as a cytometer with spillover would: {file: class}."""
    rng = np.random.default_rng(0)
    written = {}
    spill = ",".join([str(len(MARKERS)), *MARKERS, *(f"{value:g}" for value in SPILLOVER.ravel())])
    for number, label in enumerate(np.repeat(list(RECIPES), 8)):
        kinds = rng.choice(4, size=150, p=rng.dirichlet(60 * np.array(RECIPES[label])))
        events = COFACTOR * np.sinh(MEANS[kinds] + 0.5 * rng.standard_normal((150, 5))) @ SPILLOVER
        path = folder / f"patient_{number}.fcs"
        with path.open("wb") as handle:
            flowio.create_fcs(handle, events.ravel().tolist(), MARKERS, MARKERS, {"SPILL": spill})
        written[path] = label
    return written


def read(path, label):
    """One patient, compensated and transformed."""
    events = readfcs.read(path)
    spill = events.uns["meta"]["spill"].loc[:, list(MARKERS)].to_numpy(dtype=float)
    X = np.linalg.solve(spill.T, events[:, list(MARKERS)].X.T).T
    adata = ad.AnnData(np.arcsinh(X / COFACTOR).astype(np.float32))
    adata.var_names = list(MARKERS)
    adata.obs_names = [f"{path.stem}_{i}" for i in range(adata.n_obs)]
    adata.obs["patient"], adata.obs["label"] = path.stem, label
    return adata


@pytest.mark.filterwarnings("ignore::anndata.ImplicitModificationWarning")
def test_from_fcs_files_to_patients(tmp_path, keys):
    files = write_files(tmp_path)
    adata = ad.concat([read(path, label) for path, label in files.items()])
    assert adata.shape == (16 * 150, 5)
    # Without compensation, CD4 would be seen on cells that have CD3 alone.
    cd8 = adata[:, "CD8"].X.ravel() > 2
    assert abs(np.median(adata[cd8, "CD4"].X)) < 0.3
    training = adata.obs["patient"].isin([path.stem for path in list(files)[1::2]])
    adata.obs["training"] = training
    rp.tl.gmm(adata, 5, use_rep="X", mask_obs="training", progress=False)
    rp.tl.recipes(adata, **keys, mask_obs="training")
    rp.tl.generate(adata, 8)
    patients = adata.uns["generated"]["patients"]
    assert patients["label"].value_counts().to_dict() == {"healthy": 8, "disease": 8}
    rp.tl.mil(
        adata,
        **keys,
        use_rep="X",
        mask_obs="training",
        generated_key="generated",
        progress=False,
    )
    predictions = adata.uns["mil"]["predictions"]
    tested = predictions[predictions["split"] == "not trained on"]
    assert len(tested) == 8
    assert roc_auc_score(tested["label"] == "disease", tested["probability_disease"]) > 0.9


@pytest.mark.filterwarnings("ignore::anndata.ImplicitModificationWarning")
def test_pytometry_transforms_as_is_done_here(tmp_path):
    pytometry = pytest.importorskip("pytometry")
    path, label = next(iter(write_files(tmp_path).items()))
    events = readfcs.read(path)
    X = events.X.copy()
    pytometry.tl.normalize_arcsinh(events, cofactor=COFACTOR)
    np.testing.assert_allclose(events.X, np.arcsinh(X / COFACTOR), rtol=1e-5)
    assert events.shape == (150, 5)
    assert label == "healthy"
