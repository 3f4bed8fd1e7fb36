"""All methods in all splits, on one process or on several."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import joblib
import pandas as pd
from threadpoolctl import threadpool_limits

from repatient._progress import progress_bar
from repatient.evaluation._checkpoint import Checkpoint
from repatient.evaluation._fitted_fold import FittedFold, Plan
from repatient.evaluation._fold import make_folds
from repatient.evaluation._metrics import METRICS, score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from repatient.evaluation._cohort import Cohort
    from repatient.evaluation._fold import Fold, Scenario
    from repatient.evaluation._methods import Method


def run(
    cohort: Cohort,
    scenario: Scenario,
    methods: Sequence[Method],
    plan: Plan,
    *,
    n_splits: int,
    test_fraction: float,
    random_state: int,
    n_jobs: Any = 1,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train by every method in every split and measure the predictions of the test patients.

    Parameters
    ----------
    cohort
        The patients.
    scenario
        What is scarce.
    methods
        Methods of different names.
    plan
        What they have in common.
    n_splits, test_fraction, random_state
        Of the splits.
    n_jobs
        Processes, or a dask client. The result does not depend on it.
    checkpoint
        JSON file to keep the values of finished splits in, and to go on from.
    progress
        Show a progress bar; ``None`` shows it where a person can see it.

    Returns
    -------
    Columns ``method``, ``split``, ``seed``, ``metric``, ``value``; ``test_fraction`` is in ``attrs``.
    """
    folds = make_folds(cohort, scenario, n_splits=n_splits, test_fraction=test_fraction, random_state=random_state)
    params = {
        "cohort": cohort.fingerprint(),
        "scenario": vars(scenario),
        "plan": {**vars(plan), "classifier": dict(plan.classifier)},
        "test_fraction": test_fraction,
        "random_state": random_state,
        "version": version("repatient"),
    }
    kept = Checkpoint(checkpoint, params, {method.name: method.record for method in methods}, METRICS)
    pending = [(fold, [m for m in methods if m.name in kept.missing(fold.number)]) for fold in folds]
    tasks = [joblib.delayed(run_fold)(cohort, scenario, fold, missing, plan) for fold, missing in pending if missing]
    with progress_bar(desc="splits", total=n_splits, enabled=progress, unit="split") as bar:
        bar.update(n_splits - len(tasks))
        for number, values in _in_parallel(tasks, n_jobs):
            kept.add(number, values)
            bar.update()
    return _tidy(kept, folds, methods, test_fraction)


def run_fold(
    cohort: Cohort, scenario: Scenario, fold: Fold, methods: Sequence[Method], plan: Plan
) -> tuple[int, dict[str, dict[str, float]]]:
    """Values of all metrics of some methods in one split."""
    fitted = FittedFold(cohort, scenario, fold, plan)
    y = cohort.y[fold.test]
    # One thread, here as in a process of its own, so that sums run in one order.
    with threadpool_limits(limits=1):
        return fold.number, {method.name: score(y, method.predict(fitted)) for method in methods}


def _in_parallel(tasks: list[Any], n_jobs: Any) -> Any:
    """Results of the tasks as they come in."""
    if hasattr(n_jobs, "scheduler_info"):
        context, processes = joblib.parallel_config(backend="dask", client=n_jobs), -1
    elif n_jobs == 1:
        context, processes = nullcontext(), 1
    else:
        context, processes = joblib.parallel_config(backend="loky", inner_max_num_threads=1), n_jobs
    with context:
        yield from joblib.Parallel(n_jobs=processes, batch_size=1, return_as="generator_unordered")(tasks)


def _tidy(kept: Checkpoint, folds: list[Fold], methods: Sequence[Method], test_fraction: float) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            (method.name, fold.number, fold.seed, metric, kept.results[fold.number][method.name][metric])
            for method in methods
            for fold in folds
            for metric in METRICS
        ],
        columns=["method", "split", "seed", "metric", "value"],
    )
    frame.attrs["test_fraction"] = test_fraction
    return frame
