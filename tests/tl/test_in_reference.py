"""The embedding of another cohort is computed by its steps, from wherever they are known, and no other is taken for it."""

from __future__ import annotations

import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.io._seal import seal

KEYS = {"patient_key": "patient", "label_key": "label"}


@pytest.fixture(scope="module")
def there():
    adata = cohort(1)
    rp.pp.embed(adata, "features", n_components=8)
    rp.tl.gmm(adata, 5, covariance_type="tied")
    rp.tl.recipes(adata, **KEYS)
    return adata


@pytest.fixture(scope="module")
def file(there, tmp_path_factory):
    path = tmp_path_factory.mktemp("there") / "there.recipes.h5"
    rp.io.write_recipes(there, path)
    return path


def cohort(seed):
    adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=80, random_state=seed)
    adata = adata[:, :60].copy()
    adata.X = np.asarray(adata.X.todense(), dtype=np.float32)
    del adata.obsm["X_pca"]
    return adata


@pytest.fixture
def new():
    return cohort(2)[:, ::-1].copy()


@pytest.fixture(params=["object", "file", "content"])
def reference(request, there, file):
    return {"object": there, "file": file, "content": rp.io.read_recipes(file)}[request.param]


def test_cells_are_assigned_in_the_embedding_of_the_reference(reference, there, new):
    expected = new.copy()
    rp.pp.project(expected, there)
    rp.tl.assign(new, reference)
    np.testing.assert_array_equal(new.obsm["X_embedded"], expected.obsm["X_embedded"])
    rp.tl.assign(expected, reference)
    np.testing.assert_array_equal(new.obs["gmm"].astype(str), expected.obs["gmm"].astype(str))
    rp.tl.recipes(new, **KEYS, reference=reference)
    rp.tl.generate(new, 4)


def test_an_embedding_of_other_steps_is_not_taken_for_it(reference, there, new):
    rp.pp.embed(new, "features", n_components=8)
    own = new.obsm["X_embedded"].copy()
    with pytest.raises(ValueError, match=r"other steps.*rp\.pp\.project"):
        rp.tl.assign(new, reference, use_rep="X_embedded")
    without = new[:, :20].copy()
    with pytest.raises(ValueError, match="other steps.*40 of 60 features"):
        rp.tl.assign(without, reference)
    assert "gmm" not in without.obs
    with pytest.warns(UserWarning, match="other steps"):
        rp.tl.assign(without, reference, align="moments", **KEYS)
    rp.tl.assign(new, reference)
    np.testing.assert_array_equal(new.obsm["X_embedded"], own)
    np.testing.assert_allclose(new.obsm["X_embedded_of_reference"], projected(there, new).obsm["X_embedded"], atol=1e-5)
    assert new.uns["gmm"]["params"]["use_rep"] == "X_embedded_of_reference"


def projected(there, new):
    other = new.copy()
    rp.pp.project(other, there)
    return other


def test_an_embedding_whose_record_was_lost_is_the_same(there, file, new):
    joined = ad.concat([there, projected(there, new)], index_unique="-")
    rp.tl.assign(joined, file)
    assert "X_embedded_of_reference" not in joined.obsm
    assert joined.uns["gmm"]["params"]["use_rep"] == "X_embedded"


def test_what_is_missing_is_named(reference, new):
    with pytest.raises(ValueError, match="`reference`: its embedding 'X_embedded' is not in `data`") as error:
        rp.tl.assign(new[:, :57].copy(), reference)
    assert all(repr(name) in str(error.value) for name in new.var_names[57:])


def test_features_are_put_in_order_by_their_names(new, tmp_path):
    there = cohort(1)
    rp.tl.gmm(there, 3, use_rep="X", covariance_type="diag")
    rp.tl.recipes(there, **KEYS)
    rp.io.write_recipes(there, tmp_path / "a.h5")
    ordered = new[:, there.var_names].copy()
    rp.tl.assign(ordered, tmp_path / "a.h5")
    for reference in (there, tmp_path / "a.h5"):
        other = new.copy()
        rp.tl.assign(other, reference)
        np.testing.assert_array_equal(other.obs["gmm"].astype(str), ordered.obs["gmm"].astype(str))
        assert list(other.obsm["X_of_reference"]) == list(there.var_names)
        with pytest.raises(ValueError, match="3 of its 60 features") as error:
            rp.tl.assign(new[:, 3:].copy(), reference)
        assert all(repr(name) in str(error.value) for name in new.var_names[:3])


@pytest.mark.parametrize("kind", ["object", "file", "model"])
def test_a_model_with_a_reference_takes_its_steps(kind, there, file, new):
    sick = new[new.obs["label"] == "disease"].copy()
    given = {"object": there, "file": file}
    if kind == "model":
        given["model"] = [rp.tl.mil(there.copy(), **KEYS, model="mean"), file]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = rp.tl.mil(sick, **KEYS, reference=given[kind], model="mean")
    assert model.projection.fingerprint == there.uns["embedding"]["params"]["fingerprint"]
    np.testing.assert_array_equal(sick.obsm["X_embedded"], projected(there, sick).obsm["X_embedded"])
    frame = model.predict(cohort(3)[:, ::-1].copy(), check="none")
    assert frame["predicted"].nunique() == 2


def test_a_call_that_fails_writes_nothing(file, new):
    before = list(new.obsm), list(new.uns)
    with pytest.raises(KeyError, match="nobody"):
        rp.tl.mil(new, patient_key="nobody", label_key="label", reference=file)
    with pytest.raises(KeyError, match="nobody"):
        rp.tl.assign(new, file, patient_key="nobody", label_key="label")
    assert (list(new.obsm), list(new.uns)) == before


def test_an_evaluation_refuses_a_reference_of_other_steps(there, new):
    rp.pp.embed(new, "features", n_components=8)
    with pytest.raises(ValueError, match=r"`reference`.*other steps"):
        rp.tl.evaluate(new, **KEYS, reference=there, travels=["nothing", "recipes"], n_splits=2)


def test_recorded_models_of_references_have_to_agree(there, file, new):
    other = cohort(5)
    rp.pp.embed(other, "features", n_components=8)
    model = rp.tl.mil(other, **KEYS, model="mean")
    with pytest.raises(ValueError, match="different steps"):
        rp.tl.mil(new, **KEYS, reference=[model, file])


def test_project_takes_a_recipes_file(there, file, new, plain_file):
    expected = projected(there, new).obsm["X_embedded"]
    for reference in (file, str(file), rp.io.read_recipes(file)):
        other = new.copy()
        rp.pp.project(other, reference)
        np.testing.assert_array_equal(other.obsm["X_embedded"], expected)
    with pytest.raises(KeyError, match="no steps"):
        rp.pp.project(new, plain_file)


@pytest.fixture
def plain_file(there, tmp_path):
    adata = there.copy()
    adata.obsm["X_own"] = adata.obsm["X_embedded"]
    rp.tl.gmm(adata, 5, use_rep="X_own", covariance_type="tied")
    rp.tl.recipes(adata, **KEYS)
    rp.io.write_recipes(adata, tmp_path / "plain.h5")
    return tmp_path / "plain.h5"


def test_what_the_file_holds(there, file, plain_file):
    with h5py.File(file) as opened:
        assert set(opened) == {"gmm", "recipes", "cohort", "embedding"}
        assert set(opened["embedding/arrays"]) == {
            f"projection.{name}" for name in ("features", "used", "mean", "scale", "center", "loadings", "kept")
        }
        settings = opened["embedding/settings"][()].decode()
    assert "mask_obs" not in settings
    raw = file.read_bytes()
    assert not any(str(name).encode() in raw for name in there.obs["patient"].cat.categories)
    assert "embedding" not in rp.io.read_recipes(plain_file)


DAMAGE = {
    "no settings": (lambda part: part.__delitem__("settings"), "settings"),
    "no JSON": (lambda part: replace(part, "settings", "{"), "JSON"),
    "other width": (lambda part: replace(part, "arrays/projection.loadings", np.ones((60, 9))), "'kept'"),
    "too few genes": (lambda part: replace(part, "arrays/projection.mean", np.ones(59)), "'mean'"),
    "not finite": (lambda part: replace(part, "arrays/projection.center", np.full(60, np.nan)), "'center'"),
    "no scale": (lambda part: replace(part, "arrays/projection.scale", np.zeros(60)), "'scale'"),
    "another array": (lambda part: replace(part, "arrays/projection.patients", np.ones(60)), "'patients'"),
    "an unknown array": (lambda part: replace(part, "arrays/patients", np.ones(60)), "'patients'"),
    "flat loadings": (lambda part: replace(part, "arrays/projection.loadings", np.ones(60)), "'loadings'"),
    "axes without centre": (lambda part: part["arrays"].__delitem__("projection.center"), "'loadings'"),
}


def replace(part, name, value):
    kind = dict(part[name if name in part else "arrays/projection.mean"].attrs)
    if name in part:
        del part[name]
    part[name] = value
    part[name].attrs.update(kind)


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused(what, file, tmp_path):
    path = tmp_path / "damaged.h5"
    path.write_bytes(file.read_bytes())
    change, match = DAMAGE[what]
    with h5py.File(path, "r+") as opened:
        change(opened["embedding"])
    seal(path)
    with pytest.raises(ValueError, match=match):
        rp.io.read_recipes(path)


def test_a_file_of_the_version_before_is_read(file, tmp_path):
    path = tmp_path / "before.h5"
    path.write_bytes(file.read_bytes())
    with h5py.File(path, "r+") as opened:
        del opened["embedding"]
        opened.attrs["version"] = 4
    seal(path)
    path.write_bytes(path.read_bytes().replace(b"version 5\n", b"version 4\n", 1))
    content = rp.io.read_recipes(path)
    assert set(content) == {"gmm", "recipes", "cohort"}


def test_markers_of_a_table_in_obsm(there, new, tmp_path):
    for adata in (there := there.copy(), new):
        order = there.var_names[:6] if adata is there else there.var_names[:6][::-1]
        adata.obsm["markers"] = pd.DataFrame(adata[:, order].X, columns=order, index=adata.obs_names)
    rp.tl.gmm(there, 3, use_rep="markers")
    rp.tl.recipes(there, **KEYS)
    rp.io.write_recipes(there, tmp_path / "a.h5")
    rp.tl.assign(new, tmp_path / "a.h5")
    assert list(new.obsm["markers_of_reference"]) == list(there.obsm["markers"])
