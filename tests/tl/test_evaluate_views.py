from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

QUICK = {
    "label_key": "kind",
    "n_seeds": 2,
    "progress": False,
    "encoder": {"dim": 4, "width": 8, "projection": 8, "n_steps": 2, "evaluate_every": 1, "validation_fraction": 0.0},
}


@pytest.fixture
def mdata():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    b = 3 * np.eye(3)[y] + 0.3 * rng.standard_normal((120, 3))
    a = np.column_stack([b, 4 * rng.standard_normal((120, 5))]).astype(np.float32)
    rna = ad.AnnData(a, obs=pd.DataFrame(index=[f"cell{i}" for i in range(120)]))
    rna.obs["kind"] = pd.Categorical(np.array(["x", "y", "z"])[y])
    rna.obs["patient"] = pd.Categorical([f"p{i // 6}" for i in range(120)])
    rna.obs["train"] = np.arange(120) < 80
    rna.obsm["X_protein_synthetic"] = b.astype(np.float32)
    protein = ad.AnnData(b[:100].astype(np.float32), obs=pd.DataFrame(index=rna.obs_names[:100]))
    return md.MuData({"rna": rna, "protein": protein})


@pytest.fixture
def comparisons(monkeypatch):
    """What was handed to the comparison, seed by seed."""
    calls = []
    compare = rp.views.compare_arms

    def note(comparison, **kwargs):
        calls.append((comparison, kwargs))
        return compare(comparison, **kwargs)

    monkeypatch.setattr(rp.views, "compare_arms", note)
    return calls


def test_all_arms_are_measured_and_stored(mdata, tmp_path, same_content):
    frame = rp.tl.evaluate_views(
        mdata,
        "rna",
        "protein",
        pairs="obs_names",
        n_pairs=20,
        mask_obs="train",
        **QUICK | {"n_seeds": 1, "budgets": (1.0,)},
    )
    assert list(frame.columns) == ["arm", "seed", "metric", "value"]
    assert len(frame) == len(rp.views.ARMS) * 3
    assert frame["value"].between(0, 1).all()
    errors = frame[frame["metric"] == "knn"].groupby("arm")["value"].mean()
    assert errors["translation"] == 0
    assert errors["random"] > 0
    entry = mdata.uns["views"]
    pd.testing.assert_frame_equal(entry["results"].reset_index(drop=True), frame)
    pd.testing.assert_frame_equal(entry["ratios"].reset_index(drop=True), rp.views.error_ratios(frame))
    mdata.write_h5mu(tmp_path / "data.h5mu")
    same_content(md.read_h5mu(tmp_path / "data.h5mu"), mdata)


def test_a_map_says_what_to_take_and_how_certainly(mdata, tmp_path, same_content):
    frame = rp.tl.evaluate_views(
        mdata,
        "rna",
        "protein",
        scenario="map",
        pairs="obs_names",
        n_pairs=[10, 40],
        n_labels=[9, 30],
        mask_obs="train",
        **QUICK | {"budgets": (1.0,)},
    )
    assert list(frame.columns) == ["arm", "seed", "metric", "value"]
    assert {"raw", "single", "spi", "translation", "shuffled", "authentic_10", "authentic_40", "authentic_all"} == set(
        frame["arm"]
    )
    assert set(frame["metric"]) == {"linear", "linear_9", "linear_30"}
    entry = mdata.uns["views"]
    assert frame.attrs["sentence"] == entry["sentence"]
    # All read these kinds without an error, so that the simplest is taken.
    assert entry["sentence"].startswith("With 9 labels: Take 'raw'")
    advice = entry["advice"]
    assert set(advice["take"]) == {"raw"}
    of_raw = advice[(advice["arm"] == "raw") & (advice["metric"] == "linear_9")].iloc[0]
    errors = frame[frame["metric"] == "linear_9"].pivot_table(index="seed", columns="arm", values="value")
    assert of_raw["error"] == pytest.approx(errors["raw"].mean())
    mdata.write_h5mu(tmp_path / "data.h5mu")
    same_content(md.read_h5mu(tmp_path / "data.h5mu"), mdata)


def test_masks_split_once_and_random_splits_differ_by_seed(mdata, comparisons):
    arms = {"arms": ["raw"], **QUICK}
    rp.tl.evaluate_views(mdata, "rna", "protein", mask_obs="train", **arms)
    rp.tl.evaluate_views(mdata, "rna", "protein", patient_key="patient", test_fraction=0.25, **arms)
    masked, split = comparisons[:2], comparisons[2:]
    for comparison, _ in masked:
        np.testing.assert_array_equal(comparison.training.rows, mdata["rna"].X[:80])
        np.testing.assert_array_equal(comparison.test.rows, mdata["rna"].X[80:])
    assert not np.array_equal(split[0][0].test.rows, split[1][0].test.rows)
    place = {row.tobytes(): i for i, row in enumerate(mdata["rna"].X)}
    for comparison, kwargs in split:
        tested = {place[row.tobytes()] // 6 for row in comparison.test.rows}
        trained = {place[row.tobytes()] // 6 for row in comparison.training.rows}
        assert len(tested) == 5
        assert not tested & trained
        assert kwargs["random_state"] in (0, 1)


def test_pairs_are_of_the_training_rows(mdata, comparisons):
    rp.tl.evaluate_views(mdata, "rna", "protein", mask_obs="train", pairs="obs_names", **QUICK | {"arms": ["raw"]})
    table = np.array([[90, 0], [70, 5], [3, 9]])
    rp.tl.evaluate_views(mdata, "rna", "protein", mask_obs="train", pairs=table, **QUICK | {"arms": ["raw"]})
    for comparison, _ in comparisons[:2]:
        assert sorted(comparison.paired) == list(range(80))
        np.testing.assert_array_equal(comparison.authentic, mdata["protein"].X[comparison.paired])
    np.testing.assert_array_equal(comparisons[2][0].paired, [70, 3])
    np.testing.assert_array_equal(comparisons[2][0].authentic, mdata["protein"].X[[5, 9]])


def test_observations_without_a_label_are_not_tested_on(mdata, comparisons):
    mdata["rna"].obs.loc[mdata["rna"].obs_names[70:90], "kind"] = np.nan
    rp.tl.evaluate_views(mdata, "rna", "protein", mask_obs="train", **QUICK | {"arms": ["raw"]})
    comparison = comparisons[0][0]
    assert len(comparison.test.rows) == 30
    assert comparison.training.labelled.sum() == 70


def test_a_translator_for_every_seed(mdata, comparisons):
    class Constant:
        source_names_ = target_names_ = source_steps_ = target_steps_ = None

        def __init__(self, factor):
            self.factor = factor

        def predict_features(self, rows):
            return self.factor * rows[:, :2]

    rp.tl.evaluate_views(
        mdata, "rna", "protein", translator=[Constant(1), Constant(5)], mask_obs="train", **QUICK | {"arms": ["raw"]}
    )
    for (comparison, _), factor in zip(comparisons, (1, 5), strict=True):
        np.testing.assert_array_equal(comparison.test.synthetic, factor * mdata["rna"].X[80:, :2])


def test_copy_touches_nothing(mdata, untouched):
    with untouched(mdata):
        frame, written = rp.tl.evaluate_views(mdata, "rna", "protein", copy=True, **QUICK | {"arms": ["raw"]})
    assert len(written.uns["views"]["results"]) == len(frame)
    assert "ratios" not in written.uns["views"]


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (KeyError, "`label_key`: no column 'gate'", {"label_key": "gate"}),
        (ValueError, "`label_key`: 'one' has fewer than two classes", {"label_key": "one"}),
        (ValueError, "`arms` is one of", {"arms": ["magic"]}),
        (KeyError, "no 'X_other' in `obsm`", {"synthetic_key": "X_other"}),
        (ValueError, "a label of the latter", {"mask_obs": np.ones(120, dtype=bool)}),
        (ValueError, "`n_pairs` is an integer of 2 or more", {"n_pairs": 1}),
        (ValueError, "`n_seeds`", {"n_seeds": 0}),
        (ValueError, "`scenario` is one of", {"scenario": "atlas"}),
        (ValueError, "a map has its own arms", {"scenario": "map"}),
        (ValueError, "several numbers are for `scenario='map'`", {"n_labels": [10, 20]}),
        (ValueError, "`n_pairs` is empty", {"n_pairs": []}),
        (ValueError, "`test_fraction`", {"test_fraction": 0}),
        (ValueError, "NaN or infinity", {"primary_rep": "missing"}),
        (ValueError, "'rna' is the primary modality itself", {"privileged": "rna"}),
    ],
)
def test_bad_input_leaves_the_object_as_it_was(mdata, untouched, error, match, arguments):
    mdata["rna"].obs["one"] = pd.Categorical(["same"] * 120)
    mdata["rna"].obsm["missing"] = np.full((120, 3), np.nan)
    settings = {"primary": "rna", "privileged": "protein", **QUICK, "arms": ["single"], **arguments}
    with untouched(mdata), pytest.raises(error, match=match):
        rp.tl.evaluate_views(mdata, **settings)


def test_an_arm_is_named_once(mdata, untouched):
    with untouched(mdata), pytest.raises(ValueError, match="`arms` names some more than once"):
        rp.tl.evaluate_views(mdata, "rna", "protein", arms=["synthetic", "raw", "synthetic"], **QUICK)


def test_arms_that_all_lack_pairs_are_refused(mdata):
    with pytest.raises(ValueError, match=r"`arms`: \['authentic_all'\] learn from measured pairs"):
        rp.tl.evaluate_views(mdata, "rna", "protein", mask_obs="train", arms=["authentic_all"], **QUICK)
    assert "views" not in mdata.uns
