from __future__ import annotations

import subprocess
import sys

import anndata as ad
import pytest

import repatient as rp
from repatient.cli import main

ARGUMENTS = ["--patient-key", "patient", "--label-key", "label", "--n-components", "5", "--n-patients", "4"]


@pytest.fixture
def cohort(plain, tmp_path):
    path = tmp_path / "my cohort.h5ad"
    plain.write_h5ad(path)
    return path


def fails(capsys, *arguments):
    """Message of a call that must fail: one line, exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_augment(cohort, tmp_path, capsys):
    target, figures = tmp_path / "new" / "out.h5ad", tmp_path / "figures"
    assert main(["augment", str(cohort), str(target), *ARGUMENTS, "--select", "low", "--figures", str(figures)]) == 0
    whole = ad.read_h5ad(target)
    assert whole.obs.loc[whole.obs["is_generated"], "patient"].nunique() == 4
    assert whole.obs["patient"].nunique() == 16 + 4
    drawn = {path.stem for path in figures.iterdir()}
    assert drawn == {"recipes", "embedding", "compositions", "uncertainty", "attention", "history"}
    printed = capsys.readouterr()
    assert "5 full components of X_pca (10 dimensions)" in printed.out
    assert "done" in printed.err
    assert [path.name for path in target.parent.iterdir()] == ["out.h5ad"]


def test_same_result_as_the_functions(cohort, plain, tmp_path, keys):
    main(["augment", str(cohort), str(tmp_path / "out.h5ad"), *ARGUMENTS, "--random-state", "3"])
    rp.tl.gmm(plain, 5, random_state=3)
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 4, random_state=3)
    assert list(ad.read_h5ad(tmp_path / "out.h5ad").obs["source_cell"]) == list(
        rp.get.augmented(plain).obs["source_cell"]
    )


def test_numbers_for_some_classes(cohort, tmp_path):
    arguments = [*ARGUMENTS[:-1], "disease=3"]
    assert main(["augment", str(cohort), str(tmp_path / "out.h5ad"), *arguments]) == 0
    fakes = ad.read_h5ad(tmp_path / "out.h5ad").obs.query("is_generated")
    assert set(fakes["label"]) == {"disease"}
    assert fakes["patient"].nunique() == 3


def test_bad_input_is_one_line_and_exit_code_2(cohort, plain, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert "there is no file" in fails(capsys, "augment", tmp_path / "nowhere.h5ad", out, *ARGUMENTS)
    keys = ["--patient-key", "sample", "--label-key", "label"]
    assert "no column 'sample' in `obs`; there are ['patient'" in fails(capsys, "augment", cohort, out, *keys)
    assert "no embedding 'X_scVI'" in fails(capsys, "augment", cohort, out, *ARGUMENTS, "--use-rep", "X_scVI")
    assert "a number, CLASS=N,CLASS=N or balance" in fails(capsys, "augment", cohort, out, *ARGUMENTS[:-1], "many")
    assert "no class ['sick']" in fails(capsys, "augment", cohort, out, *ARGUMENTS[:-1], "sick=3")
    assert "required: --label-key" in fails(capsys, "augment", cohort, out, "--patient-key", "patient")
    assert "invalid choice: 'some'" in fails(capsys, "augment", cohort, out, *ARGUMENTS, "--select", "some")
    assert "command" in fails(capsys)
    (tmp_path / "text.h5ad").write_text("no HDF5")
    assert "no readable .h5ad file" in fails(capsys, "augment", tmp_path / "text.h5ad", out, *ARGUMENTS)
    assert not out.exists()


def test_killed_write_leaves_the_old_file(cohort, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.h5ad"
    out.write_text("what was there")

    def fail(*_, **__):
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr(ad.AnnData, "write_h5ad", fail)
    assert main(["augment", str(cohort), str(out), *ARGUMENTS]) == 2
    assert "disk full" in capsys.readouterr().err
    assert out.read_text() == "what was there"


def test_demo_prints_what_was_found_against_the_truth(tmp_path, capsys, monkeypatch):
    small = rp.datasets.pbmc_cohort

    def cohort(**kwargs):
        return small(n_patients=6, n_cells=150, **kwargs)

    monkeypatch.setattr(rp.datasets, "pbmc_cohort", cohort)
    assert main(["demo", str(tmp_path / "demo"), "--n-patients", "5", "--n-components", "4"]) == 0
    printed = capsys.readouterr().out
    assert "truth" in printed
    assert "concentration found" in printed
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"cohort.h5ad", "augmented.h5ad", "recipes.png", "embedding.png"} <= names


def test_help_and_version_as_a_program():
    run = subprocess.run([sys.executable, "-m", "repatient.cli", "augment", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "--patient-key" in run.stdout
    run = subprocess.run([sys.executable, "-m", "repatient.cli", "--version"], capture_output=True, text=True)
    assert run.stdout.strip() == f"repatient {rp.__version__}"


def test_one_patient_a_class_and_two_components(plain, tmp_path):
    kept = plain.obs.groupby("label", observed=True)["patient"].first()
    plain[plain.obs["patient"].isin(kept)].copy().write_h5ad(tmp_path / "few.h5ad")
    arguments = [*ARGUMENTS, "--n-components", "2", "--figures", str(tmp_path / "figures"), "--select", "low"]
    assert main(["augment", str(tmp_path / "few.h5ad"), str(tmp_path / "out.h5ad"), *arguments]) == 0
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"recipes", "embedding", "uncertainty", "attention", "history"}
