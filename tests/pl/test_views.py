from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp

OPTIONS = {"n_steps": 2, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def _synthesized():
    rng = np.random.default_rng(0)
    kinds = rng.integers(3, size=90)
    latent = np.eye(3)[kinds] * 4 + rng.normal(size=(90, 3))
    parts = {}
    for name in ("rna", "prot"):
        adata = ad.AnnData(
            (latent + 0.1 * rng.normal(size=(90, 3))).astype(np.float32),
            obs=pd.DataFrame({"kind": pd.Categorical(np.array(["a", "b", "c"])[kinds])}),
            var=pd.DataFrame(index=[f"G{i}" for i in range(3)]),
        )
        adata.obsm["X_umap"] = latent[:, :2].astype(np.float32)
        adata.obsm["tiles"] = rng.random((90, 3 if name == "rna" else 1, 8, 8)).astype(np.float32)
        parts[name] = adata
    mdata = md.MuData(parts)
    rp.tl.synthesize(mdata, "rna", "prot", links="names", groupby="kind", evaluation_pairs="obs_names", **OPTIONS)
    translator = rp.tl.synthesize(
        mdata, "rna", "prot", source_rep="tiles", target_rep="tiles", key_added="images", **OPTIONS
    )
    return mdata, translator


@pytest.fixture
def synthesized(_synthesized):
    return _synthesized[0].copy(), _synthesized[1]


def axes_titled(figure, title):
    return [ax for ax in figure.axes if ax.get_title() == title]


def test_vectors_beside_their_nearest(synthesized, untouched):
    mdata, _ = synthesized
    with untouched(mdata):
        figure = rp.pl.views(mdata, "rna", "prot", n_examples=4).figure
    linked, made, nearest = (
        axes_titled(figure, title)[0].images[0].get_array()
        for title in ("linked in rna", "translated to prot", "nearest in prot")
    )
    assert linked.shape == made.shape == nearest.shape == (4, 3)
    rna, prot = mdata.mod["rna"], mdata.mod["prot"]
    standard = (prot.X - prot.X.mean(axis=0)) / prot.X.std(axis=0)
    translated = (rna.obsm["X_prot_synthetic"] - prot.X.mean(axis=0)) / prot.X.std(axis=0)
    rows = [int(np.abs(translated - row).sum(axis=1).argmin()) for row in made]
    for row, shown in zip(rows, nearest, strict=True):
        closest = ((standard - translated[row]) ** 2).sum(axis=1).argmin()
        np.testing.assert_allclose(shown, standard[closest], rtol=1e-4)


def test_maps_and_fidelity_by_group(synthesized):
    mdata, _ = synthesized
    figure = rp.pl.views(mdata, "rna", "prot").figure
    assert axes_titled(figure, "rna")
    target = axes_titled(figure, "prot, translated in colour")[0]
    assert [text.get_text() for text in target.get_legend().get_texts()] == ["a", "b", "c"]
    bars = figure.axes[-1]
    table = mdata.mod["rna"].uns["X_prot_synthetic"]["by_group"]
    widths = sorted(patch.get_width() for patch in bars.patches)
    np.testing.assert_allclose(widths, sorted([*table["foscttm"], *(1 - table["read_as_own"])]), atol=1e-12)
    assert [label.get_text() for label in bars.get_yticklabels()] == ["a", "b", "c"]


def test_errors_are_drawn_where_they_were_measured(synthesized):
    mdata, _ = synthesized
    results = pd.DataFrame(
        {
            "arm": ["single", "single", "synthetic", "synthetic"],
            "seed": [0, 1, 0, 1],
            "metric": ["knn"] * 4,
            "value": [0.4, 0.6, 0.1, 0.3],
        }
    )
    mdata.uns["views"] = {"results": results}
    ax = rp.pl.views(mdata, "rna", "prot", metric="knn").figure.axes[-1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["single", "synthetic"]
    np.testing.assert_allclose([patch.get_width() for patch in ax.patches], [0.5, 0.2])


def test_images_need_what_made_them(synthesized):
    mdata, translator = synthesized
    figure = rp.pl.views(mdata, "rna", "prot", translator=translator, synthetic_key="images", n_examples=3).figure
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(shown) == 9
    assert shown[0].shape == (8, 8, 3)
    assert shown[3].shape == (8, 8)
    with pytest.raises(ValueError, match="stored"):
        rp.pl.views(mdata, "rna", "prot", synthetic_key="images")


def test_what_is_missing_is_named(synthesized):
    mdata, _ = synthesized
    with pytest.raises(KeyError, match="'atac'"):
        rp.pl.views(mdata, "atac", "prot")
    with pytest.raises(KeyError, match=r"rp\.tl\.synthesize"):
        rp.pl.views(mdata, "prot", "rna")
    with pytest.raises(ValueError, match="`metric`"):
        rp.pl.views(mdata, "rna", "prot", metric="accuracy")
    with pytest.raises(ValueError, match="`target_data`"):
        rp.pl.views(mdata.mod["rna"], "rna", "prot")


def test_a_view_that_is_not_there(synthesized, untouched):
    mdata, translator = synthesized
    for argument in ("source_rep", "target_rep"):
        message = rf"`{argument}`: no view 'X_none'; there are \['X_umap', 'tiles'"
        with untouched(mdata), pytest.raises(KeyError, match=message):
            rp.pl.views(mdata, "rna", "prot", translator=translator, **{argument: "X_none"})
