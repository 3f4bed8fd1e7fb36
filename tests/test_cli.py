from __future__ import annotations

import shutil
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.cli import COMMANDS, main

KEYS = ["--patient-key", "patient", "--label-key", "label"]
QUICK = [*KEYS, "--n-components", "5", "--n-patients", "4"]


@pytest.fixture
def cohort(plain, tmp_path):
    path = tmp_path / "my cohort.h5ad"
    plain.write_h5ad(path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def fails(capsys, *arguments):
    """Message of a call that must fail: one line, exit code 2."""
    capsys.readouterr()
    try:
        code = run(*arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    return lines[0]


def test_augment_writes_indices(cohort, plain, tmp_path, keys, capsys):
    target, figures = tmp_path / "new" / "out.h5ad", tmp_path / "figures"
    selected = ["--random-state", "3", "--select", "low", "--figures", figures]
    assert run("augment", cohort, target, *QUICK, *selected) == 0
    rp.tl.gmm(plain, 5, patient_key="patient", random_state=3)
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 4, random_state=3)
    found = ad.read_h5ad(target)
    assert (found.obsm["generated"] != plain.obsm["generated"]).nnz == 0
    assert (found.X != plain.X).nnz == 0
    assert "selected" in found.uns["generated"]["patients"]
    # Generated patients are worth a few bytes a cell, not copies of its genes.
    assert target.stat().st_size < 1.3 * cohort.stat().st_size
    drawn = {path.stem for path in figures.iterdir()}
    assert drawn == {"recipes", "embedding", "compositions", "uncertainty", "attention", "history"}
    printed = capsys.readouterr()
    assert "5 full components of X_pca (10 dimensions)" in printed.out
    assert "done" in printed.err
    assert [path.name for path in target.parent.iterdir()] == ["out.h5ad"]


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_augment_writes_copies_where_they_are_asked_for(cohort, plain, tmp_path, keys, name):
    plain = plain[::4].copy()
    plain.write_h5ad(cohort)
    assert run("augment", cohort, tmp_path / name, *QUICK[:-1], "disease=3", "--materialise") == 0
    rp.tl.gmm(plain, 5, patient_key="patient")
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, {"disease": 3})
    found = {".h5ad": ad.read_h5ad, ".zarr": ad.read_zarr}[(tmp_path / name).suffix](tmp_path / name)
    assert list(found.obs["source_cell"]) == list(rp.get.augmented(plain).obs["source_cell"])
    fakes = found.obs.query("is_generated")
    assert set(fakes["label"]) == {"disease"}


def test_train_predict_and_evaluate(cohort, plain, tmp_path, keys, capsys):
    plain = plain[::4].copy()
    plain.write_h5ad(cohort)
    model, scores, table = (tmp_path / name for name in ("my model", "scores.csv", "results.csv"))
    assert run("train", cohort, model, *KEYS) == 0
    assert run("predict", model, cohort, scores) == 0
    found = pd.read_csv(scores, index_col="patient")
    expected = rp.tl.mil(plain.copy(), **keys).predict(plain)
    assert list(found.index) == list(expected.index)
    np.testing.assert_allclose(found["probability_disease"], expected["probability_disease"], rtol=1e-6)
    capsys.readouterr()
    assert run("evaluate", cohort, table, *KEYS, "--n-splits", "2", "--n-patients", "3") == 0
    frame = pd.read_csv(table)
    assert list(frame.columns) == ["method", "split", "seed", "metric", "value"]
    assert frame["split"].nunique() == 2
    assert "auroc" in capsys.readouterr().out


def test_bad_input_is_one_line_and_exit_code_2(cohort, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert "there is no file" in fails(capsys, "augment", tmp_path / "nowhere.h5ad", out, *QUICK)
    keys = ["--patient-key", "sample", "--label-key", "label"]
    assert "no column 'sample' in `obs`; there are ['patient'" in fails(capsys, "augment", cohort, out, *keys)
    assert "no embedding 'X_scVI'" in fails(capsys, "augment", cohort, out, *QUICK, "--use-rep", "X_scVI")
    assert "a number, CLASS=N,CLASS=N or balance" in fails(capsys, "augment", cohort, out, *QUICK[:-1], "many")
    assert "no class ['sick']" in fails(capsys, "augment", cohort, out, *QUICK[:-1], "sick=3")
    assert "required: --label-key" in fails(capsys, "augment", cohort, out, "--patient-key", "patient")
    assert "invalid choice: 'some'" in fails(capsys, "augment", cohort, out, *QUICK, "--select", "some")
    assert "`output` ends with" in fails(capsys, "augment", cohort, tmp_path / "out.txt", *QUICK)
    assert "command" in fails(capsys)
    (tmp_path / "text.h5ad").write_text("no HDF5")
    assert "no readable .h5ad file" in fails(capsys, "augment", tmp_path / "text.h5ad", out, *QUICK)
    assert "model.json is missing" in fails(capsys, "predict", tmp_path, cohort, tmp_path / "scores.csv")
    assert "`output` ends with" in fails(capsys, "evaluate", cohort, out, *KEYS)
    assert not out.exists()


def test_nothing_of_the_user_is_overwritten(cohort, tmp_path, capsys):
    before = cohort.read_bytes()
    assert "reads from" in fails(capsys, "augment", cohort, cohort, *QUICK, "--overwrite")
    (tmp_path / "link.h5ad").symlink_to(cohort)
    assert "is a link" in fails(capsys, "augment", cohort, tmp_path / "link.h5ad", *QUICK, "--overwrite")
    for name, command in {"a.h5ad": "augment", "a.csv": "evaluate", "model": "train"}.items():
        (tmp_path / name).write_text("mine")
        assert "it is kept" in fails(capsys, command, cohort, tmp_path / name, *KEYS, "--overwrite")
        assert (tmp_path / name).read_text() == "mine"
    for name in ("cohort.h5ad", "history.png"):
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / name).write_text("mine")
        assert "it is kept" in fails(capsys, "demo", tmp_path / "demo", "--overwrite")
        assert (tmp_path / "demo" / name).read_text() == "mine"
        shutil.rmtree(tmp_path / "demo")
    assert cohort.read_bytes() == before


def test_what_is_ours_is_overwritten_where_it_is_asked_for(cohort, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert run("augment", cohort, out, *QUICK) == 0
    out.chmod(0o600)
    before = out.read_bytes()
    assert "--overwrite" in fails(capsys, "augment", cohort, out, *QUICK)
    assert out.read_bytes() == before
    assert run("augment", cohort, out, *QUICK, "--random-state", "1", "--overwrite") == 0
    assert out.read_bytes() != before
    assert out.stat().st_mode & 0o777 == 0o600


def test_settings_from_a_file(cohort, tmp_path, capsys):
    settings, out = tmp_path / "settings.toml", tmp_path / "out.h5ad"
    assert run("augment", "--write-config", settings, *QUICK) == 0
    assert "n-components = 5" in settings.read_text()
    assert run("augment", cohort, out, "--config", settings, "--n-patients", "2") == 0
    assert len(ad.read_h5ad(out).uns["generated"]["patients"]) == 2 * 2
    assert "exists" in fails(capsys, "augment", "--write-config", settings, *QUICK)
    for text, message in {
        "n-cells = 3": "['n-cells'], which are no settings",
        "n-components = 'x'": "invalid int value: 'x'",
        "materialise = 3": "'materialise'",
        "n-components": "no TOML file",
    }.items():
        settings.write_text(text)
        assert message in fails(capsys, "augment", cohort, out, "--config", settings, *QUICK)


def test_demo_prints_what_was_found_against_the_truth(tmp_path, capsys, monkeypatch):
    small = rp.datasets.pbmc_cohort

    def cohort(**kwargs):
        adata, truth = small(n_patients=4, n_cells=50, **kwargs)
        adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :5].copy()
        return adata, truth

    monkeypatch.setattr(rp.datasets, "pbmc_cohort", cohort)
    evaluate = rp.tl.evaluate
    monkeypatch.setattr(rp.tl, "evaluate", lambda adata, **given: evaluate(adata, **given | {"n_splits": 2}))
    arguments = ["demo", tmp_path / "demo", "--n-patients", "5", "--n-components", "4"]
    assert run(*arguments) == 0
    printed = capsys.readouterr()
    assert "truth" in printed.out
    assert "concentration found" in printed.out
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"cohort.h5ad", "augmented.h5ad", "recipes.png", "embedding.png"} <= names
    assert run(*arguments, "--overwrite") == 0


def shell(*arguments, **kwargs):
    command = [sys.executable, "-m", "repatient.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


def test_version_and_help_that_fits_on_a_screen(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"repatient {rp.__version__}"
    monkeypatch.setenv("COLUMNS", "120")
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) <= 50


def test_traps_from_a_shell(plain, tmp_path, monkeypatch, capsys):
    """Missing labels and a path with spaces; then a folder that is a file."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    plain.obs["label"] = plain.obs["label"].astype(object).where(plain.obs["patient"] != plain.obs["patient"].iloc[0])
    plain.write_h5ad(folder / "a cohort.h5ad")
    done = shell("augment", "a cohort.h5ad", "an output.h5ad", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(ad.read_h5ad(folder / "an output.h5ad").uns["generated"]["patients"]) == 8
    monkeypatch.chdir(folder)
    assert "an output.h5ad" in fails(capsys, "augment", "a cohort.h5ad", "an output.h5ad/out.h5ad", *KEYS)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root may write to")
def test_a_folder_that_must_not_be_written_to(cohort, capsys):
    assert fails(capsys, "augment", cohort, "/proc/self/out.h5ad", *QUICK)


def test_one_patient_a_class_and_two_components(plain, tmp_path, capsys):
    kept = plain.obs.groupby("label", observed=True)["patient"].first()
    plain[plain.obs["patient"].isin(kept)].copy().write_h5ad(tmp_path / "few.h5ad")
    arguments = [*QUICK, "--n-components", "2", "--figures", tmp_path / "figures", "--select", "low"]
    assert run("augment", tmp_path / "few.h5ad", tmp_path / "out.h5ad", *arguments) == 0
    assert "few patients (1 of" in capsys.readouterr().err
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"recipes", "embedding", "uncertainty", "attention", "history"}
