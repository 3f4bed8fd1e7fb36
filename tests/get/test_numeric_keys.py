"""Patients, donors and classes that are numbers or truth values, beside generated ones that have names."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp


@pytest.fixture(scope="module")
def _numeric():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(8), 10)
    columns = {"patient": patients, "label": patients < 4, "donor": patients / 2 + 0.5, "grade": patients // 4}
    obs = pd.DataFrame(columns, index=[f"c{i}" for i in range(80)])
    adata = ad.AnnData(rng.random((80, 3), dtype=np.float32), obs=obs)
    adata.obsm["X_pca"] = rng.standard_normal((80, 2)).astype(np.float32)
    rp.tl.gmm(adata, 2)
    return adata


@pytest.fixture
def numeric(_numeric):
    return _numeric.copy()


def generated_from(adata, label_key, how="cells"):
    rp.tl.recipes(adata, patient_key="patient", label_key=label_key, donor_key="donor")
    rp.tl.generate(adata, 2, draw=how)
    return adata


@pytest.mark.parametrize("label_key", ["label", "grade"])
@pytest.mark.parametrize(("as_category", "how"), [(False, "cells"), (False, "gaussian"), (True, "cells")])
def test_the_object_can_be_written(numeric, tmp_path, label_key, how, as_category):
    if as_category:
        numeric.obs = numeric.obs.astype(dict.fromkeys(["patient", "label", "donor", "grade"], "category"))
    generated_from(numeric, label_key, how)
    both = rp.get.augmented(numeric)
    assert set(both.obs[label_key]) == set(numeric.obs[label_key])
    assert list(both.obs["patient"][:10]) == ["0"] * 10
    assert list(both.obs["donor"][:10]) == ["0.5"] * 10
    both.write_h5ad(tmp_path / "memory.h5ad")
    path = rp.get.augmented(numeric, to=tmp_path / "chunks.h5ad")
    for name in ("patient", label_key, "donor"):
        assert list(ad.read_h5ad(path).obs[name].astype(str)) == list(both.obs[name].astype(str))
    assert numeric.obs["patient"].dtype != object
    assert numeric.obs["patient"].iloc[0] == 0


def test_a_class_that_the_column_lacks_makes_it_text(numeric):
    here = numeric[numeric.obs["grade"] == 0].copy()
    rp.tl.recipes(numeric, patient_key="patient", label_key="grade")
    rp.tl.recipes(here, patient_key="patient", label_key="grade", reference=numeric)
    rp.tl.generate(here, {"1": 2})
    both = rp.get.augmented(here)
    assert set(both.obs["grade"]) == {"0", "1"}


def test_a_column_of_mixed_types_is_named_before_anything_is_written(numeric, tmp_path, untouched):
    numeric.obs["odd"] = pd.Series([1, "a"] * 40, dtype=object, index=numeric.obs_names)
    generated_from(numeric, "label")
    with untouched(numeric), pytest.raises(TypeError, match="'odd'.*`obs`"):
        rp.get.augmented(numeric, to=tmp_path / "a.h5ad")
    assert not list(tmp_path.iterdir())
