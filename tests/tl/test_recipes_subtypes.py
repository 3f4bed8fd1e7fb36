from __future__ import annotations

import h5py
import numpy as np
import pytest

import repatient as rp


@pytest.fixture
def subtyped(generated, keys):
    rp.tl.recipes(generated, **keys, n_subtypes=2)
    return generated


def test_what_is_stored(subtyped):
    entry = subtyped.uns["recipes"]
    assert entry["subtype_class"].tolist() == [0, 0, 1, 1]
    assert entry["subtype_mean"].shape == (4, 6)
    np.testing.assert_allclose(entry["subtype_mean"].sum(axis=1), 1)
    np.testing.assert_allclose(entry["subtype_weight"].reshape(2, 2).sum(axis=1), 1)
    assert "concentration" not in entry
    assert entry["params"]["n_subtypes"] == 2


def test_auto_and_one(generated, keys):
    rp.tl.recipes(generated, **keys)
    plain = generated.uns["recipes"]
    rp.tl.recipes(generated, **keys, n_subtypes="auto")
    auto = generated.uns["recipes"]
    # Eight patients a class are too few for two sub-types.
    np.testing.assert_allclose(auto["subtype_mean"], plain["mean"], rtol=1e-6)
    np.testing.assert_allclose(auto["subtype_concentration"], plain["concentration"], rtol=1e-6)
    assert "subtype_mean" not in plain


def test_subtypes_may_be_edited(subtyped):
    entry = subtyped.uns["recipes"]
    entry["subtype_mean"] = entry["subtype_mean"].copy()
    entry["subtype_mean"][:2] = [[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]]
    entry["subtype_weight"][:2] = [0.25, 0.75]
    rp.tl.generate(subtyped, {str(entry["classes"][0]): 200}, n_cells=10)
    counts = subtyped.obsm["generated"]
    first = np.asarray(counts[(subtyped.obs["gmm"] == "0").to_numpy()].sum(axis=0)).ravel()
    assert set(first) == {0, 10}
    assert (first == 10).mean() == pytest.approx(0.25, abs=0.1)
    tidy = rp.get.recipes(subtyped)
    assert tidy["mean"][0] == pytest.approx(0.25)
    entry["subtype_weight"][:2] = 0.25
    with pytest.raises(ValueError, match="subtype_weight.*not proportions"):
        rp.tl.generate(subtyped, 3)
    entry["subtype_weight"][:2] = 0.5
    entry["subtype_concentration"][1] = 0
    with pytest.raises(ValueError, match="subtype_concentration"):
        rp.tl.generate(subtyped, 3)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_round_trip_of_the_object(subtyped, suffix, read_back, same_content):
    subtyped = subtyped[:, :5].copy()
    rp.tl.generate(subtyped, 4)
    back = read_back(subtyped, suffix)
    same_content(subtyped, back)
    rp.tl.generate(back, 4)
    same_content(subtyped, back)


@pytest.mark.parametrize("here", [1, 2])
def test_recipes_file(subtyped, keys, tmp_path, here):
    rp.io.write_recipes(subtyped, tmp_path / "a.h5")
    target = subtyped[subtyped.obs["label"] == "healthy"].copy()
    rp.tl.assign(target, tmp_path / "a.h5")
    # A class with one sub-type stands beside one with two.
    rp.tl.recipes(target, **keys, reference=tmp_path / "a.h5", n_subtypes=here)
    entry = target.uns["recipes"]
    assert entry["subtype_class"].tolist() == [0] * here + [1, 1]
    source = subtyped.uns["recipes"]
    of_disease = source["subtype_class"] == list(source["classes"]).index("disease")
    np.testing.assert_allclose(entry["subtype_mean"][here:], source["subtype_mean"][of_disease])
    rp.tl.generate(target, {"disease": 4})


def test_log_ratio_transfer_moves_every_subtype(subtyped, keys):
    target = subtyped[subtyped.obs["label"] == "healthy"].copy()
    reference = subtyped.copy()
    factor = np.array([3.0, 1, 1, 1, 1, 0.3])
    entry = reference.uns["recipes"]
    moved = entry["subtype_mean"] * factor
    entry["subtype_mean"] = moved / moved.sum(axis=1, keepdims=True)
    rp.tl.recipes(target, **keys, reference=reference, transfer="log_ratio", n_subtypes=2)
    source = subtyped.uns["recipes"]
    of_disease = source["subtype_class"] == list(source["classes"]).index("disease")
    back = target.uns["recipes"]["subtype_mean"][2:]
    before = entry["subtype_mean"][of_disease]
    wanted = source["subtype_mean"][of_disease]
    assert np.abs(back - wanted).sum() < 0.5 * np.abs(before - wanted).sum()


def test_files_of_the_first_version_are_still_read(generated, tmp_path):
    rp.io.write_recipes(generated, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as new, h5py.File(tmp_path / "old.h5", "w") as old:
        for name in ("gmm", "recipes"):
            new.copy(name, old)
        old.attrs["format"], old.attrs["version"] = new.attrs["format"], 1
        for name in ("n_subtypes", "covariates"):
            del old[f"recipes/params/{name}"]
    content = rp.io.read_recipes(tmp_path / "old.h5")
    assert rp.tl.recipes(
        generated, patient_key="patient", label_key="label", labels=["healthy"], reference=content, copy=True
    ).uns["recipes"]["classes"].tolist() == ["healthy"]


def test_other_kinds_have_none(generated, keys, untouched):
    with untouched(generated), pytest.raises(ValueError, match="only recipes of kind 'dirichlet_multinomial'"):
        rp.tl.recipes(generated, **keys, kind="mean", n_subtypes=2)
    with untouched(generated), pytest.raises(TypeError, match="`n_subtypes`"):
        rp.tl.recipes(generated, **keys, n_subtypes="several")
