from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import repatient as rp


def test_one_row_a_patient(held_out):
    """Every number is that of the rows of the patient, counted by hand."""
    rows = rp.get.out_of_fold(held_out, method="mean+recipe")
    table = rp.get.scores(held_out, "mean+recipe", interval=0.8)
    assert list(table.index) == sorted(rows["patient"].astype(str).unique())
    assert list(table.columns) == [
        *("label", "predicted", "n_splits", "share_correct"),
        *(f"{what}_{name}" for name in ("healthy", "disease") for what in ("probability", "lower", "upper")),
    ]
    for name, row in table.iterrows():
        own = rows[rows["patient"] == name]
        p = own["probability_disease"].to_numpy()
        assert row["n_splits"] == len(own)
        assert row["probability_disease"] == pytest.approx(p.mean())
        assert row["probability_healthy"] + row["probability_disease"] == pytest.approx(1)
        assert row["share_correct"] == pytest.approx(np.mean((p > 0.5) == (row["label"] == "disease")))
        assert row["predicted"] == ("disease" if p.mean() > 0.5 else "healthy")
        if len(p) > 1:
            np.testing.assert_allclose(
                row[["lower_disease", "upper_disease"]].astype(float), np.quantile(p, [0.1, 0.9])
            )


def test_one_split_has_no_interval(held_out):
    entry = held_out.uns["evaluation"]
    entry["predictions"] = entry["predictions"][entry["predictions"]["split"] == 0]
    table = rp.get.scores(held_out)
    assert (table["n_splits"] == 1).all()
    assert table[["lower_disease", "upper_disease"]].isna().all(axis=None)


def test_the_method_is_not_the_one_that_did_best(held_out):
    entry = held_out.uns["evaluation"]
    assert set(rp.get.out_of_fold(held_out)["method"]) == {"mean"}
    entry["params"]["baseline"] = "null"
    assert set(rp.get.out_of_fold(held_out)["method"]) == {"null"}
    entry["predictions"]["method"] = entry["predictions"]["method"].cat.rename_categories({"mean": "auto"})
    assert set(rp.get.out_of_fold(held_out)["method"]) == {"auto"}


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_after_a_round_trip(several_classes, read_back, kind):
    back = read_back(several_classes[:, :5].copy(), kind)
    pd.testing.assert_frame_equal(rp.get.scores(back), rp.get.scores(several_classes))
    assert "probability_mild|moderate and a name that goes on and on and on" in rp.get.scores(back)


def test_what_is_not_there_is_named(held_out):
    with pytest.raises(ValueError, match=r"`method`.*'mean\+recipe'.*'best'"):
        rp.get.scores(held_out, "best")
    with pytest.raises(ValueError, match="`interval`"):
        rp.get.scores(held_out, interval=90)
    del held_out.uns["evaluation"]["predictions"]
    with pytest.raises(KeyError, match="`evaluation_key`.*'predictions'"):
        rp.get.scores(held_out)
