"""Cohorts assigned to a mixture from a recipes file, which holds statistics only."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import repatient as rp


def shifted(adata):
    rng = np.random.default_rng(0)
    moved = adata.copy()
    X = moved.obsm["X_pca"]
    moved.obsm["X_pca"] = X * rng.uniform(0.7, 1.4, X.shape[1]) + rng.normal(size=X.shape[1]) * X.std(axis=0)
    return moved


def report(adata, key="gmm"):
    return adata.uns[key]["reference"]


def write(adata, path, keys, **kwargs):
    rp.tl.recipes(adata, **keys, **kwargs)
    rp.io.write_recipes(adata, path)
    return path


def test_a_file_of_statistics_aligns_as_the_cells_do(target, external, keys, tmp_path):
    path = write(target, tmp_path / "target.recipes.h5", keys)
    moved = shifted(external)
    by_file = rp.tl.assign(moved, path, align="moments", **keys, copy=True)
    by_cells = rp.tl.assign(moved, target, align="moments", **keys, copy=True)
    np.testing.assert_allclose(by_file.obsm["X_pca_aligned"], by_cells.obsm["X_pca_aligned"], atol=1e-5)
    assert report(by_file)["coverage"] == report(by_cells)["coverage"]
    assert report(by_file)["quantiles"] == "held-out"
    by_means = report(by_file)["shift"]
    assert (by_means["p_value_raw"] < 0.001).all()
    assert (by_means["mmd_raw"] > 1).all()
    assert (by_means["p_value"] > 0.05).all()
    from_content = rp.tl.assign(moved, rp.io.read_recipes(path), align="moments", **keys, copy=True)
    np.testing.assert_array_equal(from_content.obsm["X_pca_aligned"], by_file.obsm["X_pca_aligned"])


def test_missing_class_from_a_file_end_to_end(target, external, keys, tmp_path):
    """The reference's own mixture: a hospital sends statistics, the target is mapped into their space and generates."""
    path = write(target, tmp_path / "both.recipes.h5", keys)
    external = shifted(external)
    healthy = external[external.obs["label"] == "healthy"].copy()
    with pytest.warns(UserWarning, match="align='moments'"):
        rp.tl.assign(healthy, path, **keys)
    rp.tl.assign(healthy, path, align="moments", **keys)
    rp.tl.recipes(healthy, **keys, reference=path)
    rp.tl.generate(healthy, {"disease": 20})
    drawn = healthy.obsm["generated"].sum(axis=1).A1 > 0
    assert drawn.any()
    model = rp.tl.mil(healthy, **keys, generated_key="generated", model="attention")
    assert model.use_rep == "X_pca"
    predictions = model.predict(external)
    label = external.obs.groupby("patient", observed=True)["label"].first().loc[predictions.index]
    assert roc_auc_score(label == "disease", predictions["probability_disease"]) > 0.75


def test_a_file_without_moments(target, external, keys, tmp_path):
    path = tmp_path / "old.recipes.h5"
    with h5py.File(write(target, tmp_path / "new.recipes.h5", keys)) as new, h5py.File(path, "w") as old:
        for name in ("gmm", "recipes"):
            new.copy(name, old)
        old.attrs["format"], old.attrs["version"] = new.attrs["format"], 1
    rp.tl.assign(external, path, **keys)
    assert report(external)["quantiles"] == "in-sample"
    with pytest.raises(ValueError, match="align='moments'.*moments in each class"):
        rp.tl.assign(external, path, align="moments", **keys)


def test_transport_needs_cells(target, external, keys, tmp_path):
    path = write(target, tmp_path / "new.recipes.h5", keys)
    with pytest.raises(ValueError, match="`align='ot'` needs the reference's cells.*use `align='moments'`"):
        rp.tl.assign(external, path, align="ot", **keys)


def test_the_shift_is_measured_from_statistics(target, external, keys, tmp_path):
    path = write(target, tmp_path / "target.recipes.h5", keys)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.assign(external, path, **keys)
    shift = report(external)["shift"]
    assert list(shift.index) == ["healthy", "disease"]
    assert (shift["p_value"] > 0.01).all()
    assert shift["n_patients"].tolist() == shift["n_reference_patients"].tolist() == [4, 4]
    cohorts = [adata[adata.obs["label"] == "healthy"] for adata in (external, target)]
    scale = np.sqrt(np.mean([cohort.obsm["X_pca"].var(axis=0) for cohort in cohorts], axis=0))
    tables = [pd.DataFrame(c.obsm["X_pca"] / scale).groupby(c.obs["patient"].to_numpy()).mean() for c in cohorts]
    distance = np.square(tables[0].mean() - tables[1].mean()).sum()
    noise = sum(table.var().sum() / len(table) for table in tables)
    assert shift.loc["healthy", "mmd"] == pytest.approx(distance - noise, abs=0.02)


def test_a_small_shift_that_the_mixture_covers_warns_by_its_means(plain, keys, tmp_path):
    donors = plain.obs["patient"].cat.categories
    both = plain.copy()
    both.obs["label"] = "healthy"
    first = both.obs["patient"].isin(donors[::2]).to_numpy()
    reference, data = both[first].copy(), both[~first].copy()
    rp.tl.gmm(reference, 6)
    path = write(reference, tmp_path / "reference.recipes.h5", keys)
    X = data.obsm["X_pca"]
    data.obsm["X_pca"] = X.mean(axis=0) + 0.7 * (X - X.mean(axis=0)) + 0.25 * X.std(axis=0)
    with pytest.warns(UserWarning, match="The cells of 'healthy' differ .*by the spread of the patients.*'moments'"):
        rp.tl.assign(data, path, **keys)
    assert report(data)["coverage"] > 0.9
    with pytest.warns(UserWarning, match="by the spread of the donors"):
        rp.tl.assign(data, path, **keys, donor_key="patient")
