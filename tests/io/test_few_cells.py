from __future__ import annotations

import anndata as ad
import numpy as np

import repatient as rp


def test_too_few_cells_to_hold_a_patient_out(tmp_path):
    """Then nothing is known of how dense unseen cells are, and that is left out of the file."""
    rng = np.random.default_rng(0)
    adata = ad.AnnData(obsm={"X_pca": rng.standard_normal((6, 2))})
    adata.obs["patient"], adata.obs["label"] = ["p0"] * 5 + ["p1"], ["a"] * 5 + ["b"]
    keys = {"patient_key": "patient", "label_key": "label"}
    rp.tl.gmm(adata, 2)
    rp.tl.recipes(adata, **keys)
    rp.io.write_recipes(adata, tmp_path / "a.h5", min_cells=1, min_donors=1)
    content = rp.io.read_recipes(tmp_path / "a.h5")
    assert list(content["cohort"]["classes"]) == ["a", "b"]
    assert "log_density_quantiles" not in content["cohort"]
    other = adata.copy()
    rp.tl.assign(other, adata, reference_patient_key="patient")
    assert other.uns["gmm"]["reference"]["quantiles"] == "in-sample"
