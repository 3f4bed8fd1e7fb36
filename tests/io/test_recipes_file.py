from __future__ import annotations

from contextlib import contextmanager

import h5py
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.io._seal import seal
from repatient.recipe import KINDS


@pytest.fixture(scope="module")
def written(_generated, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "a.h5"
    rp.io.write_recipes(_generated, path)
    return path.read_bytes()


@pytest.fixture
def path(written, tmp_path):
    """A recipes file, which may be damaged."""
    (tmp_path / "a.h5").write_bytes(written)
    return tmp_path / "a.h5"


@contextmanager
def edited(path):
    """The file, open for changes that its checksum is made to fit afterwards."""
    with h5py.File(path, "r+") as file:
        yield file
    seal(path)


def as_version(path, version, parts):
    """Write the file as an earlier version of the package did."""
    with h5py.File(path) as new, h5py.File(path.with_name(f"version-{version}.h5"), "w") as old:
        for name in parts:
            new.copy(name, old)
        old.attrs["format"], old.attrs["version"] = "repatient recipes", version
    return path.with_name(f"version-{version}.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_travels_as_statistics(generated, keys, kind, tmp_path):
    target = generated[generated.obs["label"] == "healthy"].copy()
    rp.tl.recipes(generated, **keys, kind=kind)
    path = tmp_path / "disease.recipes.h5"
    rp.io.write_recipes(generated, path)
    rp.tl.assign(target, path)
    rp.tl.recipes(target, **keys, kind=kind, reference=path)
    assert list(target.uns["recipes"]["classes"]) == ["healthy", "disease"]
    pd.testing.assert_series_equal(
        target.uns["recipes"]["mean"].loc["disease"], generated.uns["recipes"]["mean"].loc["disease"]
    )
    rp.tl.generate(target, {"disease": 4})
    rp.tl.recipes(target, **keys, kind=kind, reference=rp.io.read_recipes(path))
    assert list(target.uns["recipes"]["origin"]) == ["cohort", "reference"]


def test_no_cell_and_no_patient_is_in_the_file(generated, path):
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


def test_round_trip(generated, path):
    content = rp.io.read_recipes(path)
    np.testing.assert_array_equal(content["gmm"]["means"], generated.uns["gmm"]["means"])
    pd.testing.assert_frame_equal(
        content["recipes"]["mean"], generated.uns["recipes"]["mean"], check_names=False, check_index_type=False
    )


def test_offsets_travel_or_stay(generated, tmp_path, same):
    rp.io.write_recipes(generated, tmp_path / "a.h5", min_donors=2)
    offsets = generated.uns["recipes"]["offsets"]
    assert offsets["means"].shape == (2, 6, 10)
    found = rp.io.read_recipes(tmp_path / "a.h5")["recipes"]["offsets"]
    kept = (offsets["n_donors"] >= 2) & (offsets["n_cells"] >= 5)
    assert kept.any()
    np.testing.assert_array_equal(found["means"], np.where(kept[..., None], offsets["means"], 0))
    np.testing.assert_array_equal(found["n_donors"], np.where(kept, offsets["n_donors"], 0))
    rp.io.write_recipes(generated, tmp_path / "b.h5", offsets=False)
    assert "offsets" not in rp.io.read_recipes(tmp_path / "b.h5")["recipes"]
    target = generated[generated.obs["label"] == "healthy"].copy()
    rp.tl.recipes(target, patient_key="patient", label_key="label", reference=tmp_path / "a.h5")
    same(dict(target.uns["recipes"]["reference"]["offsets"]), dict(found))
    assert list(target.uns["recipes"]["offsets"]["classes"]) == ["healthy"]


def test_components_of_few_donors_are_merged(plain, keys, tmp_path):
    first = (plain.obs["patient"] == plain.obs["patient"].iloc[0]).to_numpy()
    plain.obsm["X_pca"][np.flatnonzero(first)[:30]] += 40
    rp.tl.gmm(plain, 6)
    rp.tl.recipes(plain, **keys)
    with pytest.warns(UserWarning, match="of 6 components have fewer than 5 cells or 5 donors"):
        rp.io.write_recipes(plain, tmp_path / "a.h5")
    content = rp.io.read_recipes(tmp_path / "a.h5")
    whole, left = plain.uns["gmm"], content["gmm"]
    assert len(left["weights"]) < 6
    np.testing.assert_allclose(left["weights"] @ left["means"], whole["weights"] @ whole["means"])
    total = [
        np.einsum("k,kde->de", g["weights"], g["covariances"] + g["means"][:, :, None] * g["means"][:, None])
        for g in (left, whole)
    ]
    np.testing.assert_allclose(total[0], total[1])
    assert content["recipes"]["mean"].shape == (2, len(left["weights"]))
    assert content["recipes"]["offsets"]["means"].shape[:2] == (2, len(left["weights"]))
    np.testing.assert_allclose(content["recipes"]["concentration"], plain.uns["recipes"]["concentration"])
    target = plain[plain.obs["label"] == "healthy"].copy()
    rp.tl.assign(target, tmp_path / "a.h5")
    rp.tl.recipes(target, **keys, reference=tmp_path / "a.h5")
    rp.io.write_recipes(plain, tmp_path / "b.h5", min_cells=1, min_donors=1)
    np.testing.assert_array_equal(rp.io.read_recipes(tmp_path / "b.h5")["gmm"]["means"], whole["means"])
    with pytest.raises(ValueError, match="`min_cells`, `min_donors`"):
        rp.io.write_recipes(plain, tmp_path / "b.h5", min_donors=17)


def test_no_covariate_of_one_patient_leaves(generated, keys, tmp_path):
    ages = np.random.default_rng(0).uniform(20, 80, 16)
    generated.obs["age"] = ages[generated.obs["patient"].cat.codes]
    rp.tl.recipes(generated, **keys, covariates=["age"])
    rp.io.write_recipes(generated, tmp_path / "a.h5")
    recipes = rp.io.read_recipes(tmp_path / "a.h5")["recipes"]
    np.testing.assert_allclose(recipes["covariate_low"], np.sort(ages)[:5].mean())
    np.testing.assert_allclose(recipes["covariate_high"], np.sort(ages)[-5:].mean())
    np.testing.assert_array_equal(recipes["covariate_mean"], generated.uns["recipes"]["covariate_mean"])
    labels = generated.uns["recipes"]["patients"]["label"]
    few = labels.index[labels == "healthy"][:5]
    small = generated[generated.obs["patient"].isin(few) | (generated.obs["label"] == "disease")].copy()
    rp.tl.recipes(small, **keys, covariates=["age"])
    rp.io.write_recipes(small, tmp_path / "b.h5", min_donors=6)
    moved = rp.io.read_recipes(tmp_path / "b.h5")["recipes"]["covariate_mean"][:, 0]
    sizes = small.uns["recipes"]["patients"]["label"].value_counts().loc[list(small.uns["recipes"]["classes"])]
    everybody = small.uns["recipes"]["patients"]["age"].mean()
    own = small.uns["recipes"]["covariate_mean"][:, 0]
    np.testing.assert_allclose(moved, np.where(sizes < 6, everybody, own))
    assert (sizes < 6).any()


def damage(path, how):
    with edited(path) as file:
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
            file["recipes/mean"][:] = 2.0


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
def test_damaged_files(path, how, match):
    damage(path, how)
    with pytest.raises(ValueError, match=match):
        rp.io.read_recipes(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rp.io.read_recipes(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="no recipes file"):
        rp.io.read_recipes(tmp_path / "text.h5")


def test_truncated_file(path):
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="damaged"):
        rp.io.read_recipes(path)


def test_moments_of_the_classes_travel_too(generated, path):
    cohort = rp.io.read_recipes(path)["cohort"]
    assert [str(name) for name in cohort["classes"]] == list(generated.obs["label"].cat.categories)
    for i, name in enumerate(cohort["classes"]):
        cells = generated[generated.obs["label"] == name]
        frame = pd.DataFrame(cells.obsm["X_pca"].astype(float), index=cells.obs["patient"].astype(str))
        np.testing.assert_allclose(cohort["means"][i], frame.groupby(level=0).mean().mean())
        assert cohort["n_cells"][i] == cells.n_obs
        of_donors, spread = frame.groupby(level=0).mean(), cohort["spread"]
        np.testing.assert_allclose(spread["means"][i], of_donors.mean())
        np.testing.assert_allclose(spread["covariances"][i], of_donors.cov(), atol=1e-10)
        assert spread["n_donors"][i] == len(of_donors)
    quantiles = cohort["log_density_quantiles"]
    assert quantiles["value"][0] < generated.uns["gmm"]["log_density_quantiles"]["value"][0]


@pytest.mark.parametrize(("version", "parts"), [(1, ("gmm", "recipes")), (2, ("gmm", "recipes", "cohort"))])
def test_files_of_earlier_versions_are_read(path, same, version, parts):
    old = as_version(path, version, parts)
    content, expected = rp.io.read_recipes(old), rp.io.read_recipes(path)
    same(content, {name: expected[name] for name in parts})
    damaged = old.read_bytes()[:3000]
    old.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        rp.io.read_recipes(old)


def test_a_file_without_its_checksum_is_refused(path):
    old = as_version(path, 3, ("gmm", "recipes", "cohort"))
    with pytest.raises(ValueError, match="version 3 begins with its checksum"):
        rp.io.read_recipes(old)


def test_without_the_embedding_the_file_says_less(generated, tmp_path):
    del generated.obsm["X_pca"]
    with pytest.warns(UserWarning, match="no moments of the classes, because the embedding 'X_pca' is not in"):
        rp.io.write_recipes(generated, tmp_path / "a.h5")
    assert "cohort" not in rp.io.read_recipes(tmp_path / "a.h5")


def test_moments_are_those_of_the_mask(plain, keys, tmp_path):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[4:]).to_numpy()
    plain.obs["train"] = train
    rp.tl.gmm(plain, 4, mask_obs="train")
    rp.tl.recipes(plain, **keys, mask_obs="train")
    rp.io.write_recipes(plain, tmp_path / "a.h5")
    plain.obsm["X_pca"][~train] += 100
    rp.io.write_recipes(plain, tmp_path / "b.h5")
    first, second = (rp.io.read_recipes(tmp_path / name)["cohort"] for name in ("a.h5", "b.h5"))
    np.testing.assert_array_equal(first["means"], second["means"])
    rp.tl.recipes(plain, **keys, mask_obs=train)
    with pytest.warns(UserWarning, match="mask given as an array"):
        rp.io.write_recipes(plain, tmp_path / "a.h5")


@pytest.mark.parametrize("part", ["means", "covariances", "n_cells", "classes", "spread/means", "spread/n_donors"])
def test_damaged_moments(path, part):
    with edited(path) as file:
        del file[f"cohort/{part}"]
    with pytest.raises(ValueError, match="damaged"):
        rp.io.read_recipes(path)
    with edited(path) as file:
        file[f"cohort/{part}"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="moments|spread|damaged"):
        rp.io.read_recipes(path)


def test_one_changed_byte_is_noticed_before_hdf5_reads_it(path, monkeypatch):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("repatient.io._read_recipes.h5py.File", None)
    with pytest.raises(ValueError, match=r"a\.h5' is damaged or incomplete: its checksum.*Copy it again"):
        rp.io.read_recipes(path)


def test_a_file_of_a_later_version_says_so(path):
    path.write_bytes(path.read_bytes().replace(b"version 5\n", b"version 6\n", 1))
    with pytest.raises(ValueError, match=r"a\.h5' has format version 6.*reads up to 5\. Update repatient"):
        rp.io.read_recipes(path)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("cohort/covariances", lambda x: -x),
        ("cohort/spread/covariances", lambda x: -x),
        ("cohort/n_cells", lambda x: 0 * x - 5),
        ("cohort/log_density_quantiles/value", lambda x: x[::-1]),
        ("gmm/covariances", lambda x: -x),
        ("gmm/weights", lambda x: x - 1),
        ("gmm/log_density_quantiles/probability", lambda x: x + 1),
        ("recipes/concentration", lambda x: 0 * x),
        ("recipes/params/shrinkage", lambda x: -1.0),
        ("recipes/offsets/variances", lambda x: x - 10),
        ("recipes/offsets/n_donors", lambda x: 0 * x - 1),
        ("recipes/offsets/n_cells", lambda x: 0 * x),
        ("recipes/offsets/means", lambda x: x * np.nan),
    ],
)
def test_values_that_cannot_be(path, part, change):
    with edited(path) as file:
        file[part][...] = change(file[part][()])
    with pytest.raises(ValueError, match="a.h5"):
        rp.io.read_recipes(path)


def test_one_long_text_many_times_is_not_read(path):
    n = 4000
    with h5py.File(path, "r+") as file:
        attributes = dict(file["recipes/origin"].attrs)
        del file["recipes/origin"]
        origin = file.create_dataset("recipes/origin", shape=(n,), dtype=h5py.string_dtype())
        origin[...], origin[0] = "x", "A" * 50_000
        origin.attrs.update(attributes)
        file.flush()
        start = origin.id.get_offset()
    content = bytearray(path.read_bytes())
    content[start : start + 16 * n] = bytes(content[start : start + 16]) * n
    path.write_bytes(content)
    seal(path)
    with pytest.raises(ValueError, match="texts longer than the file"):
        rp.io.read_recipes(path)


@pytest.mark.parametrize("what", ["soft", "external link", "external array", "virtual", "huge", "itself"])
def test_nothing_outside_the_file_is_read_and_nothing_larger_than_it(path, what):
    other = path.with_name("secret.h5")
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(3)
    with edited(path) as file:
        params = file["recipes/params"]
        if what == "soft":
            params["extra"] = h5py.SoftLink("/gmm")
        elif what == "external link":
            params["extra"] = h5py.ExternalLink(str(other), "x")
        elif what == "external array":
            params.create_dataset("extra", (3,), "f8", external=[(str(other), 0, 24)])
        elif what == "virtual":
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(other), "x", (3,))
            params.create_virtual_dataset("extra", layout)
        elif what == "huge":
            params.create_dataset("extra", (10**15,), "f8", chunks=(1024,))
        else:
            params["extra"] = file["recipes"]
    with pytest.raises(ValueError, match=r"a\.h5' is no recipes file.*: it holds "):
        rp.io.read_recipes(path)


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("concentration", np.array([np.nan, 1.0]), "'concentration'.* has NaN"),
        ("concentration", np.array([-1.0, 1.0]), "not above 0"),
        ("concentration", np.ones(3), "'concentration' has shape"),
        ("origin", np.array(["cohort"], dtype=object), "one origin a class"),
    ],
)
def test_recipes_edited_into_none_are_not_written(generated, tmp_path, part, value, match):
    generated.uns["recipes"][part] = value
    with pytest.raises(ValueError, match=match):
        rp.io.write_recipes(generated, tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(generated, tmp_path):
    with pytest.raises(IsADirectoryError, match="`path`.*is a folder"):
        rp.io.write_recipes(generated, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder.*nowhere' to write 'a.h5'"):
        rp.io.write_recipes(generated, tmp_path / "nowhere" / "a.h5")


def test_only_a_recipes_file_is_replaced_and_its_mode_kept(generated, tmp_path):
    path, link, notes = tmp_path / "a.h5", tmp_path / "link.h5", tmp_path / "notes.h5"
    rp.io.write_recipes(generated, path)
    path.chmod(0o640)
    rp.io.write_recipes(generated, path)
    assert path.stat().st_mode & 0o777 == 0o640
    link.symlink_to(path)
    notes.write_text("mine")
    for target, overwrite in ((link, True), (notes, True), (path, False)):
        with pytest.raises(FileExistsError, match="`path`"):
            rp.io.write_recipes(generated, target, overwrite=overwrite)
    assert notes.read_text() == "mine"
