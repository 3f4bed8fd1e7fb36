from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.recipe import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_travels_as_statistics(plain, keys, kind, tmp_path):
    target = plain[plain.obs["label"] == "healthy"].copy()
    rp.tl.gmm(plain, 5)
    rp.tl.recipes(plain, **keys, kind=kind)
    path = tmp_path / "disease.recipes.h5"
    rp.io.write_recipes(plain, path)
    rp.tl.assign(target, path)
    rp.tl.recipes(target, **keys, kind=kind, reference=path)
    assert list(target.uns["recipes"]["classes"]) == ["healthy", "disease"]
    pd.testing.assert_series_equal(
        target.uns["recipes"]["mean"].loc["disease"], plain.uns["recipes"]["mean"].loc["disease"]
    )
    rp.tl.generate(target, {"disease": 4})
    rp.tl.recipes(target, **keys, kind=kind, reference=rp.io.read_recipes(path))
    assert list(target.uns["recipes"]["origin"]) == ["cohort", "reference"]


def test_no_cell_and_no_patient_is_in_the_file(generated, tmp_path):
    path = tmp_path / "a.recipes.h5"
    rp.io.write_recipes(generated, path)
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append((name, getattr(item, "shape", None))))
        text = str(found)
    sizes = [max(shape) for _, shape in found if shape]
    assert max(sizes) < 16
    assert "counts" not in text
    assert "patients" not in text
    raw = path.read_bytes()
    assert not any(str(name).encode() in raw for name in generated.obs["patient"].cat.categories)


def test_an_existing_file_is_replaced_whole_or_not_at_all(generated, tmp_path, monkeypatch):
    path = tmp_path / "a.recipes.h5"
    rp.io.write_recipes(generated, path)
    before = path.read_bytes()

    def fail(*_, **__):
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr("repatient.io._write_recipes.write_elem", fail)
    with pytest.raises(OSError, match="disk full"):
        rp.io.write_recipes(generated, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.recipes.h5"]


def test_round_trip(generated, tmp_path):
    rp.io.write_recipes(generated, tmp_path / "a.h5")
    content = rp.io.read_recipes(tmp_path / "a.h5")
    np.testing.assert_array_equal(content["gmm"]["means"], generated.uns["gmm"]["means"])
    pd.testing.assert_frame_equal(
        content["recipes"]["mean"], generated.uns["recipes"]["mean"], check_names=False, check_index_type=False
    )


def damage(path, how):
    with h5py.File(path, "r+") as file:
        if how == "future":
            file.attrs["version"] = 99
        elif how == "foreign":
            del file.attrs["format"]
        elif how == "part":
            del file["gmm/means"]
        elif how == "shape":
            del file["gmm/means"]
            file["gmm/means"] = np.zeros((2, 2))
        elif how == "mixture":
            file["gmm/weights"][:] = file["gmm/weights"][:][::-1]
        elif how == "proportions":
            file["recipes/mean/0"][:] = 2.0


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("future", "format version 99"),
        ("foreign", "not one of recipes"),
        ("part", "damaged"),
        ("shape", "means|shape|covariances|damaged"),
        ("mixture", "do not belong to its mixture"),
        ("proportions", "not proportions"),
    ],
)
def test_damaged_files(generated, tmp_path, how, match):
    path = tmp_path / "a.h5"
    rp.io.write_recipes(generated, path)
    damage(path, how)
    with pytest.raises(ValueError, match=match):
        rp.io.read_recipes(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rp.io.read_recipes(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="no recipes file"):
        rp.io.read_recipes(tmp_path / "text.h5")


def test_truncated_file(generated, tmp_path):
    path = tmp_path / "a.h5"
    rp.io.write_recipes(generated, path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="damaged"):
        rp.io.read_recipes(path)
