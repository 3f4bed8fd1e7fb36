from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}


@pytest.fixture(scope="module")
def made() -> ad.AnnData:
    adata, _ = rp.datasets.pbmc_cohort(n_patients=8, n_cells=100)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :5].copy()
    # Inside components, cells of the disease lie elsewhere.
    adata.obsm["X_pca"][(adata.obs["label"] == "disease").to_numpy(), 0] += 1.0
    rp.tl.gmm(adata, n_components=4)
    rp.tl.recipes(adata, **KEYS)
    rp.tl.generate(adata, 5, method="counterfactual")
    return adata


def test_cells_are_indices_and_read_where_they_are_moved(made):
    counts, shift = made.obsm["generated"], made.uns["generated"]["shift"]
    assert counts.shape == (made.n_obs, 10)
    bags = rp.get.bags(made, **KEYS, generated_key="generated", use_rep="X_pca")
    last = made.uns["generated"]["patients"].iloc[-1]
    rows = np.repeat(counts[:, -1].indices, counts[:, -1].data)
    classes = list(shift["classes"])
    of = [classes.index(name) for name in made.obs["label"].astype(str).iloc[rows]]
    component = made.obs["gmm"].cat.codes.to_numpy()[rows]
    expected = made.obsm["X_pca"][rows] + shift["values"][of, classes.index(last["label"]), component]
    np.testing.assert_allclose(bags[len(bags) - 1]["X"].numpy(), expected, atol=1e-5)


def test_it_survives_files_parts_and_what_reads_it(made, tmp_path):
    made.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    kept = again[again.obs["label"].notna()].copy()
    assert len(rp.get.generated(kept)) == made.uns["generated"]["patients"]["n_cells"].sum()
    measures = rp.tl.audit(kept, n_permutations=9, n_repeats=1)
    assert set(measures.index) >= {"disease", "healthy"}
    model = rp.tl.mil(kept, **KEYS, model="mean", generated_key="generated")
    assert model.classes == ["disease", "healthy"]
    kept.obsm["X_other"] = kept.obsm["X_pca"].copy()
    with pytest.raises(ValueError, match="`use_rep`"):
        rp.tl.mil(kept, **KEYS, model="mean", generated_key="generated", use_rep="X_other")


def test_refusals(made):
    with pytest.raises(ValueError, match="n_donors"):
        rp.tl.generate(made, 3, method="counterfactual", n_donors=2)
    plain = made.copy()
    del plain.uns["recipes"]["offsets"]
    with pytest.raises(ValueError, match="offsets"):
        rp.tl.generate(plain, 3, method="counterfactual")
