"""Two random modalities: views are made, learnt from and measured, or a documented error says what is wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import mudata as md
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import repatient as rp

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
RNA, PROTEIN = "rna", "protéine"
KEY = f"X_{PROTEIN}_synthetic"
QUIET = {"device": "cpu", "progress": False}


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def source_of(data):
    return data.mod[RNA] if isinstance(data, md.MuData) else data


def table(draw, *sizes):
    """Row numbers of some pairs, now and then of rows that are not there."""
    n = draw(st.integers(0, min(sizes)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    found = np.column_stack([rng.permutation(size)[:n] for size in sizes])
    return found + draw(st.sampled_from([0, 0, 0, 0, 1]))


def draw_pairs(draw, data, target_data, rough):
    sizes = [part.n_obs for part in (data.mod.values() if isinstance(data, md.MuData) else (data, target_data))]
    return draw(st.sampled_from([None, "obs_names", table(draw, *sizes), "names"] if rough else [None, "obs_names"]))


def draw_mask(draw, data, rough):
    array = np.random.default_rng(draw(st.integers(0, 1000))).random(data.n_obs) < 0.8
    return draw(st.sampled_from([None, None, "mask", array, "nothing", array[:-1]] if rough else [None, None, array]))


def arguments(draw, data, target_data, rough):
    """Arguments of `synthesize`; rough ones may be such that they cannot be met."""
    given = {
        "target_data": target_data,
        "generator": draw(st.sampled_from(["auto", "auto", "cyclegan", *(["ot", "regression"] if rough else [])])),
        "pairs": draw_pairs(draw, data, target_data, rough),
        "links": draw(st.sampled_from([None, "names", {"f0": "f0"}, *([{"f0": ["f0", "f1"]}, {}] if rough else [])])),
        "source_rep": draw(st.sampled_from([None, None, None, "X_none"])) if rough else None,
        "target_rep": draw(st.sampled_from([None, None, "X"])),
        "groupby": draw(st.sampled_from([None, None, "label", *(["nothing"] if rough else [])])),
        "n_seeds": draw(st.sampled_from([1, 1, 1, 2])),
        "allow_unanchored": not rough or draw(st.booleans()),
        "store": draw(st.sampled_from([None, None, False])),
        "random_state": draw(st.integers(0, 100)),
    }
    if draw(st.integers(0, 3)) == 0:
        given |= {"source_rep": "X_pca", "target_rep": "X_pca", "links": draw(st.sampled_from([None, {0: 1}]))}
    if draw(st.booleans()):
        given["mask_obs"] = draw_mask(draw, data, rough)
        given["target_mask_obs"] = draw(st.sampled_from([None, None, "mask"]))
    if draw(st.integers(0, 3)) == 0:
        given["evaluation_pairs"] = draw_pairs(draw, data, target_data, rough)
    return given


def synthesized(trial, draw, data, **given):
    small = {"hidden": 4, "n_neighbors": draw(st.sampled_from([1, 6, 30]))}
    return trial(rp.tl.synthesize, data, RNA, PROTEIN, n_steps=2, settings=small, **QUIET, **given)


def partnered(trial, draw, data, target_data, rough):
    """With a synthetic view, of rough objects not always; the translator, or None."""
    if rough and draw(st.integers(0, 3)) == 0:
        return None
    anchors = {"pairs": "obs_names", "links": {"f0": "f0"}, "allow_unanchored": True, "target_data": target_data}
    return synthesized(trial, draw, data, **anchors)[0]


@examples(6)
@given(st.data())
def test_synthesize(trial, modalities, same, data):
    rough = data.draw(st.booleans())
    cohort, target_data = data.draw(modalities(rough=rough))
    given = arguments(data.draw, cohort, target_data, rough)
    translator, done = synthesized(trial, data.draw, cohort, **given)
    if not done:
        return
    source = source_of(cohort)
    entry, kept = source.uns[KEY], given["store"] is None
    assert (KEY in source.obsm) == kept
    assert len(entry["trained"]) == source.n_obs
    assert not kept or (len(source.obsm[KEY]) == source.n_obs and np.isfinite(source.obsm[KEY]).all())
    assert all(np.isnan(value) or np.isfinite(value) for value in entry["fidelity"].values())
    np.testing.assert_allclose(entry["composition"]["source_share"].sum(), 1)
    if not kept:
        with tempfile.TemporaryDirectory() as folder:
            translator.save(Path(folder, "t"))
            translator = rp.views.Translator.load(Path(folder, "t"), device="cpu")
    _, done = trial(rp.tl.synthesize, cohort, RNA, PROTEIN, translator=translator, source_rep=given["source_rep"])
    assert done
    other, _ = data.draw(modalities())
    trial(rp.tl.synthesize, other, RNA, PROTEIN, translator=translator, store=True)
    if data.draw(st.integers(0, 2)) == 0:
        rows = source.uns[KEY]
        with tempfile.TemporaryDirectory() as folder:
            import anndata as ad

            written = ad.AnnData(obs=source.obs[[]], uns={KEY: rows})
            written.write_h5ad(Path(folder, "a.h5ad"))
            same(dict(ad.read_h5ad(Path(folder, "a.h5ad")).uns), {KEY: rows})


@examples(5)
@given(st.data())
def test_distill(trial, modalities, data):
    rough = data.draw(st.booleans())
    cohort, target_data = data.draw(modalities(rough=rough))
    translator = partnered(trial, data.draw, cohort, target_data, rough)
    draw = data.draw
    both = ["authentic", "both"] if rough or target_data is None else []
    encoder, done = trial(
        rp.tl.distill,
        cohort,
        RNA,
        PROTEIN,
        partner=draw(st.sampled_from(["synthetic", "none", *(["all"] if rough else []), *both])),
        translator=draw(st.sampled_from([None, None, translator])),
        pairs=draw_pairs(draw, cohort, target_data, rough),
        primary_rep=draw(st.sampled_from([None, None, "X_pca", *(["X_none"] if rough else [])])),
        privileged_rep=draw(st.sampled_from([None, None, None, "X_pca"])),
        mask_obs=draw_mask(draw, source_of(cohort), rough),
        patient_key=draw(st.sampled_from([None, "patient"])),
        objective=draw(st.sampled_from(["infonce", "vicreg", "barlow"])),
        branches=draw(st.sampled_from([None, 2, 3])),
        distill=draw(st.sampled_from([0.0, 1.0])),
        teacher=draw(st.sampled_from([None, None, "X_pca"])),
        dim=draw(st.integers(1, 3)),
        n_steps=draw(st.integers(0, 2)),
        batch_size=4,
        encoder={"width": 4, "projection": 4, "validation_fraction": draw(st.sampled_from([0.0, 0.1, 0.5]))},
        random_state=draw(st.integers(0, 100)),
        **QUIET,
    )
    if not done:
        return
    source = source_of(cohort)
    n_obs, width = source.obsm["X_spi"].shape
    assert n_obs == source.n_obs
    # What an encoder carries beside the embedding follows it.
    assert (width > encoder.encoder.dim) == (encoder.carrier is not None)
    assert np.isfinite(source.obsm["X_spi"]).all()
    np.testing.assert_array_equal(encoder.embed(cohort), source.obsm["X_spi"])
    if draw(st.integers(0, 4)) == 0:
        with tempfile.TemporaryDirectory() as folder:
            encoder.save(Path(folder, "e"))
            back = rp.tl.ViewEncoder.load(Path(folder, "e"), device="cpu")
        np.testing.assert_array_equal(back.embed(source), source.obsm["X_spi"])


@examples(3)
@given(st.data())
def test_evaluate_views(trial, modalities, data):
    rough = data.draw(st.booleans())
    cohort, target_data = data.draw(modalities(rough=rough))
    translator = partnered(trial, data.draw, cohort, target_data, rough)
    draw = data.draw
    arms = draw(st.lists(st.sampled_from(rp.views.ARMS), min_size=1, max_size=3, unique=True))
    n_seeds = draw(st.integers(1, 2))
    frame, done = trial(
        rp.tl.evaluate_views,
        cohort,
        RNA,
        PROTEIN,
        label_key="label",
        translator=draw(st.sampled_from([None, None, translator, [translator] * n_seeds])),
        pairs=draw_pairs(draw, cohort, target_data, rough),
        primary_rep=draw(st.sampled_from([None, None, "X_pca"])),
        privileged_rep=draw(st.sampled_from([None, None, None, "X_pca"])),
        mask_obs=draw_mask(draw, source_of(cohort), rough),
        patient_key=draw(st.sampled_from([None, "patient"])),
        test_fraction=draw(st.sampled_from([0.3, 0.5, *([0.01, 1.0] if rough else [])])),
        arms=draw(st.sampled_from([arms, arms, ["synthetic", *arms], *([["best"], "raw", []] if rough else [])])),
        n_pairs=draw(st.integers(1 if rough else 2, 5)),
        budgets=draw(st.sampled_from([(1.0,), (0.5, 1.0), *([()] if rough else [])])),
        n_labels=draw(st.sampled_from([1, 4, 50])),
        n_seeds=n_seeds,
        encoder={"dim": 2, "width": 4, "projection": 4, "n_steps": 1, "batch_size": 4, "device": "cpu"},
        progress=False,
    )
    if done:
        assert frame["value"].between(0, 1).all()
        assert set(frame["seed"]) <= set(range(n_seeds))
        assert cohort.uns["views"]["results"].shape == frame.shape
        assert ("ratios" in cohort.uns["views"]) == ("synthetic" in set(frame["arm"]))
