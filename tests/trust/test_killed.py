"""Whatever is killed while it writes leaves the old file or the new one, whole."""

from __future__ import annotations

import json
import os
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.evaluation._checkpoint import Checkpoint
from repatient.mil import Bags, MILClassifier
from repatient.views import Encoder, Translator

THOROUGH = "REPATIENT_TRUST" in os.environ
# Translators and encoders are written by the code that bag models are written by.
SOME = 50 if THOROUGH else 10
# By then, an evaluation that is killed after ten times its duration would have been finished long ago.
MOST_TRIALS = 200


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 6)).astype(np.float32)
    return X, X[:, :3] + 0.1


def both(make):
    return [make(seed) for seed in (0, 1)]


def only(folder, name):
    """What later writes leave: the file and nothing of the killed ones."""
    assert [entry.name for entry in folder.iterdir()] == [name]


@pytest.mark.filterwarnings("ignore:The file holds no moments")
def test_recipes(tiny, keys, kill_often, tmp_path):
    cohorts, path = [tiny.copy(), tiny.copy()], tmp_path / "a.h5"
    for cohort, shrinkage in zip(cohorts, (1.0, 3.0), strict=True):
        # Of two components, which all patients have cells of: nothing is merged, which would take the embedding.
        rp.tl.gmm(cohort, 2)
        rp.tl.recipes(cohort, **keys, shrinkage=shrinkage)
        # What is measured on the embedding takes longer than the write.
        del cohort.obsm["X_pca"]
    wanted = [cohort.uns["recipes"]["mean"].to_numpy() for cohort in cohorts]

    def read():
        mean = rp.io.read_recipes(path)["recipes"]["mean"].to_numpy()
        return [np.array_equal(mean, one) for one in wanted].index(True)

    everything = {"min_cells": 1, "min_donors": 1}
    found = kill_often(lambda i: rp.io.write_recipes(cohorts[i], path, **everything), read)
    assert min(found) > 0
    rp.io.write_recipes(cohorts[0], path, **everything)
    only(tmp_path, "a.h5")


def kill_saving(kill_often, models, load, predict, path, **n_kills):
    """Save two models in turn over each other, and tell by their predictions which one is there."""
    expected = [predict(model) for model in models]
    assert not np.array_equal(*expected)

    def read():
        values = predict(load(path))
        return [np.array_equal(values, one) for one in expected].index(True)

    found = kill_often(lambda i: models[i].save(path), read, **n_kills)
    assert min(found) > 0
    models[0].save(path)
    only(path.parent, path.name)


def test_a_bag_model(kill_often, tmp_path):
    rng = np.random.default_rng(0)
    bags = Bags.from_codes(rng.standard_normal((240, 4)).astype(np.float32), np.arange(240) % 12, 12)
    models = both(
        lambda seed: MILClassifier(max_epochs=1, hidden=4, attention_hidden=4, random_state=seed).fit(
            bags, np.arange(12) % 2
        )
    )
    kill_saving(kill_often, models, MILClassifier.load, lambda model: model.predict_proba(bags), tmp_path / "model")


@pytest.mark.filterwarnings("ignore:No validation set")
def test_a_patient_classifier(tiny, keys, kill_often, tmp_path):
    models = both(
        lambda seed: rp.tl.mil(
            tiny.copy(), **keys, model=rp.mil.Attention(n_steps=2, validation_fraction=0.2), random_state=seed
        )
    )
    kill_saving(
        kill_often,
        models,
        rp.tl.PatientClassifier.load,
        lambda model: model.predict(tiny, n_passes=1)["probability_a"].to_numpy(),
        tmp_path / "model",
    )


def test_a_translator(views, kill_often, tmp_path):
    pairs = np.stack([np.arange(60)] * 2, axis=1)
    models = both(
        lambda seed: Translator(n_steps=2, device="cpu", progress=False).fit(views[0], views[1] + seed, pairs)
    )
    kill_saving(
        kill_often, models, Translator.load, lambda model: model.translate(views[0]), tmp_path / "model", n_kills=SOME
    )


def test_an_encoder(views, kill_often, tmp_path):
    settings = {"dim": 4, "width": 8, "projection": 8, "n_steps": 2, "evaluate_every": 1, "progress": False}
    models = both(lambda seed: Encoder(**settings, device="cpu", random_state=seed).fit(*views))
    kill_saving(kill_often, models, Encoder.load, lambda model: model.embed(views[0]), tmp_path / "model", n_kills=SOME)


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
def test_augmented_cells(tiny, kill_often, tmp_path, name):
    cohorts = [tiny, tiny.copy()]
    rp.tl.generate(cohorts[1], 3)
    expected = [rp.get.augmented(cohort) for cohort in cohorts]
    read_back, path = {".h5ad": ad.read_h5ad, ".zarr": ad.read_zarr}[name[1:]], tmp_path / name

    def read():
        found = read_back(path)
        i = [found.n_obs == one.n_obs for one in expected].index(True)
        np.testing.assert_array_equal(found.obsm["X_pca"], expected[i].obsm["X_pca"])
        return i

    n_kills = 50 if THOROUGH else {"a.h5ad": 4, "a.zarr": 2}[name]
    kill_often(lambda i: rp.get.augmented(cohorts[i], to=path, progress=False), read, n_kills)
    rp.get.augmented(tiny, to=path, progress=False)
    only(tmp_path, name)


def test_results_of_an_evaluation(kill_often, tmp_path):
    path, params, methods = tmp_path / "results.json", {"seed": 0}, {"none": {}}
    values = {"none": {"auroc": 0.1 + 0.2, "brier": float("nan")}}

    def write(i):
        kept = Checkpoint(None, params, methods)
        kept.path = path
        for split in range(50 * i, 50 * i + 50):
            kept.results[split] = values
        kept.add(50 * i, values)

    def read():
        results = Checkpoint(path, params, methods).results
        assert len(results) == 50
        assert json.dumps(results[min(results)]) == json.dumps(values)
        return int(min(results) == 50)

    assert min(kill_often(write, read)) > 0
    write(0)
    only(tmp_path, "results.json")


def test_an_evaluation_goes_on_to_the_same_results(tiny, keys, kill, tmp_path):
    cohort = tiny.copy()
    path = tmp_path / "results.json"
    settings = {**keys, "methods": ["none", "size_only"], "n_splits": 4, "n_steps": 1, "progress": False}
    rp.tl.evaluate(cohort.copy(), **settings)
    began = time.perf_counter()
    whole = rp.tl.evaluate(cohort.copy(), **settings)
    duration = time.perf_counter() - began
    n_done = n_finished = trial = 0
    rng = np.random.default_rng(0)
    # Later kills come later, so that the evaluation is finished whatever else the machine does.
    while trial < (50 if THOROUGH else 8) or not n_finished:
        assert trial < MOST_TRIALS
        seconds = rng.uniform(0, 0.6) * duration * (1 + trial / 10)
        kill(lambda _: rp.tl.evaluate(cohort.copy(), **settings, checkpoint=path), seconds)
        before, n_done = n_done, len(json.loads(path.read_bytes())["results"]) if path.exists() else 0
        assert n_done >= before
        trial += 1
        if n_done == settings["n_splits"]:
            pd.testing.assert_frame_equal(rp.tl.evaluate(cohort.copy(), **settings, checkpoint=path), whole)
            path.unlink()
            n_done, n_finished = 0, n_finished + 1
