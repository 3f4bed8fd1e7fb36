"""Contributions sum to the score, and components have names that every figure and table uses."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import repatient as rp

MODELS = {"linear": "mean", "attention": rp.mil.Attention(n_steps=5), "auto": "auto"}


@pytest.mark.parametrize("model", MODELS)
def test_contributions_sum_to_the_score(plain, keys, model):
    rp.tl.gmm(plain, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = rp.tl.mil(plain, **keys, model=MODELS[model])
    new, _ = rp.datasets.pbmc_cohort(n_patients=3, n_cells=60, random_state=3)
    new.obsm["X_pca"] = new.obsm["X_pca"][:, :10].copy()
    new.obs["patient"] = new.obs["patient"].astype(str) + "/new"
    rp.tl.name_components(plain, list("abcde"))
    rp.tl.assign(new, plain)
    rp.tl.explain(new, fitted)
    assert new.uns["explanation"]["components"].columns.tolist() == list("abcde")
    entry = new.uns["explanation"]
    codes = new.obs["patient"].astype("category").cat.codes.to_numpy()
    bags = rp.mil.Bags.from_codes(np.asarray(new.obsm["X_pca"]), codes, 6)
    np.testing.assert_allclose(entry["scores"]["score"], fitted.classifier.decision_function(bags)[:, -1], rtol=1e-5)
    total = entry["components"].sum(axis=1) + entry["scores"]["intercept"]
    np.testing.assert_allclose(total, entry["scores"]["score"], rtol=1e-4, atol=1e-5)
    by_hand = new.obs.groupby("patient")["explanation_contribution"].sum()
    np.testing.assert_allclose(by_hand, entry["components"].sum(axis=1), rtol=1e-3, atol=1e-4)
    rp.tl.explain(new, fitted, of="disease", by="state", key_added="other")
    other = new.uns["other"]
    assert set(other["scores"]["of"]) == {"disease"}
    np.testing.assert_allclose(
        other["components"].sum(axis=1) + other["scores"]["intercept"], other["scores"]["score"], rtol=1e-4, atol=1e-5
    )


def test_of_training_patients_they_are_those_of_mil(plain, keys, read_back):
    plain = plain[:, :5].copy()
    rp.tl.gmm(plain, 4)
    model = rp.tl.mil(plain, **keys, model="mean")
    rp.tl.explain(plain, model)
    np.testing.assert_allclose(plain.obs["explanation_contribution"], plain.obs["mil_contribution"], rtol=1e-5)
    for form in ("h5ad", "zarr"):
        back = read_back(plain, form)
        pd.testing.assert_frame_equal(
            back.uns["explanation"]["components"], plain.uns["explanation"]["components"], check_names=False
        )


def test_bad_input_of_explain(plain, keys, untouched):
    model = rp.tl.mil(plain, **keys, model="mean")
    rp.tl.gmm(plain, 3)
    with untouched(plain):
        with pytest.raises(TypeError, match="`model`"):
            rp.tl.explain(plain, "mean")
        with pytest.raises(ValueError, match="`of`"):
            rp.tl.explain(plain, model, of="well")
        with pytest.raises(KeyError, match="`by`"):
            rp.tl.explain(plain, model, by="type")
        with pytest.raises(KeyError, match="`gmm_key`"):
            rp.tl.explain(plain, model, gmm_key="other")


def test_names_by_markers_by_column_and_given(plain, untouched):
    rp.tl.gmm(plain, 5)
    expected = plain.copy()
    sc.tl.rank_genes_groups(expected, "gmm", n_genes=1)
    best = expected.uns["rank_genes_groups"]["names"]
    rp.tl.name_components(plain, n_markers=1)
    assert [name.split("+")[0] for name in plain.uns["gmm"]["names"]] == [best[str(k)][0] for k in range(5)]
    rp.tl.name_components(plain, "state")
    most = pd.crosstab(plain.obs["gmm"], plain.obs["state"]).idxmax(axis=1)
    names = plain.uns["gmm"]["names"]
    assert len(set(names)) == 5
    assert all(name.startswith(first) for name, first in zip(names, most, strict=True))
    rp.tl.name_components(plain, {"1": "one"})
    assert plain.uns["gmm"]["names"].tolist() == [names[0], "one", *names[2:]]
    with untouched(plain):
        with pytest.raises(ValueError, match="`by`"):
            rp.tl.name_components(plain, ["a", "b"])
        with pytest.raises(ValueError, match="`by`"):
            rp.tl.name_components(plain, {"9": "nine"})
        with pytest.raises(KeyError, match="`by`"):
            rp.tl.name_components(plain, "type")
        with pytest.raises(TypeError, match="`by`"):
            rp.tl.name_components(plain, 3)


@pytest.fixture(scope="module")
def named(_plain):
    adata = _plain.copy()
    keys = {"patient_key": "patient", "label_key": "label"}
    rp.tl.gmm(adata, 4)
    rp.tl.recipes(adata, **keys)
    rp.tl.compare_recipes(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = rp.tl.mil(adata, **keys, model=rp.mil.Attention(n_steps=5))
    rp.tl.name_components(adata, ["cost $5", "T", "B/NK", "d"])
    rp.tl.explain(adata, model)
    adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 1000, (adata.n_obs, 2))
    adata.obs["slide"] = np.where(np.arange(adata.n_obs) % 2, "left", "right")
    return adata


FIGURES = {
    **{
        kind: lambda adata, kind=kind: rp.pl.recipes(adata, kind=kind)
        for kind in ("bars", "stacked", "heatmap", "dots", "difference")
    },
    "compare": lambda adata: rp.pl.compare_recipes(adata),
    "embedding": lambda adata: rp.pl.embedding(adata),
    "attention": lambda adata: rp.pl.attention(adata, "patient_003"),
    "attention on slides": lambda adata: rp.pl.attention(adata, "patient_003", basis="spatial"),
    "contributions": lambda adata: rp.pl.contributions(adata, "patient_003"),
}


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_write_the_names(named, figure):
    ax = FIGURES[figure](named)
    ax.figure.canvas.draw()
    texts = {
        text.get_text()
        for axes in ax.figure.axes
        for text in [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    }
    assert {r"cost \$5", "T"} <= texts or "cost \\$5" in texts
    assert "1" not in texts
    plt.close(ax.figure)


def test_tables_write_the_names(named, tmp_path):
    assert rp.get.compositions(named).columns.tolist() == ["cost $5", "T", "B/NK", "d"]
    assert rp.get.recipes(named)["name"].tolist()[:4] == ["cost $5", "T", "B/NK", "d"]
    assert rp.tl.compare_recipes(named, n_draws=100, key_added="again")["name"].tolist()[:4] == [
        "cost $5",
        "T",
        "B/NK",
        "d",
    ]
    rp.tl.generate(named, 4, key_added="made")
    assert rp.tl.audit(named, generated_key="made")["worst_component"].isin(["cost $5", "T", "B/NK", "d"]).all()
    rp.io.export_recipes(named, tmp_path / "recipes")
    table = pd.read_csv(tmp_path / "recipes" / "components.csv", keep_default_na=False)
    assert table["name"].tolist() == ["cost $5", "T", "B/NK", "d"]
    assert named.uns["explanation"]["components"].columns.tolist() == ["cost $5", "T", "B|NK", "d"]


def test_a_waterfall_leads_from_the_intercept_to_the_score(named):
    entry = named.uns["explanation"]
    ax = rp.pl.contributions(named, "patient_003", n_components=2)
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(sum(widths[:-1]), widths[-1], rtol=1e-4)
    np.testing.assert_allclose(widths[-1], entry["scores"].loc["patient_003", "score"], rtol=1e-5)
    assert len(widths) == 5
    plt.close(ax.figure)
    with pytest.raises(KeyError, match="`patient`"):
        rp.pl.contributions(named, "nobody")
    with pytest.raises(ValueError, match="`kind`"):
        rp.pl.contributions(named, "patient_003", kind="pie")


@pytest.mark.parametrize("basis", ["umap", "spatial"])
def test_contributions_on_a_map_and_on_slides(named, basis):
    ax = rp.pl.contributions(named, "patient_003", kind="map", basis=basis)
    own = (named.obs["patient"] == "patient_003").to_numpy()
    drawn = ax.collections[-1]
    assert len(drawn.get_offsets()) == own.sum()
    np.testing.assert_allclose(np.sort(drawn.get_array()), np.sort(named.obs["explanation_contribution"][own]))
    assert (ax.get_aspect() == 1.0) == (basis == "spatial")
    if basis == "spatial":
        # Two slides, side by side.
        first = (named.obs["slide"] == named.obs["slide"][own].iloc[0]).to_numpy()[own]
        order = np.argsort(np.abs(named.obs["explanation_contribution"][own].to_numpy()), kind="stable")
        x = np.asarray(drawn.get_offsets())[:, 0]
        assert x[first[order]].max() < x[~first[order]].min()
        assert ax.yaxis_inverted()
    plt.close(ax.figure)


@pytest.mark.parametrize("model", ["auto", "mean", "attention"])
def test_models_that_were_trained_with_a_reference_are_explained(model, plain, keys):
    there, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60, random_state=5)
    there.obsm["X_pca"] = there.obsm["X_pca"][:, :10].copy()
    sick = plain[plain.obs["label"] == "disease"].copy()
    rp.tl.gmm(there, 4)
    rp.tl.name_components(there, list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"n_steps": 5} if model == "attention" else {}
        fitted = rp.tl.mil(sick, **keys, reference=there, model=model, **settings)
        rp.tl.assign(plain, there)
        rp.tl.explain(plain, fitted, check="none")
    entry = plain.uns["explanation"]
    assert entry["components"].columns.tolist() == list("abcd")
    total = entry["components"].sum(axis=1) + entry["scores"]["intercept"]
    np.testing.assert_allclose(total, entry["scores"]["score"], rtol=1e-4, atol=1e-5)
    labels = plain.obs.groupby("patient", observed=True)["label"].first().astype(str).reindex(entry["scores"].index)
    score = entry["scores"]["score"] * np.where(entry["scores"]["of"] == "healthy", 1, -1)
    assert score[labels == "healthy"].mean() > score[labels == "disease"].mean()
