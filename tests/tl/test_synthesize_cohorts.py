"""The synthetic view of a modality, on real cells."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

KEY = "X_prot_synthetic"


@pytest.fixture
def read_cite(request):
    """The modalities of a real CITE-seq sample, or skip where the folder of cohorts is absent."""
    folder = Path(os.environ.get("REPATIENT_COHORTS", request.config.rootpath.parent / "shared" / "data"))

    def read():
        path = folder / "pbmc10k_cite.h5mu"
        if not path.is_file():
            pytest.skip(f"the real cohort {path.name} is not in {folder} (set REPATIENT_COHORTS)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mdata = md.read_h5mu(path)
        return mdata.mod["rna"].copy(), mdata.mod["prot"].copy()

    return read


def test_rna_to_protein_on_real_cohorts(read_cohort, read_cite):
    """Unpaired, on training cells alone; then on cells of another sample."""
    rna, prot = read_cite()
    training = np.random.default_rng(0).random(rna.n_obs) < 0.8
    translator = rp.tl.synthesize(
        rna,
        "rna",
        "prot",
        target_data=prot,
        links="names",
        mask_obs=training,
        target_mask_obs=training,
        evaluation_pairs="obs_names",
        n_steps=200,
        settings={"max_rows": 2000},
        progress=False,
        device="cpu",
    )
    assert rna.uns[KEY]["fidelity"]["foscttm"] < 0.11
    new = read_cohort("pbmc5k_rna_only.h5ad")
    rp.tl.synthesize(new, "rna", "prot", translator=translator)
    made = pd.DataFrame(np.log1p(new.obsm[KEY]), columns=prot.var_names)
    expressed = new[:, "CD14"].X.toarray().ravel() > 1
    assert made.loc[expressed, "CD14"].mean() > made.loc[~expressed, "CD14"].mean() + 1


def test_a_gate_that_real_proteins_lack(read_cite):
    """All cells together look well while B cells, whose proteins were never seen, are read as others."""
    some = np.random.default_rng(0).permutation(6855)[:1600]
    rna, prot = (modality[some].copy() for modality in read_cite())
    for modality in (rna, prot):
        gate = modality.obs["gate"].astype(str)
        modality.obs["gate"] = gate.where(gate != "NA")
    training = np.arange(1600) < 800
    with pytest.warns(UserWarning, match=r"composition by groups: 'B' .*made up"):
        rp.tl.synthesize(
            rna,
            "rna",
            "prot",
            target_data=prot,
            links="names",
            mask_obs=training,
            target_mask_obs=training & (prot.obs["gate"] != "B").to_numpy(),
            evaluation_pairs="obs_names",
            groupby="gate",
            n_steps=100,
            progress=False,
            device="cpu",
        )
    entry = rna.uns[KEY]
    assert entry["fidelity"]["foscttm"] < 0.2
    table = entry["by_group"]
    assert table.index[table["missing"]].tolist() == ["B"]
    assert table.loc["B", "read_as_own"] == 0
    assert table.loc["B", "error"] > 1.3 * np.average(table["error"].drop("B"), weights=table["n"].drop("B"))
