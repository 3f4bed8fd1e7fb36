"""From a folder of files to predictions and a report, command by command."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.cli import main

KEYS = ["--patient-key", "patient", "--label-key", "label"]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def fails(capsys, *arguments):
    """Message of a call that must fail: one line, exit code 2."""
    capsys.readouterr()
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("repatient: error")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two folders with a space in their name, 16 slides to train on and 4 new ones, and their table."""
    tmp_path, rng = tmp_path_factory.mktemp("slides"), np.random.default_rng(0)
    tissues, shares = rng.normal(size=(3, 24)), {"low": [0.6, 0.3, 0.1], "high": [0.1, 0.3, 0.6]}
    table = pd.DataFrame({"file": [f"s{i:02d}" for i in range(20)], "patient": [f"p{i:02d}" for i in range(20)]})
    table["label"] = ["low", "high"] * 10
    for i, (name, label) in enumerate(zip(table["file"], table["label"], strict=True)):
        folder = tmp_path / ("my slides" if i < 16 else "new slides")
        folder.mkdir(exist_ok=True)
        X = tissues[rng.choice(3, 40, p=shares[label])] + rng.normal(size=(40, 24))
        np.save(folder / f"{name}.npy", X.astype(np.float32))
    table[:16].to_csv(tmp_path / "labels.csv", index=False)
    table[16:].to_csv(tmp_path / "new.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def trained(slides):
    """The slides with the cohort of them, its embedding and a model."""
    assert run("import", slides / "my slides", slides / "labels.csv", slides / "cohort.h5ad") == 0
    embed = ["embed", slides / "cohort.h5ad", slides / "embedded.h5ad", "--kind", "features", "--n-components", 4]
    assert run(*embed) == 0
    assert run("train", slides / "embedded.h5ad", slides / "model", *KEYS) == 0
    return slides


def test_from_files_to_predictions_and_a_report(trained, capsys):
    slides, embedded, model = trained, trained / "embedded.h5ad", trained / "model"
    assert run("import", slides / "new slides", slides / "new.csv", slides / "new.h5ad") == 0
    assert "4 patients, 24 features" in capsys.readouterr().out
    assert run("predict", model, slides / "new.h5ad", slides / "scores.csv") == 0
    scores = pd.read_csv(slides / "scores.csv", index_col="patient")
    assert (scores["predicted"] == ["low", "high"] * 2).all()
    assert scores["familiarity"].min() > 0.001
    # The steps of another cohort, or of a model, give the same.
    assert run("embed", slides / "new.h5ad", slides / "a.h5ad", "--reference", model) == 0
    assert run("embed", slides / "new.h5ad", slides / "b.h5ad", "--reference", embedded) == 0
    a, b = (ad.read_h5ad(slides / name) for name in ("a.h5ad", "b.h5ad"))
    np.testing.assert_array_equal(a.obsm["X_embedded"], b.obsm["X_embedded"])
    np.testing.assert_allclose(
        rp.tl.load_model(model).predict(a)["probability_low"], scores["probability_low"], atol=1e-6
    )
    page = slides / "report.html"
    assert run("report", embedded, page, *KEYS, "--n-splits", 2, "--title", "Slides") == 0
    assert "<title>Slides" in page.read_text()
    assert "overwrite" in fails(capsys, "report", embedded, page)
    assert run("report", embedded, page, "--overwrite") == 0


def test_import_holds_a_file_or_two_in_memory(tmp_path):
    import tracemalloc

    n_files, shape = 12, (300, 512)
    (tmp_path / "files").mkdir()
    for i in range(n_files):
        np.save(tmp_path / "files" / f"s{i:02d}.npy", np.full(shape, i, dtype=np.float32))
    names = [f"s{i:02d}" for i in range(n_files)]
    pd.DataFrame({"file": names, "patient": names, "label": "x"}).to_csv(tmp_path / "labels.csv", index=False)
    command = ["import", tmp_path / "files", tmp_path / "labels.csv", tmp_path / "out.h5ad", "--overwrite"]
    assert run(*command) == 0  # imports what it needs
    tracemalloc.start()
    try:
        assert run(*command) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 4 * np.prod(shape) < n_files * 4 * np.prod(shape) / 2
    X = ad.read_h5ad(tmp_path / "out.h5ad").X
    np.testing.assert_array_equal(X[:: shape[0], 0], np.arange(n_files))


def test_bad_input_is_one_line(slides, tmp_path, capsys):
    cohort = tmp_path / "cohort.h5ad"
    assert "'s00'" in fails(capsys, "import", slides / "my slides", slides / "new.csv", cohort)
    assert fails(capsys, "import", slides / "nowhere", slides / "new.csv", cohort)
    assert "h5ad" in fails(capsys, "import", slides / "my slides", slides / "labels.csv", slides / "cohort.txt")
    assert not cohort.exists()
    assert run("import", slides / "my slides", slides / "labels.csv", cohort) == 0
    assert "--overwrite" in fails(capsys, "import", slides / "my slides", slides / "labels.csv", cohort)
    target = tmp_path / "out.h5ad"
    assert "`--kind`" in fails(capsys, "embed", cohort, target)
    assert "counts" in fails(capsys, "embed", cohort, target, "--kind", "counts")
    assert "`--n-components`" in fails(capsys, "embed", cohort, target, "--reference", cohort, "--n-components", 3)
    assert "projection" in fails(capsys, "embed", cohort, target, "--reference", cohort)
    assert "`--patient-key`" in fails(capsys, "report", cohort, slides / "r.html", "--label-key", "label")
    assert ".html" in fails(capsys, "report", cohort, slides / "r.pdf")
    assert not target.exists()


def test_wrong_input_is_refused_by_predict(trained, capsys):
    slides = trained
    wrong = ad.read_h5ad(slides / "cohort.h5ad")
    wrong.X *= 1000
    wrong.write_h5ad(slides / "wrong.h5ad")
    scores = slides / "wrong.csv"
    assert "trained on" in fails(capsys, "predict", slides / "model", slides / "wrong.h5ad", scores)
    assert run("predict", slides / "model", slides / "wrong.h5ad", scores, "--check", "none") == 0
    wrong[:, 2:].copy().write_h5ad(slides / "fewer.h5ad")
    assert "missing" in fails(capsys, "predict", slides / "model", slides / "fewer.h5ad", slides / "other.csv")
