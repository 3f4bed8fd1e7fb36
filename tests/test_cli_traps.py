"""Every command on cohorts with a trap: exit code 2 and one line that says what is wrong, never a traceback."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.cli import COMMANDS, main

KEYS = ["--patient-key", "patient", "--label-key", "label"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a space in its name, a good cohort and four bad ones, slides and a model."""
    found = tmp_path_factory.mktemp("my cohorts")
    adata, _ = rp.datasets.pbmc_cohort(n_patients=4, n_cells=30)
    adata.write_h5ad(found / "good.h5ad")
    rp.tl.mil(adata.copy(), patient_key="patient", label_key="label", model="mean").save(found / "my model")
    for name, label in {"one class": "same", "no label": np.nan}.items():
        bad = adata.copy()
        bad.obs["label"] = pd.Series(label, index=bad.obs_names)
        bad.write_h5ad(found / f"{name}.h5ad")
    bad = adata.copy()
    bad.obs_names = ["cell"] * bad.n_obs
    bad.write_h5ad(found / "names.h5ad")
    bad = adata.copy()
    bad.obsm["X_pca"][3, 0] = np.nan
    bad.write_h5ad(found / "not a number.h5ad")
    bad = adata.copy()
    bad.obs["label"] = bad.obs["label"].astype(str).where(bad.obs["patient"] != bad.obs["patient"].iloc[0], "NA")
    bad.write_h5ad(found / "doubtful.h5ad")
    (found / "my slides").mkdir()
    np.save(found / "my slides" / "a.npy", np.ones((3, 4), dtype=np.float32))
    pd.DataFrame({"file": ["b"], "patient": ["p"], "label": ["x"]}).to_csv(found / "labels.csv", index=False)
    pd.DataFrame({"file": ["a"], "patient": ["p"], "label": ["x"]}).to_csv(found / "right.csv", index=False)
    return found


# What follows the command; "OUT" is what is written.
TRAPS = {
    "import": [["my slides", "labels.csv", "OUT.h5ad"], ["nowhere", "labels.csv", "OUT.h5ad"]],
    "embed": [["good.h5ad", "OUT.h5ad", "--kind", "counts"], ["good.h5ad", "OUT.h5ad"]],
    "augment": [[f"{name}.h5ad", "OUT.h5ad", *KEYS] for name in ("no label", "doubtful", "names", "not a number")],
    "evaluate": [
        [f"{name}.h5ad", "OUT.csv", *KEYS] for name in ("one class", "no label", "doubtful", "names", "not a number")
    ]
    + [["good.h5ad", "OUT.csv", *KEYS, "--missing-class", "disease"]],
    "train": [[f"{name}.h5ad", "OUT", *KEYS] for name in ("one class", "no label", "doubtful", "names", "not a number")]
    + [["good.h5ad", "OUT", *KEYS, "--reference", "nowhere.h5"]],
    "predict": [["my model", f"{name}.h5ad", "OUT.csv"] for name in ("names", "not a number", "nowhere")],
    "report": [[f"{name}.h5ad", "OUT.html", *KEYS] for name in ("one class", "no label", "doubtful", "names")],
    "demo": [["good.h5ad"], ["OUT", "--n-patients", "many"]],
}
UNWRITABLE = {
    "import": ["my slides", "right.csv", "/proc/self/out.h5ad"],
    "embed": ["good.h5ad", "/proc/self/out.h5ad", "--kind", "features"],
    "augment": ["good.h5ad", "/proc/self/out.h5ad", *KEYS],
    "evaluate": ["good.h5ad", "/proc/self/out.csv", *KEYS],
    "train": ["good.h5ad", "/proc/self/out", *KEYS],
    "predict": ["my model", "good.h5ad", "/proc/self/out.csv"],
    "report": ["good.h5ad", "/proc/self/out.html", *KEYS],
    "demo": ["/proc/self/out"],
}


def is_one_line(errors):
    lines = [line for line in errors.strip().splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, errors
    assert lines[0].startswith("repatient")
    assert ": error: " in lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_traps(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for arguments in TRAPS[command]:
        assert main([command, *arguments]) == 2, arguments
        is_one_line(capsys.readouterr().err)
        assert not list(folder.glob("OUT*"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root may write to")
@pytest.mark.parametrize("command", COMMANDS)
def test_where_nothing_can_be_written_is_found_out_before_the_work(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for module, work in ((rp.tl, "gmm"), (rp.tl, "mil"), (rp.tl, "evaluate"), (rp.pp, "embed")):
        monkeypatch.setattr(module, work, None)
    assert main([command, *UNWRITABLE[command]]) == 2
    is_one_line(capsys.readouterr().err)


def test_one_of_them_from_a_shell(folder):
    call = [sys.executable, "-m", "repatient.cli", "predict", *TRAPS["predict"][0]]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    is_one_line(done.stderr)


def test_another_cohort_from_the_command_line(folder, capsys, tmp_path):
    """A class that is missing here is learnt from a recipes file, and rehearsed with the other cohort's cells."""
    import anndata as ad

    other, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60, random_state=1)
    rp.tl.gmm(other, 5, covariance_type="diag")
    rp.tl.recipes(other, patient_key="patient", label_key="label")
    rp.io.write_recipes(other, tmp_path / "other.recipes.h5")
    good = ad.read_h5ad(folder / "good.h5ad")
    good[good.obs["label"] == "disease"].copy().write_h5ad(tmp_path / "half.h5ad")
    model = tmp_path / "model"
    arguments = [tmp_path / "half.h5ad", model, *KEYS, "--reference", tmp_path / "other.recipes.h5"]
    assert main(["train", *map(str, arguments)]) == 0
    assert "recipes" in capsys.readouterr().out
    assert set(rp.tl.load_model(model).predict(good)["predicted"].cat.categories) == {"healthy", "disease"}
