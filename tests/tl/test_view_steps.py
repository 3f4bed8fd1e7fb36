"""Encoders and translators carry the steps to their view and the names of its features, also through files."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.tl import ViewEncoder
from repatient.views import Translator

OPTIONS = {"progress": False, "device": "cpu", "n_steps": 2}


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(120, 3))
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(120)])
    rna = ad.AnnData((hidden @ rng.normal(size=(3, 8)) + 0.1 * rng.normal(size=(120, 8))).astype(np.float32), obs=obs)
    protein = ad.AnnData((hidden @ rng.normal(size=(3, 4))).astype(np.float32), obs=obs.copy())
    rna.var_names, protein.var_names = [f"g{i}" for i in range(8)], list("ABCD")
    rp.pp.embed(rna, "features", n_components=3)
    rna.obsm["markers"] = pd.DataFrame(rna.X[:, :4], columns=rna.var_names[:4], index=rna.obs_names)
    return rna, protein


@pytest.fixture(scope="module", params=["X_embedded", "X", "markers"])
def fitted(request, both, tmp_path_factory):
    """A translator and an encoder of a view, as they were and from their folders."""
    rna, protein = both[0].copy(), both[1].copy()
    rep, folder = request.param, tmp_path_factory.mktemp("models")
    translator = rp.tl.synthesize(
        rna, "rna", "protein", target_data=protein, source_rep=rep, pairs="obs_names", generator="regression", **OPTIONS
    )
    encoder = rp.tl.distill(
        rna,
        "rna",
        "protein",
        primary_rep=rep,
        branches=2,
        carry=False,
        dim=2,
        encoder={"width": 4, "projection": 4},
        **OPTIONS,
    )
    translator.save(folder / "translator")
    encoder.save(folder / "encoder")
    return rna, rep, translator, Translator.load(folder / "translator"), ViewEncoder.load(folder / "encoder")


def of_view(rna, rep, names):
    """New cells with some measured features only."""
    new = rna[:, names].copy() if rep != "markers" else rna.copy()
    new.obsm.clear()
    new.uns.clear()
    if rep == "markers":
        new.obsm["markers"] = rna.obsm["markers"][[name for name in names if name in rna.obsm["markers"]]]
    return new


def test_the_view_is_found_in_any_order(fitted):
    rna, rep, translator, loaded, encoder = fitted
    new = of_view(rna, rep, list(rna.var_names[::-1]))
    np.testing.assert_allclose(encoder.embed(new), rna.obsm["X_spi"], atol=1e-4)
    for one in (translator, loaded):
        other = new.copy()
        rp.tl.synthesize(other, "rna", "protein", translator=one, source_rep=None if rep == "X" else rep)
        np.testing.assert_allclose(
            other.obsm["X_protein_synthetic"], rna.obsm["X_protein_synthetic"], atol=1e-4, rtol=1e-4
        )


def test_missing_features_are_named(fitted):
    rna, rep, _, loaded, encoder = fitted
    new = of_view(rna, rep, list(rna.var_names[2:]))
    for read in (
        encoder.embed,
        lambda data: rp.tl.synthesize(data, "rna", "protein", translator=loaded, source_rep=rep),
    ):
        with pytest.raises((KeyError, ValueError), match="'g0', 'g1'"):
            read(new)


@pytest.mark.parametrize("fitted", ["X", "markers"], indirect=True)
def test_partners_that_a_translator_makes_are_of_its_features(fitted):
    rna, rep, translator, _, _ = fitted
    options = {"primary_rep": rep, "translator": translator, "branches": 2, "dim": 2, **OPTIONS}
    new = of_view(rna, rep, list(rna.var_names[::-1]))
    short = of_view(rna, rep, list(rna.var_names[1:]))
    rp.tl.distill(new, "rna", "protein", encoder={"width": 4, "projection": 4}, **options)
    with pytest.raises(KeyError, match="'g0'"):
        rp.tl.distill(short, "rna", "protein", encoder={"width": 4, "projection": 4}, **options)


@pytest.mark.parametrize("fitted", ["X_embedded"], indirect=True)
def test_an_embedding_of_other_steps_is_refused(fitted, both):
    rna, _, translator, loaded, encoder = fitted
    fingerprint = rna.uns["embedding"]["params"]["fingerprint"]
    assert encoder.projection.fingerprint == fingerprint
    assert loaded.source_steps_[0]["kind"] == translator.source_steps_[0]["kind"] == "features"
    other = both[0][:60].copy()
    rp.pp.embed(other, "features", n_components=3)
    expected = encoder.embed(both[0])[:60]
    np.testing.assert_allclose(encoder.embed(other), expected, atol=1e-4)
    with pytest.raises(ValueError, match="other steps"):
        encoder.embed(other, use_rep="X_embedded")
    with pytest.raises(ValueError, match="other steps"):
        encoder.embed(other[:, :3].copy())
    brought = both[0][:60].copy()
    del brought.obsm["X_embedded"]
    rp.pp.project(brought, encoder)
    np.testing.assert_allclose(encoder.embed(brought[:, :2].copy()), expected, atol=1e-4)


@pytest.mark.parametrize("fitted", ["X_embedded"], indirect=True)
def test_what_the_folder_of_an_encoder_holds_is_checked(fitted, tmp_path):
    encoder, folder = fitted[4], tmp_path / "encoder"
    encoder.save(folder)
    arrays = (folder / "modality.npz").read_bytes()
    (folder / "modality.npz").write_bytes(arrays[:-1] + b"x")
    with pytest.raises(ValueError, match="damaged"):
        ViewEncoder.load(folder)
    (folder / "modality.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"modality\.npz"):
        ViewEncoder.load(folder)
    (folder / "modality.npz").write_bytes(arrays)
    assert ViewEncoder.load(folder).projection.fingerprint == encoder.projection.fingerprint
    entry = json.loads((folder / "modality.json").read_text())
    entry["projection"]["kind"] = "counts"
    (folder / "modality.json").write_text(json.dumps(entry))
    with pytest.raises(ValueError, match="checksum"):
        ViewEncoder.load(folder)
