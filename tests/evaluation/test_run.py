from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from repatient import evaluation
from repatient.evaluation import METRICS, FittedFold, Method, Plan, Scenario, make_folds, score
from repatient.evaluation import _run as run_module

SPLITS = {"n_splits": 4, "test_fraction": 0.3, "random_state": 3}
LOW_DATA = Scenario("low_data", n_patients=4)


def run(*args, **kwargs):
    return evaluation.run(*args, **kwargs).values


def methods(*given):
    return [Method.of(one) for one in given or ("none", "recipe", "size_only")]


def test_a_tidy_frame(make_cohort, quick):
    cohort = make_cohort()
    frame = run(cohort, LOW_DATA, methods(), quick, **SPLITS)
    assert list(frame.columns) == ["method", "split", "seed", "metric", "value"]
    assert len(frame) == 3 * 4 * len(METRICS)
    assert list(dict.fromkeys(frame["method"])) == ["none", "recipe", "size_only"]
    assert frame["value"].between(0, 1).all()
    assert frame.attrs["test_fraction"] == 0.3
    folds = make_folds(cohort, LOW_DATA, **SPLITS)
    by_hand = score(cohort.y[folds[2].test], Method("none").predict(FittedFold(cohort, LOW_DATA, folds[2], quick)))
    found = frame[(frame["method"] == "none") & (frame["split"] == 2)].set_index("metric")["value"].to_dict()
    assert found == by_hand


def test_predictions_are_those_that_the_values_are_of(make_cohort, quick):
    cohort = make_cohort()
    values, predictions = evaluation.run(cohort, LOW_DATA, methods("mean", "size_only"), quick, **SPLITS)
    for (method, split), own in pd.DataFrame({"m": predictions.method, "s": predictions.split}).groupby(["m", "s"]):
        rows = own.index.to_numpy()
        np.testing.assert_array_equal(predictions.y[rows], cohort.y[predictions.patient[rows]])
        expected = values[(values["method"] == method) & (values["split"] == split)].set_index("metric")["value"]
        assert score(predictions.y[rows], predictions.probabilities[rows]) == expected.to_dict()


def test_what_can_be_told_is_told(make_cohort):
    plan = Plan(n_components=3, n_steps=40, scale=False, classifier={"learning_rate": 0.01, "hidden": 16})
    cohort = make_cohort(n_patients=24, n_cells=80, mixed=0)
    frame = run(cohort, Scenario(), methods("none", "recipe", "size_only"), plan, **SPLITS)
    auroc = frame[frame["metric"] == "auroc"].groupby("method")["value"].mean()
    assert auroc[["none", "recipe"]].min() > 0.85
    assert auroc["size_only"] < 0.75


def test_a_missing_class_is_made_up_for(make_cohort):
    plan = Plan(n_components=3, n_steps=40, scale=False, classifier={"learning_rate": 0.01, "hidden": 16})
    cohort = make_cohort(n_patients=24, n_cells=80, external=16, mixed=0)
    # Without the column that names the rows, and so the patients: generated ones are of all names.
    cohort = replace(cohort, X=cohort.X[:, 1:].copy())
    scenario = Scenario("missing_class", missing_class=1)
    frame = run(cohort, scenario, methods("none", "full", "recipe", "external", "null"), plan, **SPLITS)
    auroc = frame[frame["metric"] == "auroc"].groupby("method")["value"].mean()
    assert auroc["none"] == 0.5
    assert auroc[["full", "recipe", "external"]].min() > 0.9
    assert auroc["null"] < auroc[["full", "recipe", "external"]].min()


def test_each_method_stands_for_itself(make_cohort, quick):
    cohort = make_cohort()
    together = run(cohort, LOW_DATA, methods("none", "recipe", "psemix"), quick, **SPLITS)
    for name in ("none", "recipe", "psemix"):
        alone = run(cohort, LOW_DATA, methods(name), quick, **SPLITS)
        pd.testing.assert_frame_equal(alone, together[together["method"] == name].reset_index(drop=True))


def test_a_dask_client_changes_nothing(make_cohort, quick):
    distributed = pytest.importorskip("distributed")
    cohort = make_cohort()
    one = run(cohort, LOW_DATA, methods("none"), quick, **SPLITS)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pd.testing.assert_frame_equal(one, run(cohort, LOW_DATA, methods("none"), quick, **SPLITS, n_jobs=client))


def test_all_methods_take_the_same_steps(make_cohort, quick, monkeypatch):
    from repatient.mil._adamw import FlatAdamW

    taken = []
    step = FlatAdamW.step
    monkeypatch.setattr(FlatAdamW, "step", lambda self, loss: (taken.append(1), step(self, loss))[1])
    for name in ("none", "recipe", "recipe_fixed", "psemix", "mixup", "null"):
        taken.clear()
        run(make_cohort(), LOW_DATA, methods(name), quick, **SPLITS | {"n_splits": 1})
        assert len(taken) == quick.n_steps
        taken.clear()
        run(make_cohort(), LOW_DATA, methods(name), replace(quick, n_models=2), **SPLITS | {"n_splits": 1})
        assert len(taken) == 2 * quick.n_steps


def test_an_interrupted_run_goes_on(make_cohort, quick, monkeypatch, tmp_path):
    cohort, path = make_cohort(), tmp_path / "kept.json"
    whole = run(cohort, LOW_DATA, methods(), quick, **SPLITS)
    run_fold, done = run_module.run_fold, []

    def interrupted(*args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return run_fold(*args)

    monkeypatch.setattr(run_module, "run_fold", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(cohort, LOW_DATA, methods(), quick, **SPLITS, checkpoint=path)
    assert len(json.loads(path.read_text())["results"]) == 2
    numbers = []
    monkeypatch.setattr(run_module, "run_fold", lambda *args: (numbers.append(args[2].number), run_fold(*args))[1])
    resumed = run(cohort, LOW_DATA, methods(), quick, **SPLITS, checkpoint=path)
    assert sorted(numbers) == [2, 3]
    pd.testing.assert_frame_equal(resumed, whole)
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]


def test_methods_and_splits_are_added_to_a_checkpoint(make_cohort, quick, monkeypatch, tmp_path):
    cohort, path = make_cohort(), tmp_path / "kept.json"
    run(cohort, LOW_DATA, methods("none", "psemix"), quick, **SPLITS | {"n_splits": 2}, checkpoint=path)
    calls = []
    run_fold = run_module.run_fold
    monkeypatch.setattr(
        run_module,
        "run_fold",
        lambda *args: (calls.append((args[2].number, [m.name for m in args[3]])), run_fold(*args))[1],
    )
    grown = run(cohort, LOW_DATA, methods("none", "recipe"), quick, **SPLITS | {"n_splits": 3}, checkpoint=path)
    assert calls == [(0, ["recipe"]), (1, ["recipe"]), (2, ["none", "recipe"])]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(
        grown, run(cohort, LOW_DATA, methods("none", "recipe"), quick, **SPLITS | {"n_splits": 3})
    )
    assert set(json.loads(path.read_text())["methods"]) == {"none", "psemix", "recipe"}


def test_a_checkpoint_of_something_else_is_refused(make_cohort, quick, tmp_path):
    cohort, path = make_cohort(), tmp_path / "kept.json"
    settings = SPLITS | {"n_splits": 2, "checkpoint": path}
    run(cohort, LOW_DATA, methods({"method": "recipe", "name": "r", "share": 0.5}), quick, **settings)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="random_state.*3.*4"):
        run(cohort, LOW_DATA, methods("none"), quick, **settings | {"random_state": 4})
    with pytest.raises(ValueError, match="'n_patients'.*4.*'n_patients'.*3"):
        run(cohort, Scenario("low_data", n_patients=3), methods("none"), quick, **settings)
    with pytest.raises(ValueError, match="cohort"):
        run(make_cohort(seed=1), LOW_DATA, methods("none"), quick, **settings)
    with pytest.raises(ValueError, match="0.5.*0.6"):
        run(cohort, LOW_DATA, methods({"method": "recipe", "name": "r", "share": 0.6}), quick, **settings)
    assert path.read_bytes() == before
    path.write_text("method,split\n")
    with pytest.raises(ValueError, match="evaluation"):
        run(cohort, LOW_DATA, methods("none"), quick, **settings)


def test_the_mixture_is_shared_between_methods(make_cohort, quick, monkeypatch):
    from repatient.mixture import GaussianMixture

    fits = []
    fit = GaussianMixture.fit
    monkeypatch.setattr(GaussianMixture, "fit", lambda self, X: (fits.append(self.n_components), fit(self, X))[1])
    given = methods("recipe", "recipe_fixed", "null", {"method": "recipe", "name": "more", "n_components": 5})
    run(make_cohort(), Scenario(), given, quick, **SPLITS | {"n_splits": 2})
    assert fits == [3, 5, 3, 5]


def test_three_classes(make_cohort, quick):
    frame = run(make_cohort(n_patients=30, n_classes=3), LOW_DATA, methods("none", "recipe"), quick, **SPLITS)
    assert np.isfinite(frame["value"]).all()
