from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.recipe import KINDS


def read(folder, name, **kwargs):
    return pd.read_csv(folder / f"{name}.csv", float_precision="round_trip", **kwargs)


def test_tables_of_patients(generated, tmp_path, untouched):
    with untouched(generated):
        rp.io.export_recipes(generated, tmp_path / "out")
    entry = generated.uns["recipes"]
    counts = read(tmp_path / "out", "counts", index_col="patient")
    np.testing.assert_array_equal(counts, entry["counts"])
    assert list(counts.index) == list(entry["counts"].index)
    assert list(counts.columns) == list(entry["counts"].columns)
    shares = read(tmp_path / "out", "proportions", index_col="patient")
    np.testing.assert_allclose(shares, entry["counts"].div(entry["counts"].sum(axis=1), axis=0), rtol=1e-15)
    patients = read(tmp_path / "out", "patients", index_col="patient")
    assert list(patients["label"]) == list(entry["patients"]["label"].astype(str))
    np.testing.assert_array_equal(patients["n_cells"], entry["patients"]["n_cells"])


def test_tables_of_classes(generated, tmp_path):
    rp.io.export_recipes(generated, tmp_path / "out")
    entry = generated.uns["recipes"]
    classes = read(tmp_path / "out", "classes")
    assert list(classes["class"]) == list(entry["classes"])
    np.testing.assert_array_equal(classes["concentration"], entry["concentration"])
    assert list(classes["n_patients"]) == [8, 8]
    np.testing.assert_array_equal(read(tmp_path / "out", "means", index_col="class"), entry["mean"])
    components = read(tmp_path / "out", "components")
    np.testing.assert_array_equal(components["weight"], generated.uns["gmm"]["weights"])


def test_parameters_are_names_and_values(generated, tmp_path):
    generated.uns["recipes"]["params"]["levels"] = np.array(["a", "b"], dtype=object)
    rp.io.export_recipes(generated, tmp_path / "out")
    with (tmp_path / "out" / "params.csv").open(newline="") as file:
        values = dict(csv.reader(file))
    params = generated.uns["recipes"]["params"]
    assert values["kind"] == params["kind"]
    assert json.loads(values["shrinkage"]) == params["shrinkage"]
    assert json.loads(values["levels"]) == ["a", "b"]
    assert values["version"] == params["version"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(generated, keys, tmp_path, kind):
    rp.tl.recipes(generated, **keys, kind=kind)
    rp.io.export_recipes(generated, tmp_path / "out")
    entry, out = generated.uns["recipes"], tmp_path / "out"
    if kind == "logistic_normal":
        values = read(out, "covariance")
        for g, name in enumerate(entry["classes"]):
            square = values[values["class"] == name].pivot(index="row", columns="column", values="value")
            np.testing.assert_array_equal(square, entry["covariance"][g])
    if kind == "empirical":
        compositions = read(out, "compositions")
        np.testing.assert_array_equal(compositions.drop(columns="class"), entry["compositions"])
        assert list(compositions["class"]) == [entry["classes"][i] for i in entry["composition_class"]]


def test_subtypes_and_covariates(generated, keys, tmp_path):
    generated.obs["age"] = generated.obs["patient"].cat.codes.astype(float)
    rp.tl.recipes(generated, **keys, n_subtypes=2, covariates=["age"])
    rp.io.export_recipes(generated, tmp_path / "out")
    entry, out = generated.uns["recipes"], tmp_path / "out"
    subtypes = read(out, "subtypes")
    np.testing.assert_array_equal(subtypes["weight"], entry["subtype_weight"])
    np.testing.assert_array_equal(subtypes["concentration"], entry["subtype_concentration"])
    np.testing.assert_array_equal(subtypes[[str(k) for k in range(6)]], entry["subtype_mean"])
    effects = read(out, "effects")
    np.testing.assert_array_equal(effects["value"], np.ravel(entry["effects"]))
    assert list(effects["component"].iloc[:6]) == list(range(6))
    assert list(read(out, "covariates")["covariate"]) == ["age"]
    np.testing.assert_array_equal(read(out, "patients")["age"], entry["patients"]["age"])


def test_a_comparison_comes_along(generated, tmp_path):
    table = rp.tl.compare_recipes(generated)
    rp.io.export_recipes(generated, tmp_path / "out", comparison_key="compare_recipes")
    pd.testing.assert_frame_equal(read(tmp_path / "out", "comparison", dtype={"component": str}), table)


def test_without_patients_no_name_is_written(generated, tmp_path):
    rp.io.export_recipes(generated, tmp_path / "out", with_patients=False)
    written = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir())
    assert not any(name in written for name in generated.uns["recipes"]["counts"].index)
    assert not (tmp_path / "out" / "counts.csv").exists()


def test_no_text_is_a_formula(generated, tmp_path):
    names = ["=HYPERLINK(1)", "@SUM(1)"]
    generated.obs["label"] = generated.obs["label"].cat.rename_categories(names)
    rp.tl.recipes(generated, patient_key="patient", label_key="label")
    rp.io.export_recipes(generated, tmp_path / "out")
    assert list(read(tmp_path / "out", "classes")["class"]) == [f"'{name}" for name in names]
    cells = [cell for path in (tmp_path / "out").iterdir() for row in csv.reader(path.open()) for cell in row]
    assert not [cell for cell in cells if cell[:1] in {"=", "@", "+"} or (cell[:1] == "-" and not is_number(cell))]


def is_number(cell):
    return pd.notna(pd.to_numeric(cell, errors="coerce"))


def test_names_that_want_quotes(generated, tmp_path):
    label = generated.obs["label"].cat.rename_categories({"disease": 'Krankheit, "schwer"\n'})
    generated.obs["label"] = label
    rp.tl.recipes(generated, patient_key="patient", label_key="label")
    rp.io.export_recipes(generated, tmp_path / "out")
    assert set(read(tmp_path / "out", "patients")["label"]) == set(label.cat.categories)


def test_an_earlier_export_is_replaced_and_nothing_else(generated, tmp_path):
    folder = tmp_path / "out"
    rp.tl.compare_recipes(generated)
    rp.io.export_recipes(generated, folder, comparison_key="compare_recipes")
    rp.io.export_recipes(generated, folder)
    assert not (folder / "comparison.csv").exists()
    (folder / "notes.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="`folder`"):
        rp.io.export_recipes(generated, folder)
    assert (folder / "notes.csv").read_text() == "mine"
    (folder / "notes.csv").unlink()
    with pytest.raises(FileExistsError, match="`folder`"):
        rp.io.export_recipes(generated, folder, overwrite=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="`folder`"):
        rp.io.export_recipes(generated, tmp_path / "file")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "params.csv").write_text("a,b\n")
    with pytest.raises(FileExistsError, match="`folder`"):
        rp.io.export_recipes(generated, tmp_path / "others")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "others", "out"]


def test_a_failing_export_leaves_the_earlier_one(generated, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    rp.io.export_recipes(generated, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    whole, written = pd.DataFrame.to_csv, []

    def fail(self, *args, **kwargs):
        written.append(args)
        if len(written) == 3:
            msg = "the disk is full"
            raise OSError(msg)
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="the disk is full"):
        rp.io.export_recipes(generated, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_bad_arguments(generated, tmp_path, untouched):
    with untouched(generated):
        with pytest.raises(KeyError, match="`recipes_key`"):
            rp.io.export_recipes(generated, tmp_path / "out", recipes_key="none")
        with pytest.raises(KeyError, match="`comparison_key`"):
            rp.io.export_recipes(generated, tmp_path / "out", comparison_key="compare_recipes")
        with pytest.raises(FileNotFoundError, match="no folder"):
            rp.io.export_recipes(generated, tmp_path / "absent" / "out")
    rp.tl.gmm(generated, 3)
    with pytest.raises(ValueError, match="refitted since"):
        rp.io.export_recipes(generated, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_recipes_file_is_plain_hdf5(generated, tmp_path):
    """What the R code of the documentation reads is there: groups of numbers and text, and nothing else."""
    rp.io.write_recipes(generated, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        np.testing.assert_array_equal(file["gmm/weights"][:], generated.uns["gmm"]["weights"])
        np.testing.assert_array_equal(file["gmm/means"][:], generated.uns["gmm"]["means"])
        np.testing.assert_array_equal(file["recipes/mean"][:], generated.uns["recipes"]["mean"])
        assert [name.decode() for name in file["recipes/classes"][:]] == list(generated.uns["recipes"]["classes"])
        datasets = []
        file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        assert datasets
        for item in datasets:
            assert item.dtype.kind in "iuf" or h5py.check_string_dtype(item.dtype) or item.dtype.names is None
            assert h5py.check_ref_dtype(item.dtype) is None
            assert h5py.check_opaque_dtype(item.dtype) is False


def test_recipes_of_a_value(generated, tmp_path):
    generated.obs["age"] = generated.obs["patient"].cat.codes.astype(float)
    rp.tl.recipes(generated, patient_key="patient", label_key="age", outcome="continuous")
    rp.io.export_recipes(generated, tmp_path / "out")
    assert list(read(tmp_path / "out", "classes")["class"]) == ["age"]
    assert list(read(tmp_path / "out", "classes")["n_patients"]) == [16]
    np.testing.assert_array_equal(read(tmp_path / "out", "patients")["label"], np.arange(16))
