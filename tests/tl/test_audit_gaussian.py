"""What an audit says of patients whose cells are points of Gaussians, beside those of real cells."""

from __future__ import annotations

import numpy as np
import pytest

import repatient as rp

OF_DONORS = ["donor_share_max", "donor_share_median", "effective_donors", "reidentification", "reidentification_chance"]
FAST = {"n_permutations": 19, "n_repeats": 1}


@pytest.fixture(scope="session")
def both(_plain):
    adata = _plain[:, :3].copy()
    labels = adata.obs.drop_duplicates("patient").set_index("patient")["label"].astype(str)
    adata.obs["train"] = adata.obs["patient"].isin(labels.groupby(labels).head(4).index)
    rp.tl.gmm(adata, 5, mask_obs="train")
    rp.tl.recipes(adata, patient_key="patient", label_key="label", mask_obs="train")
    rp.tl.generate(adata, 12)
    rp.tl.generate(adata, 12, draw="gaussian", key_added="points")
    rp.tl.audit(adata, **FAST)
    rp.tl.audit(adata, generated_key="points", key_added="audit_points", **FAST)
    return adata


def measures(adata, key):
    return adata.uns[key]["measures"]


def test_what_speaks_of_donors_is_missing_and_says_why(both):
    table = measures(both, "audit_points")
    assert table[OF_DONORS].isna().all(axis=None)
    assert table["notes"].str.contains("donor_share_max.*: points of Gaussians are of no donor").all()
    assert (table["repeated_cells"] == 0).all()
    others = table.select_dtypes("number").drop(columns=OF_DONORS)
    assert np.isfinite(others).all(axis=None)
    assert measures(both, "audit")[OF_DONORS].notna().all(axis=None)


def test_real_patients_are_the_same_and_points_are_further_from_anybody(both):
    cells, points = measures(both, "audit"), measures(both, "audit_points")
    for column in ("n_real", "n_generated", "reference", "component_auroc", "size_auroc_generated", "size_auroc_class"):
        assert (cells[column] == points[column]).all()
    assert (cells["nearest_cell_ratio"] == 0).all()
    assert (points["nearest_cell_ratio"] > 0.5).all()
    roles = both.uns["audit_points"]["patients"]["role"].value_counts()
    assert roles.to_dict() == {"generated": 24, "pool": 8, "held out": 8, "known": 0}


def test_means_of_points_are_those_of_their_patients(both):
    frame = both.uns["audit_points"]["patients"].query("role == 'generated'")
    points, table = both.uns["points"]["cells"], both.uns["points"]["patients"]
    np.testing.assert_array_equal(frame["n_cells"], table["n_cells"])
    means = (
        np.add.reduceat(points["embedding"].astype(np.float64), points["indptr"][:-1]) / frame[["n_cells"]].to_numpy()
    )
    # The axes are linear in the means.
    design = np.column_stack([means, np.ones(len(means))])
    for axis in ("axis_1", "axis_2"):
        _, residual, *_ = np.linalg.lstsq(design, frame[axis].to_numpy(), rcond=None)
        assert residual < 1e-6


def test_the_pool_of_a_mask_that_was_an_array_are_the_patients_learnt_from(both):
    adata = both.copy()
    mask = adata.obs.pop("train").to_numpy()
    rp.tl.recipes(adata, patient_key="patient", label_key="label", mask_obs=mask)
    rp.tl.generate(adata, 3, draw="gaussian", mask_obs=mask)
    rp.tl.audit(adata, **FAST)
    assert adata.uns["audit"]["patients"]["role"].value_counts()["pool"] == 8


@pytest.mark.parametrize("kind", ["all", "patients", "auroc", "variance", "shares", "nearest"])
def test_figures(both, kind):
    adata = both.copy()
    drawn = rp.pl.audit(adata, audit_key="audit_points", kind=kind)
    if kind == "shares":
        assert [text.xy[1] for text in drawn.texts if text.get_text() == "not measured"] == [0, 1]
    if kind == "nearest":
        places = [line.get_xdata()[0] for line in drawn.lines if line.get_marker() in {"o", "s"}]
        expected = measures(adata, "audit_points")[["nearest_patient_ratio", "nearest_cell_ratio"]].to_numpy().ravel()
        assert sorted(places) == sorted(expected)
        assert max(expected) < drawn.get_xlim()[1]
