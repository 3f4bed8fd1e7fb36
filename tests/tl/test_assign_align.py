from __future__ import annotations

import warnings

import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp


def shifted(adata):
    rng = np.random.default_rng(0)
    moved = adata.copy()
    X = moved.obsm["X_pca"]
    moved.obsm["X_pca"] = X * rng.uniform(0.7, 1.4, X.shape[1]) + rng.normal(size=X.shape[1]) * X.std(axis=0)
    return moved


def report(adata, key="gmm"):
    return adata.uns[key]["reference"]


def test_unshifted_cohorts_do_not_warn_and_are_measured(target, external, keys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.assign(external, target, **keys)
    found = report(external)
    assert found["alignment"] == "raw"
    assert found["use_rep"] == "X_pca"
    assert found["quantiles"] == "held-out"
    assert found["coverage"] > 0.97
    assert list(found["shared_classes"]) == ["healthy", "disease"]
    shift = found["shift"]
    assert list(shift.index) == ["healthy", "disease"]
    assert (shift["p_value"] > 0.01).all()
    np.testing.assert_array_equal(shift["n_patients"], [4, 4])
    np.testing.assert_array_equal(shift["mmd"], shift["mmd_raw"])
    assert "X_pca_aligned" not in external.obsm


def test_shift_warns_and_says_what_to_do(target, external, keys):
    external = shifted(external)
    with pytest.warns(UserWarning, match="Only .*99%.*integrate them first") as caught:
        rp.tl.assign(external, target, **keys)
    assert "align='moments'" in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="pass `patient_key` and `label_key`"):
        rp.tl.assign(external, target)


def test_mmd_alone_fires_where_coverage_cannot(plain, keys):
    """Cells drawn together to where the reference is dense are covered, and yet not where they were."""
    donors = plain.obs["patient"].cat.categories
    both = plain.copy()
    # Sixteen patients of one class in each cohort: enough exchanges for a small p-value.
    both.obs["label"] = "healthy"
    first = both.obs["patient"].isin(donors[::2]).to_numpy()
    reference, data = both[first].copy(), both[~first].copy()
    rp.tl.gmm(reference, 6)
    data.obsm["X_pca"] = data.obsm["X_pca"].mean(axis=0) + 0.8 * (data.obsm["X_pca"] - data.obsm["X_pca"].mean(axis=0))
    with pytest.warns(UserWarning, match="The cells of 'healthy' differ .*MMD².*p = 0.00.*align='moments'"):
        rp.tl.assign(data, reference, **keys)
    assert report(data)["coverage"] > 0.95
    assert report(data)["shift"].loc["healthy", "p_value"] <= 0.01


def test_moments_undo_an_affine_shift(target, external, keys):
    moved = shifted(external)
    rp.tl.assign(external, target, align="moments", **keys)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.assign(moved, target, align="moments", **keys)
    np.testing.assert_allclose(moved.obsm["X_pca_aligned"], external.obsm["X_pca_aligned"], atol=1e-3)
    assert (moved.obs["gmm"].astype(str) == external.obs["gmm"].astype(str)).mean() > 0.999
    found = report(moved)
    assert found["use_rep"] == "X_pca_aligned"
    assert found["coverage"] > 0.97 > 0.5 > found["coverage_raw"]
    assert (found["shift"]["mmd"] < 0.01).all()
    assert (found["shift"]["mmd_raw"] > 0.05).all()
    by_hand = moved.obsm["X_pca"] @ found["matrix"].T + found["offset"]
    np.testing.assert_allclose(moved.obsm["X_pca_aligned"], by_hand, atol=1e-4)
    assert moved.obsm["X_pca_aligned"].dtype == moved.obsm["X_pca"].dtype
    assert moved.uns["gmm"]["params"]["use_rep"] == "X_pca"


def test_aligned_on_one_of_the_classes(target, external, keys):
    moved = shifted(external)
    healthy = target[target.obs["label"] == "healthy"].copy()
    rp.tl.gmm(healthy, 6)
    rp.tl.assign(moved, healthy, align="moments", **keys)
    assert list(report(moved)["shared_classes"]) == ["healthy"]
    again = rp.tl.assign(shifted(external), target, align="moments", shared_classes=["healthy"], **keys, copy=True)
    np.testing.assert_allclose(moved.obsm["X_pca_aligned"], again.obsm["X_pca_aligned"], atol=1e-4)


def test_optimal_transport(target, external, keys):
    pytest.importorskip("ot")
    moved = shifted(external)
    rp.tl.assign(moved, target, align="ot", **keys)
    found = report(moved)
    assert found["alignment"] == "ot"
    assert found["coverage"] > 0.97
    assert (found["shift"]["mmd"] < 0.01).all()
    assert "matrix" not in found
    again = rp.tl.assign(shifted(external), target, align="ot", **keys, copy=True)
    np.testing.assert_array_equal(again.obsm["X_pca_aligned"], moved.obsm["X_pca_aligned"])


def test_mask_keeps_test_patients_out_of_the_map(target, external, keys):
    moved = shifted(external)
    train = ~moved.obs["patient"].isin(moved.obs["patient"].cat.categories[:2]).to_numpy()
    moved.obs["train"] = train
    rp.tl.assign(moved, target, align="moments", mask_obs="train", **keys)
    changed = shifted(external)
    changed.obsm["X_pca"][~train] *= 7
    changed.obs["train"] = train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.assign(changed, target, align="moments", mask_obs="train", **keys)
    np.testing.assert_array_equal(report(moved)["matrix"], report(changed)["matrix"])
    np.testing.assert_array_equal(moved.obsm["X_pca_aligned"][train], changed.obsm["X_pca_aligned"][train])


def test_mask_of_the_reference_is_that_of_its_mixture(target, external, keys):
    train = target.obs["patient"].isin(target.obs["patient"].unique()[2:]).to_numpy()
    target.obs["train"] = train
    rp.tl.gmm(target, 6, mask_obs="train")
    first = rp.tl.assign(external, target, align="moments", **keys, copy=True)
    target.obsm["X_pca"][~train] += 50
    second = rp.tl.assign(external, target, align="moments", **keys, copy=True)
    np.testing.assert_array_equal(report(first)["matrix"], report(second)["matrix"])
    assert report(first)["coverage"] == report(second)["coverage"]
    rp.tl.gmm(target, 6, mask_obs=train)
    with pytest.raises(ValueError, match="`reference_mask_obs`.*not stored"):
        rp.tl.assign(external, target, align="moments", **keys)
    third = rp.tl.assign(external, target, align="moments", reference_mask_obs=train, **keys, copy=True)
    np.testing.assert_array_equal(report(first)["matrix"], report(third)["matrix"])


def test_other_names_of_columns(target, external, keys):
    target.obs = target.obs.rename(columns={"patient": "case", "label": "diagnosis"})
    names = {"reference_patient_key": "case", "reference_label_key": "diagnosis"}
    rp.tl.assign(external, target, align="moments", **keys, **names)
    with pytest.raises(KeyError, match="no column 'patient'"):
        rp.tl.assign(external, target, **keys)


@pytest.mark.parametrize(("align", "storage"), [("raw", "h5ad"), ("moments", "h5ad"), ("moments", "zarr")])
def test_round_trip(target, external, keys, align, storage, read_back, same_content):
    external = external[:, :5].copy()
    rp.tl.assign(external, target, align=align, **keys, key_added="other")
    if align == "moments":
        assert "X_pca_aligned_other" in external.obsm
    again = read_back(external, storage)
    same_content(again, external)
    # What was aligned to one cohort serves another as its reference.
    rp.tl.assign(target, again, reference_key="other", align="moments", **keys, key_added="back")
    assert report(target, "back")["coverage"] > 0.95


def test_errors_leave_the_object_alone(target, external, keys, untouched):
    with untouched(external):
        with pytest.raises(ValueError, match="`align` is one of"):
            rp.tl.assign(external, target, align="mnn", **keys)
        with pytest.raises(ValueError, match="pass `patient_key` and `label_key`"):
            rp.tl.assign(external, target, align="moments")
        with pytest.raises(ValueError, match="`patient_key` is needed beside `label_key`"):
            rp.tl.assign(external, target, label_key="label")
        with pytest.raises(ValueError, match=r"`shared_classes`: \['flu'\] are not in both"):
            rp.tl.assign(external, target, align="moments", shared_classes=["healthy", "flu"], **keys)
        with pytest.raises(TypeError, match="not the string 'healthy'"):
            rp.tl.assign(external, target, shared_classes="healthy", **keys)
        with pytest.raises(ValueError, match="moments in each class"):
            rp.tl.assign(external, target.uns["gmm"], align="moments", **keys)
        with pytest.raises(KeyError, match="nobody"):
            rp.tl.assign(external, target, patient_key="nobody", label_key="label")
        target.obs["label"] = target.obs["label"].astype(str) + " there"
        with pytest.raises(ValueError, match="a class that both cohorts have.*'healthy'.*'healthy there'"):
            rp.tl.assign(external, target, align="moments", **keys)
    rp.tl.assign(external, target, **keys)
    assert "shift" not in report(external)


def test_one_patient_is_no_test_and_says_so(target, external, keys):
    one = target[target.obs["patient"] == target.obs["patient"].iloc[0]].copy()
    rp.tl.gmm(one, 2)
    found = report(rp.tl.assign(external, one, **keys, copy=True))
    assert found["quantiles"] == "in-sample"
    assert "shift" not in found


def test_patients_alone_hold_out_the_quantiles(target, external):
    with_patients = rp.tl.assign(external, target, patient_key="patient", copy=True)
    assert report(with_patients)["quantiles"] == "held-out"
    without = rp.tl.assign(external, target, copy=True)
    assert report(without)["quantiles"] == "in-sample"
    assert report(with_patients)["coverage"] >= report(without)["coverage"]


def test_same_seed_same_results(target, external, keys):
    first, second = (rp.tl.assign(external, target, **keys, copy=True) for _ in range(2))
    pd.testing.assert_frame_equal(report(first)["shift"], report(second)["shift"])


def test_embedding_that_is_not_in_memory(target, external, keys):
    da = pytest.importorskip("dask.array")
    inside = rp.tl.assign(shifted(external), target, align="moments", **keys, copy=True)
    lazy, lazy_target = shifted(external), target.copy()
    for adata in (lazy, lazy_target):
        adata.obsm["X_pca"] = da.from_array(adata.obsm["X_pca"], chunks=(100, 10))
    rp.tl.assign(lazy, lazy_target, align="moments", **keys)
    np.testing.assert_allclose(lazy.obsm["X_pca_aligned"], inside.obsm["X_pca_aligned"], atol=1e-5)
    np.testing.assert_allclose(report(lazy)["shift"]["mmd"], report(inside)["shift"]["mmd"], atol=1e-6)


def test_mudata(target, external, keys):
    mudata = md.MuData({"rna": shifted(external)})
    mudata.obs[["patient", "label"]] = external.obs[["patient", "label"]]
    rp.tl.assign(mudata, target, use_rep="rna:X_pca", align="moments", **keys)
    assert report(mudata)["use_rep"] == "rna_X_pca_aligned"
    alone = rp.tl.assign(shifted(external), target, align="moments", **keys, copy=True)
    np.testing.assert_array_equal(mudata.obsm["rna_X_pca_aligned"], alone.obsm["X_pca_aligned"])
