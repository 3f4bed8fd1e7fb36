"""Features of the same name, and views that hold no numbers, in functions of two modalities."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

SETTINGS = {"settings": {"hidden": 4, "n_neighbors": 3}, "n_steps": 2, "progress": False, "device": "cpu"}
ENCODER = {"dim": 2, "n_steps": 2, "encoder": {"width": 4, "projection": 4}, "progress": False, "device": "cpu"}


@pytest.fixture
def both():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"kind": ["a", "b"] * 20}, index=[f"cell{i}" for i in range(40)])
    rna, protein = (ad.AnnData(rng.standard_normal((40, 4)).astype(np.float32), obs=obs.copy()) for _ in range(2))
    rna.var_names = protein.var_names = ["A", "B", "B", "C"]
    return rna, protein


def translate(both, **kwargs):
    return rp.tl.synthesize(both[0], "rna", "protein", target_data=both[1], **SETTINGS, **kwargs)


def test_a_link_of_a_name_that_is_there_twice_is_refused(both, untouched):
    translate(both, links={"A": ["A", "C"]})
    message = r"`links`: the target has several features called \['B'\]"
    with untouched(both[0]), pytest.raises(ValueError, match=message):
        translate(both, links={"A": "B"}, key_added="other")


def test_links_to_what_is_no_feature(both):
    with pytest.raises(KeyError, match=r"`links`: \['1.5'\] are no features of the target"):
        translate(both, links={"A": 1.5})


def test_names_that_are_there_twice_are_read_in_the_order_of_training_alone(both):
    rna, _ = both
    translator = translate(both, links={"A": "A"})
    encoder = rp.tl.distill(rna, "rna", "protein", branches=2, **ENCODER)
    expected = rna.obsm["X_protein_synthetic"].copy()
    rp.tl.synthesize(rna, "rna", "protein", translator=translator)
    np.testing.assert_array_equal(rna.obsm["X_protein_synthetic"], expected)
    np.testing.assert_array_equal(encoder.embed(rna), rna.obsm["X_spi"])
    shuffled = rna[:, ::-1].copy()
    for read in (
        lambda data: rp.tl.synthesize(data, "rna", "protein", translator=translator),
        lambda data: encoder.embed(data),
    ):
        with pytest.raises(ValueError, match=r"`data`: its features are not those of training.*\['B'\]"):
            read(shuffled)


def test_nothing_to_transport_by(both, untouched):
    for adata in both:
        adata.X[:, 0] = 0.1
    with untouched(both[0]), pytest.raises(ValueError, match="`links`: no linked feature varies"):
        translate(both, links={"A": "A"})


def test_a_view_of_truth_values_is_one_of_numbers(both):
    rna, _ = both
    rna.X = rna.X > 0
    rna.obsm["X_protein_synthetic"] = rna.X.astype(np.float32)
    options = {"label_key": "kind", "arms": ["raw", "translation"], "n_seeds": 1, "progress": False}
    frame = rp.tl.evaluate_views(rna, "rna", "protein", **options)
    table = frame.pivot(index="metric", columns="arm", values="value")
    np.testing.assert_array_equal(table["raw"], table["translation"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda rows: rows.astype(str), TypeError, "is of type <U.*real numbers"),
        (lambda rows: np.where(rows == rows[3], np.nan, rows), ValueError, "has NaN or infinity in 1 of 40"),
    ],
)
def test_a_view_is_named_by_its_argument(both, untouched, change, error, message):
    rna, _ = both
    rna.obsm["view"], rna.obsm["X_protein_synthetic"] = change(rna.X), rna.X
    message = f"`primary_rep`: the view 'view' {message}"
    with untouched(rna), pytest.raises(error, match=message):
        rp.tl.evaluate_views(rna, "rna", "protein", label_key="kind", primary_rep="view", arms=["raw"])
    with untouched(rna), pytest.raises(error, match=message):
        rp.tl.distill(rna, "rna", "protein", primary_rep="view", branches=2, **ENCODER)


def test_both_kinds_of_partners_are_of_one_view(both, untouched):
    rna, protein = both
    rna.var_names = protein.var_names = ["A", "B", "C", "D"]
    rna.obsm["X_protein_synthetic"] = protein.X.copy()
    protein.obsm["half"] = protein.X[:, :2].copy()
    data = md.MuData({"rna": rna, "protein": protein})
    options = {"partner": "both", "pairs": "obs_names", "branches": 2, **ENCODER}
    message = r"`partner='both'`: measured rows have shape \(2,\) and synthetic ones \(4,\)"
    with untouched(data), pytest.raises(ValueError, match=message):
        rp.tl.distill(data, "rna", "protein", privileged_rep="half", **options)
    rp.tl.distill(data, "rna", "protein", **options)
