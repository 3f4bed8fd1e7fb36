from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

QUICK = {
    "n_splits": 2,
    "n_steps": 5,
    "n_components": 3,
    "classifier": {"hidden": 8, "attention_hidden": 4},
    "progress": False,
}


@pytest.fixture
def two_cohorts(plain):
    """The cohort in two halves, by patients of each class."""
    patients = plain.obs.drop_duplicates("patient").set_index("patient")["label"].astype(str)
    second = patients.groupby(patients).cumcount() % 2 == 1
    plain.obs["site"] = np.where(plain.obs["patient"].astype(str).map(second), "B", "A")
    return plain


def test_it_returns_and_stores_a_tidy_frame(plain, keys):
    frame = rp.tl.evaluate(plain, **keys, methods=["none", "recipe"], **QUICK)
    assert list(frame.columns) == ["method", "split", "seed", "metric", "value"]
    assert len(frame) == 2 * 2 * len(rp.evaluation.METRICS)
    stored = plain.uns["evaluation"]
    pd.testing.assert_frame_equal(stored["results"].reset_index(drop=True), frame)
    params = stored["params"]
    assert params["scenario"] == "full"
    assert params["test_fraction"] == 0.25
    assert params["n_models"] == 1
    assert params["n_components"] == 3
    assert params["use_rep"] == "X_pca"
    assert dict(params["methods"]) == {"none": '{"method": "none"}', "recipe": '{"method": "recipe"}'}
    compared = rp.evaluation.compare(frame)
    assert list(compared.index) == ["none", "recipe"]


def test_the_same_seed_gives_the_same_frame(plain, keys):
    call = {**keys, "scenario": "low_data", "n_patients": 3, "methods": ["recipe"], **QUICK}
    first, second = rp.tl.evaluate(plain, **call), rp.tl.evaluate(plain, **call)
    pd.testing.assert_frame_equal(first, second)
    other = rp.tl.evaluate(plain, **call, random_state=1)
    assert not first["value"].equals(other["value"])
    assert set(first["seed"]).isdisjoint(other["seed"])


def test_what_is_stored_travels(plain, keys, same_content, read_back):
    plain = plain[:, :5].copy()
    methods = ["none", {"method": "alternating", "name": "in/turn", "of": ["recipe", "psemix"]}]
    rp.tl.evaluate(plain, **keys, scenario="low_data", n_patients=3, methods=methods, **QUICK)
    for form in ("h5ad", "zarr"):
        read = read_back(plain, form)
        same_content(plain, read)
        rp.pl.evaluation(read)


def test_two_cohorts_in_one_object_or_in_two(two_cohorts, keys):
    call = {**keys, "scenario": "missing_class", "missing_class": "disease", "methods": ["full", "recipe"], **QUICK}
    joint = rp.tl.evaluate(two_cohorts, **call, cohort_key="site", test_fraction=0.5)
    first, second = (two_cohorts[two_cohorts.obs["site"] == site].copy() for site in "AB")
    apart = rp.tl.evaluate(first, **call, reference=second, test_fraction=0.5)
    columns = ["method", "split", "seed", "metric"]
    pd.testing.assert_frame_equal(joint[columns], apart[columns])
    # Cells stand in another order, so sums differ in the last digits.
    np.testing.assert_allclose(joint["value"], apart["value"], atol=1e-4)
    swapped = rp.tl.evaluate(two_cohorts, **call, cohort_key="site", target="B", test_fraction=0.5)
    assert not np.allclose(swapped["value"], joint["value"])


def test_donors_stay_together(plain, keys, monkeypatch):
    import repatient.evaluation as room

    names = plain.obs["patient"].cat.categories
    plain.obs["person"] = plain.obs["patient"].map({name: f"person_{i // 2}" for i, name in enumerate(names)})
    seen = {}
    run = room.run
    monkeypatch.setattr(
        room, "run", lambda cohort, *args, **kwargs: (seen.update(c=cohort), run(cohort, *args, **kwargs))[1]
    )
    rp.tl.evaluate(plain, **keys, donor_key="person", methods=["size_only"], **QUICK)
    np.testing.assert_array_equal(seen["c"].donors, np.arange(16) // 2)


def test_patients_without_a_label_and_cells_outside_the_mask_are_left_out(plain, keys, monkeypatch):
    import repatient.evaluation as room

    unknown = plain.obs["patient"].cat.categories[0]
    plain.obs.loc[plain.obs["patient"] == unknown, "label"] = np.nan
    plain.obs["kept"] = np.arange(plain.n_obs) % 3 > 0
    seen = {}
    run = room.run
    monkeypatch.setattr(
        room, "run", lambda cohort, *args, **kwargs: (seen.update(c=cohort), run(cohort, *args, **kwargs))[1]
    )
    rp.tl.evaluate(plain, **keys, methods=["size_only"], mask_obs="kept", **QUICK)
    cohort = seen["c"]
    assert len(cohort.y) == 15
    inside = plain.obs["kept"].to_numpy() & (plain.obs["patient"] != unknown).to_numpy()
    np.testing.assert_array_equal(cohort.codes >= 0, inside)


def test_a_matrix_is_scaled_and_an_embedding_is_not(plain, keys, monkeypatch):
    import repatient.evaluation as room

    plans = []
    run = room.run
    monkeypatch.setattr(
        room, "run", lambda c, s, m, plan, **kwargs: (plans.append(plan), run(c, s, m, plan, **kwargs))[1]
    )
    features = ad.AnnData(plain.obsm["X_pca"], obs=plain.obs)
    rp.tl.evaluate(features, **keys, use_rep="X", methods=["size_only"], **QUICK)
    rp.tl.evaluate(plain, **keys, methods=["size_only"], **QUICK)
    assert [plan.scale for plan in plans] == [True, False]


def test_mudata(plain, keys):
    mdata = md.MuData({"rna": plain})
    mdata.obs["patient"], mdata.obs["label"] = plain.obs["patient"], plain.obs["label"]
    joint = rp.tl.evaluate(mdata, **keys, use_rep="rna:X_pca", methods=["none"], **QUICK)
    alone = rp.tl.evaluate(plain, **keys, methods=["none"], **QUICK)
    pd.testing.assert_frame_equal(joint, alone)
    assert "evaluation" in mdata.uns


def test_a_copy_and_another_key(plain, keys, untouched):
    with untouched(plain):
        frame, copy = rp.tl.evaluate(plain, **keys, methods=["none"], key_added="first", copy=True, **QUICK)
    pd.testing.assert_frame_equal(copy.uns["first"]["results"].reset_index(drop=True), frame)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scenario": "few"}, ValueError, "`scenario`"),
        ({"scenario": "low_data"}, TypeError, "`n_patients` is an integer of 1 or more, not None"),
        ({"scenario": "low_data", "n_patients": 99}, ValueError, "99 or more patients of it outside.*8, 8"),
        ({"n_patients": 3}, ValueError, "`n_patients`"),
        ({"missing_class": "disease"}, ValueError, "`missing_class` is for `scenario='missing_class'`, not 'full'"),
        ({"scenario": "missing_class"}, ValueError, "pass either `cohort_key`.* or `reference`"),
        (
            {"scenario": "missing_class", "cohort_key": "site", "missing_class": "ill"},
            ValueError,
            "`missing_class`",
        ),
        (
            {"scenario": "missing_class", "cohort_key": "place"},
            KeyError,
            "no column 'place' in `obs`; there are .*'site'",
        ),
        (
            {"scenario": "missing_class", "cohort_key": "site", "target": "C", "missing_class": "disease"},
            ValueError,
            r"no cohort 'C' in 'site'; there are \['A', 'B'\]",
        ),
        ({"methods": ["magic"]}, ValueError, "'magic'"),
        ({"label_key": "diagnosis"}, KeyError, "no column 'diagnosis'"),
        ({"use_rep": "X_umap2"}, KeyError, "no embedding 'X_umap2'; there are"),
        ({"n_splits": 1}, ValueError, "`n_splits` is an integer of 2 or more, not 1"),
        ({"n_models": 0}, ValueError, "`n_models` is an integer of 1 or more, not 0"),
        ({"test_fraction": 1}, ValueError, "`test_fraction` is a share below 1"),
        ({"n_components": 1}, ValueError, "`n_components` is an integer of 2 or more"),
        ({"classifier": {"depth": 3}}, ValueError, "depth"),
        ({"key_added": "a/b"}, ValueError, "without '/'"),
    ],
)
def test_errors_name_what_exists_and_change_nothing(two_cohorts, keys, untouched, change, error, message):
    with untouched(two_cohorts), pytest.raises(error, match=message):
        rp.tl.evaluate(two_cohorts, **(keys | {"methods": ["none"]} | QUICK | change))


def test_the_reference_must_fit(two_cohorts, keys):
    call = {**keys, "scenario": "missing_class", "missing_class": "disease", **QUICK}
    other = two_cohorts.copy()
    other.obsm["X_pca"] = other.obsm["X_pca"][:, :4].copy()
    with pytest.raises(ValueError, match="has 4 dimensions and that of `data` 10"):
        rp.tl.evaluate(two_cohorts, **call, reference=other)
    with pytest.raises(ValueError, match="all cells of 'site' are of one cohort"):
        rp.tl.evaluate(two_cohorts[two_cohorts.obs["site"] == "A"].copy(), **call, cohort_key="site")
    with pytest.raises(ValueError, match="two are needed"):
        rp.tl.evaluate(two_cohorts[two_cohorts.obs["label"] == "healthy"].copy(), **keys, **QUICK)


def test_the_melanoma_donor_trap(read_cohort, monkeypatch):
    import repatient.evaluation as room

    adata = read_cohort("melanoma_icb_scrna.h5ad")
    adata.obs["sample"] = adata.obs[["patient", "cohort", "label"]].astype(str).agg("|".join, axis=1)
    seen = {}
    run = room.run
    monkeypatch.setattr(
        room, "run", lambda cohort, *args, **kwargs: (seen.update(c=cohort), run(cohort, *args, **kwargs))[1]
    )
    rp.tl.evaluate(
        adata, patient_key="sample", label_key="label", donor_key="patient", methods=["size_only"], n_splits=40
    )
    cohort = seen["c"]
    mixed = [d for d in range(32) if len(set(cohort.y[cohort.donors == d])) == 2]
    assert len(mixed) == 4
    for fold in room.make_folds(cohort, room.Scenario(), n_splits=40, test_fraction=0.25, random_state=0):
        assert not set(cohort.donors[fold.train]) & set(cohort.donors[fold.test])
