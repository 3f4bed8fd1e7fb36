"""Files of random cohorts: what is written is read back, whatever names and types there were."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import repatient as rp

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
KEYS = {"patient_key": "patient", "label_key": "label"}


def examples(few):
    return settings(settings.get_profile("trust"), max_examples=N_EXAMPLES or few)


def with_recipes(cohort, **kwargs):
    """With a mixture and recipes, or None where there can be none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rp.tl.gmm(cohort, 2)
            rp.tl.recipes(cohort, **KEYS | kwargs)
        except (KeyError, ValueError, TypeError):
            return None
    return cohort


def draw_recipes(draw, cohorts):
    """A cohort with recipes of any kind, sub-types and covariates, or None."""
    kind = draw(st.sampled_from(list(rp.recipe.KINDS)))
    more = {"covariates": draw(st.sampled_from([None, None, ["age"], ["age", "sex"]])), "donor_key": "donor"}
    if kind == "dirichlet_multinomial":
        more |= {"n_subtypes": draw(st.sampled_from([1, 1, 2]))}
    if draw(st.integers(0, 4)) == 3:
        more |= {"outcome": "continuous", "label_key": "age", "covariates": None, "n_subtypes": 1}
    return with_recipes(draw(cohorts(rough=draw(st.booleans()))), kind=kind, **more)


@examples(5)
@given(st.data())
def test_recipes_files(trial, cohorts, data):
    cohort = draw_recipes(data.draw, cohorts)
    if cohort is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.h5")
        _, done = trial(rp.io.write_recipes, cohort, path, min_cells=1, min_donors=1)
        if not done:
            return
        content = rp.io.read_recipes(path)
        np.testing.assert_array_equal(content["recipes"]["mean"].to_numpy(), cohort.uns["recipes"]["mean"].to_numpy())
        target = data.draw(cohorts())
        align = data.draw(st.sampled_from([None, None, "moments", "quantiles", "ot"]))
        _, done = trial(rp.tl.assign, target, path, align=align, **KEYS if align else {})
        if done:
            transfer = data.draw(st.sampled_from(["raw", "log_ratio"]))
            trial(rp.tl.recipes, target, **KEYS, reference=path, transfer=transfer)


@examples(5)
@given(st.data())
def test_export(trial, cohorts, data):
    cohort = draw_recipes(data.draw, cohorts)
    if cohort is None:
        return
    key = None
    if data.draw(st.integers(0, 3)) == 0:
        trial(rp.tl.compare_recipes, cohort, n_draws=100)
        key = "compare_recipes"
    with_patients = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, data.draw(st.sampled_from(["recipes", "重 é", "no/where"])))
        _, done = trial(rp.io.export_recipes, cohort, path, with_patients=with_patients, comparison_key=key)
        if not done:
            return
        _, done = trial(rp.io.export_recipes, cohort, path, with_patients=with_patients, comparison_key=key)
        assert done
        text = {"dtype": str, "keep_default_na": False}
        tables = {file.stem: pd.read_csv(file, **text) for file in path.iterdir()}
    classes = [str(name) for name in cohort.uns["recipes"]["classes"]]
    assert list(tables["means"]["class"]) == classes
    np.testing.assert_array_equal(tables["means"].iloc[:, 1:].astype(float), cohort.uns["recipes"]["mean"].to_numpy())
    assert ("counts" in tables) == with_patients
    if with_patients:
        assert list(tables["counts"]["patient"]) == [str(name) for name in cohort.uns["recipes"]["counts"].index]


@examples(4)
@given(st.data())
def test_augmented_files(trial, cohorts, same, data):
    draw = data.draw
    cohort = draw_recipes(draw, cohorts)
    if cohort is None:
        return
    how = draw(st.sampled_from(["cells", "cells", "gaussian"]))
    _, done = trial(rp.tl.generate, cohort, draw(st.integers(1, 2)), draw=how)
    if not done:
        return
    name = draw(st.sampled_from(["a.h5ad"] * 9 + ["a.zarr", "a.csv", "no/a.h5ad"]))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chunk_size = draw(st.sampled_from([1, 7, 100]))
        path, done = trial(rp.get.augmented, cohort, to=Path(folder, name), chunk_size=chunk_size)
        if not done:
            assert not Path(folder, name).exists()
            return
        written = (ad.read_zarr if name.endswith("zarr") else ad.read_h5ad)(path)
    in_memory, done = trial(rp.get.augmented, cohort)
    assert done
    assert list(written.obs_names) == list(in_memory.obs_names)
    same({"obsm": dict(in_memory.obsm)}, {"obsm": dict(written.obsm)})
    same({"X": in_memory.X}, {"X": written.X})


@examples(3)
@given(st.data())
def test_models(trial, cohorts, data):
    draw = data.draw
    cohort = draw_recipes(draw, cohorts)
    if cohort is None:
        return
    outcome = draw(st.sampled_from(["class", "ordinal", "continuous"]))
    key = {"class": "label", "ordinal": "grade", "continuous": "age"}[outcome]
    more = {
        "donor_key": draw(st.sampled_from([None, "donor"])),
        "model": rp.mil.Attention(n_steps=2, validation_fraction=0.2, n_passes=2, hidden=4),
    }
    augment = draw(st.sampled_from([None, None, None, "recipe", "oversampling", "nothing"]))
    model, done = trial(
        rp.tl.mil, cohort, patient_key="patient", label_key=key, outcome=outcome, augment=augment, **more
    )
    if not done:
        return
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "m"))
        back = rp.tl.PatientClassifier.load(Path(folder, "m"))
    pd.testing.assert_frame_equal(back.predict(cohort), model.predict(cohort))
    other = draw(cohorts())
    trial(back.predict, other)
    trial(rp.get.bags, other, patient_key="patient", label_key=key, outcome="class" if key == "label" else "continuous")
    covariates = draw(st.sampled_from([None, ["sex"], ["x"]]))
    table, done = trial(rp.get.patients, cohort, mil_key="mil", covariates=covariates)
    assert not done or table.n_obs
