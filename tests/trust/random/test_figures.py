"""Figures of random cohorts: each is drawn and rendered, or a documented error leaves neither a figure nor a trace."""

from __future__ import annotations

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import repatient as rp

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
KEYS = {"patient_key": "patient", "label_key": "label"}


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def chosen(draw, rough, good, bad=()):
    """One of the good values; in a rough example, now and then a bad one."""
    return draw(st.sampled_from([*good, *good, *(bad if rough else ())]))


def palette(draw, rough):
    return chosen(draw, rough, [None, None, "viridis"], ["tab10", ["red", "#00ff00"], {"0": "red"}, "nothing", [], 3])


def known(draw, cohorts, rough, *, generate=False, **recipes):
    """A cohort with mixture, recipes and generated patients; of a rough one, some may be missing or outdated."""
    cohort = draw(cohorts(rough=rough))
    if not (rough or cohort.is_view):
        cohort.obsm["X_umap"] = np.random.default_rng(0).standard_normal((cohort.n_obs, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rp.tl.gmm(cohort, draw(st.integers(1 if rough else 3, 4)), random_state=draw(st.integers(0, 100)))
            if chosen(draw, rough, [True], [False]):
                rp.tl.recipes(cohort, **KEYS, **recipes)
            if generate:
                rp.tl.generate(cohort, draw(st.integers(1, 3)), draw=draw(st.sampled_from(["cells", "gaussian"])))
            if chosen(draw, rough, [False, False, False], [True]):
                rp.tl.gmm(cohort, 2, random_state=1)
        except (KeyError, ValueError, TypeError):
            pass
    return cohort


def drawn(trial, draw, rough, function, cohort, *args, with_axes=True, **kwargs):
    """Draw, render and close a figure; whether there was one."""
    if with_axes:
        ax = chosen(draw, rough, [None, None, "given"], ["axes"])
        kwargs["ax"] = plt.figure().subplots() if ax == "given" else ax
    before = plt.get_fignums()
    try:
        result, done = trial(function, cohort, *args, **kwargs)
        if done:
            figure = result if isinstance(result, Figure) else result.figure
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Rendering takes longer than all else.
                if draw(st.integers(0, 2)) == 0:
                    figure.canvas.draw()
        else:
            assert plt.get_fignums() == before, "an error left a figure behind"
        return done
    finally:
        plt.close("all")


def some_of(draw, rough, names):
    """All names, some, others, none, or one where several are wanted."""
    names = [str(name) for name in names]
    good = [None, None, names[:1] or None, names[::-1] or None]
    return chosen(draw, rough, good, [["nobody"], [], "".join(names[:1])])


def classes_of(cohort):
    return list(cohort.uns["recipes"]["classes"]) if "recipes" in cohort.uns else []


@examples(4)
@given(st.data(), st.booleans())
def test_recipes(trial, cohorts, data, rough):
    draw = data.draw
    kind = draw(st.sampled_from(list(rp.recipe.KINDS)))
    cohort = known(draw, cohorts, rough, kind=kind)
    drawn(
        trial,
        draw,
        rough,
        rp.pl.recipes,
        cohort,
        kind=chosen(draw, rough, ["bars", "stacked", "heatmap", "dots"], ["pie"]),
        classes=some_of(draw, rough, classes_of(cohort)),
        order=chosen(draw, rough, ["number", "share", "difference", ["0"], [0, 1]], ["size", ["9"], [], 3]),
        interval=chosen(draw, rough, [0.8, 1.0], [0.0, 2.0, "all"]),
        palette=palette(draw, rough),
    )


@examples(4)
@given(st.data(), st.booleans())
def test_compositions(trial, cohorts, data, rough):
    draw = data.draw
    generate = draw(st.booleans())
    drawn(
        trial,
        draw,
        rough,
        rp.pl.compositions,
        known(draw, cohorts, rough, generate=generate),
        generated_key=chosen(draw, rough, [None, "generated" if generate else None], ["generated", 3]),
        palette=palette(draw, rough),
    )


@examples(4)
@given(st.data(), st.booleans())
def test_embedding(trial, cohorts, data, rough):
    draw = data.draw
    cohort = known(draw, cohorts, rough, generate=draw(st.booleans()))
    patients = [str(name) for name in cohort.obs["patient"].dropna()]
    drawn(
        trial,
        draw,
        rough,
        rp.pl.embedding,
        cohort,
        basis=chosen(draw, rough, [None, None, "pca", "X_pca"], ["umap", "rna:X_pca", 3]),
        color=chosen(draw, rough, [None, "label", "patient", "gmm"], ["gmm_log_density", "nothing", 3]),
        density=chosen(draw, rough, [None, None, *classes_of(cohort)[:1], *patients[:1]], ["generated_0", "nobody"]),
        classes=some_of(draw, rough, classes_of(cohort)),
        size=draw(st.sampled_from([None, 3.0])),
        palette=palette(draw, rough),
        with_axes=False,
    )


@examples(2)
@given(st.data(), st.booleans())
def test_model(trial, cohorts, data, rough):
    """Attention, history and uncertainty."""
    draw = data.draw
    cohort = known(draw, cohorts, rough, generate=not rough or draw(st.booleans()))
    key = "generated" if "generated" in cohort.uns and draw(st.booleans()) else None
    model, done = trial(
        rp.tl.mil, cohort, **KEYS, generated_key=key, model=rp.mil.Attention(n_steps=draw(st.integers(1, 3)))
    )
    drawn(trial, draw, rough, rp.pl.history, cohort)
    patients = [str(name) for name in cohort.obs["patient"].dropna()]
    patient = chosen(draw, rough, patients[:1] or ["nobody"], ["nobody"])
    drawn(trial, draw, rough, rp.pl.attention, cohort, patient, palette=palette(draw, rough), with_axes=False)
    if done and "generated" in cohort.uns:
        by = draw(st.sampled_from(["entropy", "epistemic", "margin"]))
        trial(rp.tl.select, cohort, model, by=by, n_passes=2)
    drawn(trial, draw, rough, rp.pl.uncertainty, cohort, palette=palette(draw, rough))


@examples(2)
@given(st.data(), st.booleans())
def test_audit(trial, cohorts, data, rough):
    draw = data.draw
    cohort = known(draw, cohorts, rough, generate=True)
    trial(rp.tl.audit, cohort, n_permutations=2, n_repeats=1)
    kind = chosen(draw, rough, ["all", "patients", "auroc", "variance", "shares", "nearest"], ["nothing"])
    drawn(trial, draw, rough, rp.pl.audit, cohort, kind=kind, palette=palette(draw, rough))


@examples(3)
@given(st.data(), st.booleans())
def test_compare_recipes(trial, cohorts, data, rough):
    draw = data.draw
    cohort = known(draw, cohorts, rough)
    trial(rp.tl.compare_recipes, cohort, n_draws=100)
    drawn(
        trial,
        draw,
        rough,
        rp.pl.compare_recipes,
        cohort,
        effect=chosen(draw, rough, ["log2_fold_change", "difference", "clr_difference"], ["nothing"]),
        classes=some_of(draw, rough, classes_of(cohort)[1:]),
        order=chosen(draw, rough, ["effect", "number"], ["nothing"]),
        significant_only=draw(st.booleans()),
        palette=palette(draw, rough),
    )


@examples(2)
@given(st.data(), st.booleans())
def test_evaluation(trial, cohorts, data, rough):
    draw = data.draw
    cohort = draw(cohorts(rough=rough))
    methods = draw(st.sampled_from([["size_only"], ["none", "size_only"], ["none", "mixup", "size_only"]]))
    small = {"n_splits": draw(st.integers(2, 3)), "n_steps": 1, "n_components": 2, "test_fraction": 0.5}
    trial(rp.tl.evaluate, cohort, **KEYS, methods=methods, **small, progress=False)
    drawn(
        trial,
        draw,
        rough,
        rp.pl.evaluation,
        cohort,
        chosen(draw, rough, ["auroc", "balanced_accuracy", "macro_f1", "brier"], ["speed"]),
        baseline=chosen(draw, rough, [None, *methods], ["nothing"]),
        confidence=chosen(draw, rough, [0.95, 0.8], [1.0, 0.0, 95, "most"]),
    )


@examples(3)
@given(st.data(), st.booleans())
def test_views(trial, modalities, data, rough):
    draw = data.draw
    cohort, target_data = draw(modalities(rough=rough))
    translator, done = trial(
        rp.tl.synthesize,
        cohort,
        "rna",
        "protéine",
        target_data=target_data,
        links=draw(st.sampled_from([None, {"f0": "f0"}])),
        pairs=draw(st.sampled_from([None, "obs_names"])),
        allow_unanchored=True,
        groupby=draw(st.sampled_from([None, "label"])),
        store=draw(st.sampled_from([None, None, False])),
        n_steps=1,
        settings={"hidden": 4, "n_neighbors": 3},
        device="cpu",
        progress=False,
    )
    small = {"dim": 2, "width": 4, "projection": 4, "n_steps": 1, "batch_size": 4, "device": "cpu"}
    if done and draw(st.booleans()):
        arms = {"arms": ["raw", "translation"], "n_seeds": 1, "encoder": small, "progress": False}
        trial(rp.tl.evaluate_views, cohort, "rna", "protéine", label_key="label", translator=translator, **arms)
    drawn(
        trial,
        draw,
        rough,
        rp.pl.views,
        cohort,
        "rna",
        "protéine",
        target_data=chosen(draw, rough, [target_data], [None]),
        translator=chosen(draw, rough, [translator], [None]),
        source_rep=chosen(draw, rough, [None], ["X_none"]),
        basis=draw(st.sampled_from([None, "X_pca", "X_none"])),
        color=chosen(draw, rough, [None, "label", "patient", "mask"], ["nothing"]),
        n_examples=chosen(draw, rough, [1, 6], [0]),
        metric=chosen(draw, rough, ["linear_few", "knn"], ["nothing"]),
        with_axes=False,
    )
