"""Random cohorts, well-formed and not: what comes out has its invariants, or a documented error says what is wrong.

A few examples of each function, always the same ones, run by default; ``REPATIENT_TRUST=1000`` runs that many new ones.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}
N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def survives(data, same, keys):
    """What was stored comes back from h5ad or h5mu."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(data, md.MuData):
            data.write_h5mu(Path(folder, "a.h5mu"))
            back = md.read_h5mu(Path(folder, "a.h5mu"))
        else:
            data.copy().write_h5ad(Path(folder, "a.h5ad"))
            back = ad.read_h5ad(Path(folder, "a.h5ad"))
    same({key: data.uns[key] for key in keys}, {key: back.uns[key] for key in keys})


def writable(data):
    """Whether the object itself can be written: mixed types in a column, for instance, cannot."""
    return all(str(data.obs[name].dtype) == "category" or data.obs[name].notna().all() for name in ("patient", "label"))


def prepared(data, seed=0, n_components=2):
    """With a mixture and recipes, or None where there can be none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rp.tl.gmm(data, n_components, random_state=seed)
            rp.tl.recipes(data, **KEYS)
        except ValueError:
            return None
    return data


SEEDS = st.integers(0, 100)


@examples(12)
@given(st.data())
def test_gmm(trial, cohorts, same, data):
    cohort = data.draw(cohorts())
    n_components = data.draw(st.integers(1, 4))
    kind = data.draw(st.sampled_from(["full", "tied", "diag"]))
    _, done = trial(rp.tl.gmm, cohort, n_components, covariance_type=kind, store_proba=data.draw(st.booleans()))
    if not done:
        return
    entry = cohort.uns["gmm"]
    assert entry["weights"].sum() == pytest.approx(1)
    assert np.isfinite(entry["means"]).all()
    assert list(cohort.obs["gmm"].cat.categories) == [str(k) for k in range(n_components)]
    assert cohort.obs["gmm"].notna().all()
    assert np.isfinite(cohort.obs["gmm_log_density"]).all()
    if "gmm_proba" in cohort.obsm:
        np.testing.assert_allclose(np.asarray(cohort.obsm["gmm_proba"]).sum(axis=1), 1, rtol=1e-4)
    if data.draw(st.integers(0, 4)) == 0 and writable(cohort):
        survives(cohort, same, ["gmm"])


@examples(8)
@given(st.data())
def test_assign(trial, cohorts, same, data):
    reference, cohort = data.draw(cohorts()), data.draw(cohorts())
    _, done = trial(rp.tl.gmm, reference, 2)
    if not done:
        return
    align = data.draw(st.sampled_from([None, "raw", "moments", "quantiles", "ot"]))
    keys = data.draw(st.sampled_from([KEYS, KEYS, KEYS | {"donor_key": "patient"}, {"patient_key": "patient"}, {}]))
    _, done = trial(rp.tl.assign, cohort, reference, align=align, store_proba=data.draw(st.booleans()), **keys)
    if not done:
        return
    found = cohort.uns["gmm"]["reference"]
    assert 0 <= found["coverage"] <= 1
    assert cohort.obs["gmm"].notna().all()
    assert ("X_pca_aligned" in cohort.obsm) == (align in ("moments", "quantiles", "ot"))
    if "X_pca_aligned" in cohort.obsm:
        assert np.isfinite(np.asarray(cohort.obsm["X_pca_aligned"])).all()
    if "shift" in found:
        assert found["shift"]["p_value"].between(0, 1).all()
    if data.draw(st.integers(0, 4)) == 0 and writable(cohort):
        survives(cohort, same, ["gmm"])


@examples(12)
@given(st.data())
def test_recipes(trial, cohorts, same, data):
    cohort = data.draw(cohorts())
    _, done = trial(rp.tl.gmm, cohort, 2)
    if not done:
        return
    kind = data.draw(st.sampled_from(list(rp.recipe.KINDS)))
    shrinkage = data.draw(st.sampled_from([0.0, 1.0, 100.0]))
    _, done = trial(rp.tl.recipes, cohort, **KEYS, kind=kind, shrinkage=shrinkage)
    if not done:
        return
    entry = cohort.uns["recipes"]
    np.testing.assert_allclose(entry["mean"].to_numpy().sum(axis=1), 1)
    counts, patients = entry["counts"], cohort.obs["patient"]
    sizes = patients.astype(str).value_counts()
    assert (counts.sum(axis=1) == sizes.reindex(counts.index)).all()
    assert list(entry["mean"].index) == list(entry["classes"])
    table, done = trial(rp.get.recipes, cohort)
    assert done
    assert len(table) == 2 * len(entry["classes"])
    found, done = trial(rp.get.compositions, cohort)
    assert done
    np.testing.assert_array_equal(found.to_numpy(), counts.to_numpy())
    if data.draw(st.integers(0, 4)) == 0 and writable(cohort):
        survives(cohort, same, ["gmm", "recipes"])


def arguments(draw):
    """Arguments of `generate`, some of which cannot be met."""
    return {
        "n_patients": draw(st.sampled_from([1, 3, "balance", 0, {"x": 2}])),
        "method": draw(st.sampled_from(["recipe", "recipe", "recipe", "gaussian"])),
        "pool": draw(st.sampled_from(["all", "all", "same"])),
        "n_donors": draw(st.sampled_from([None, None, 1, 2, 50])),
        "n_cells": draw(st.sampled_from([None, 1, 5, 40])),
        "max_donor_share": draw(st.sampled_from([None, None, None, 0.6])),
        "draw": draw(st.sampled_from(["cells", "cells", "gaussian"])),
        "random_state": draw(SEEDS),
    }


@examples(12)
@given(st.data())
def test_generate_and_get(trial, cohorts, same, data):
    cohort = prepared(data.draw(cohorts()))
    if cohort is None:
        return
    given = arguments(data.draw)
    _, done = trial(rp.tl.generate, cohort, **given)
    if not done:
        return
    table = cohort.uns["generated"]["patients"]
    if given["n_cells"] is not None:
        assert (table["n_cells"] == given["n_cells"]).all()
    assert set(table["label"].astype(str)) <= set(cohort.uns["recipes"]["classes"])
    if given["draw"] == "cells":
        counts = sp.csc_matrix(cohort.obsm["generated"])
        assert counts.shape == (cohort.n_obs, len(table))
        assert counts.nnz == 0 or counts.data.min() >= 1
        np.testing.assert_array_equal(np.asarray(counts.sum(axis=0)).ravel(), table["n_cells"])
    if data.draw(st.integers(0, 4)) == 0 and writable(cohort):
        survives(cohort, same, ["generated"])
    found, done = trial(rp.get.compositions, cohort, generated_key="generated")
    if done:
        assert found.to_numpy().sum() == len(cohort.obs) + table["n_cells"].sum()
    new, done = trial(rp.get.generated, cohort)
    if done:
        assert new.n_obs == table["n_cells"].sum()
    both, done = trial(rp.get.augmented, cohort)
    if done:
        assert both.n_obs == cohort.n_obs + table["n_cells"].sum()
        assert both.obs_names.is_unique
        assert both.obs["is_generated"].sum() == table["n_cells"].sum()
    rows, done = trial(rp.get.patients, cohort, generated_key=data.draw(st.sampled_from([None, "generated"])))
    if done:
        np.testing.assert_allclose(np.asarray(rows.X).sum(axis=1), 1, rtol=1e-5)


@examples(8)
@given(st.data())
def test_bags(trial, cohorts, data):
    cohort = data.draw(cohorts())
    label_key = data.draw(st.sampled_from([None, "label"]))
    bags, done = trial(rp.get.bags, cohort, patient_key="patient", label_key=label_key)
    if done:
        assert (
            len(bags) == cohort.obs["patient"].astype(str)[cohort.obs["label"].notna() | (label_key is None)].nunique()
        )
        assert sum(len(bags[i]["X"]) for i in range(len(bags))) <= cohort.n_obs


@examples(5)
@given(st.data())
def test_mil_and_select(trial, cohorts, same, data):
    cohort = prepared(data.draw(cohorts(rough=data.draw(st.booleans()))))
    if cohort is None:
        return
    _, generated = trial(rp.tl.generate, cohort, data.draw(st.integers(1, 3)), random_state=data.draw(SEEDS))
    key = data.draw(st.sampled_from([None, "generated"])) if generated else None
    model, done = trial(
        rp.tl.mil, cohort, **KEYS, generated_key=key, model=rp.mil.Attention(n_steps=2, validation_fraction=0.2)
    )
    if not done:
        return
    frame = cohort.uns["mil"]["predictions"]
    columns = [name for name in frame if name.startswith("probability_")]
    np.testing.assert_allclose(frame[columns].sum(axis=1), 1, rtol=1e-4)
    assert len(frame) == cohort.obs["patient"].dropna().astype(str).nunique()
    assert len(model.predict(cohort, n_passes=1)) == len(frame)
    if generated:
        keep = data.draw(st.sampled_from(["low", "high", "band", "correct"]))
        fraction = data.draw(st.sampled_from([0.2, 0.5, 1.0]))
        _, done = trial(rp.tl.select, cohort, model, keep=keep, fraction=fraction, n_passes=2)
        if done:
            assert cohort.uns["generated"]["patients"]["selected"].dtype == bool
    if data.draw(st.integers(0, 4)) == 0 and writable(cohort):
        survives(cohort, same, ["mil"])


@examples(4)
@given(st.data())
def test_audit_and_compare(trial, cohorts, data):
    cohort = prepared(data.draw(cohorts(rough=data.draw(st.booleans()))))
    if cohort is None:
        return
    table, done = trial(rp.tl.compare_recipes, cohort, n_draws=100)
    if done:
        assert table.select_dtypes("number").apply(np.isfinite).to_numpy().any()
    _, done = trial(rp.tl.generate, cohort, 2)
    if done:
        table, done = trial(rp.tl.audit, cohort, n_permutations=3, n_repeats=1)
        assert not done or set(table.index) <= set(cohort.uns["recipes"]["classes"])


@examples(3)
@given(st.data())
def test_evaluate(trial, cohorts, data):
    cohort = data.draw(cohorts(rough=data.draw(st.booleans())))
    methods = data.draw(st.sampled_from([["size_only"], ["none", "size_only"], ["recipe"]]))
    frame, done = trial(
        rp.tl.evaluate, cohort, **KEYS, methods=methods, n_splits=2, n_steps=1, n_components=2, progress=False
    )
    if done:
        assert len(frame) == len(methods) * 2 * len(rp.evaluation.METRICS)
        bounded = frame["metric"] != "log_loss"
        assert frame.loc[bounded, "value"].between(0, 2).all()
        assert (frame.loc[~bounded, "value"] >= 0).all()
