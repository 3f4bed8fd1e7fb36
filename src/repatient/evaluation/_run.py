"""All methods in all splits, on one process or on several."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from repatient._progress import progress_bar
from repatient._threads import one_thread
from repatient.evaluation._checkpoint import PROBABILITIES, Checkpoint
from repatient.evaluation._fitted_fold import FittedFold, Plan
from repatient.evaluation._fold import make_folds
from repatient.evaluation._methods import BASELINES
from repatient.evaluation._metrics import METRICS, score
from repatient.evaluation._processes import check_n_jobs, results_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from repatient.evaluation._cohort import Cohort
    from repatient.evaluation._fold import Fold, Scenario
    from repatient.evaluation._methods import Method

# Arrays of the size of all cells that a split holds at a time.
_COPIES = 4


class Predictions(NamedTuple):
    """Out-of-fold predictions, one row a method, split and test patient.

    Parameters
    ----------
    method, split
        Which they are of, (rows,).
    patient, y
        Patient as numbered in the cohort, and its class, (rows,).
    probabilities
        Of the classes, (rows, classes).
    """

    method: NDArray[np.str_]
    split: NDArray[np.int64]
    patient: NDArray[np.int64]
    y: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class Evaluated(NamedTuple):
    """What an evaluation found.

    Parameters
    ----------
    values
        Columns ``method``, ``split``, ``seed``, ``metric``, ``value``; ``test_fraction`` is in ``attrs``.
    predictions
        Out-of-fold predictions.
    """

    values: pd.DataFrame
    predictions: Predictions


def run(
    cohort: Cohort,
    scenario: Scenario,
    methods: Sequence[Method],
    plan: Plan,
    *,
    n_splits: int,
    test_fraction: float,
    random_state: int,
    n_jobs: Any = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> Evaluated:
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
        Processes, or a dask client; None: this one, and up to eight others where the first split shows that much is left. The
        result does not depend on it.
    checkpoint
        JSON file to keep the values of finished splits in, and to go on from.
    progress
        Show a progress bar; ``None`` shows it where a person can see it.

    Returns
    -------
    The values of all metrics, and the predictions of the test patients.
    """
    check_n_jobs(n_jobs)
    folds = make_folds(cohort, scenario, n_splits=n_splits, test_fraction=test_fraction, random_state=random_state)
    params = {
        "cohort": cohort.fingerprint(),
        "scenario": vars(scenario),
        "plan": {**vars(plan), "classifier": dict(plan.classifier)},
        "test_fraction": test_fraction,
        "random_state": random_state,
        "version": version("repatient"),
    }
    records = {method.name: method.record for method in methods}
    kept = Checkpoint(checkpoint, params, records, [*METRICS, PROBABILITIES])
    pending = [(fold, [m for m in methods if m.name in kept.missing(fold.number)]) for fold in folds]
    calls = [partial(run_fold, cohort, scenario, fold, missing, plan) for fold, missing in pending if missing]
    with progress_bar(desc="splits", total=n_splits, enabled=progress, unit="split") as bar:
        bar.update(n_splits - len(calls))
        for number, values in results_of(calls, n_jobs, memory=_COPIES * cohort.X.nbytes):
            kept.add(number, values)
            bar.update()
    return _evaluated(kept, cohort, folds, methods, scenario.name, test_fraction)


def run_fold(
    cohort: Cohort, scenario: Scenario, fold: Fold, methods: Sequence[Method], plan: Plan
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Metrics of some methods in one split, and their probabilities of the test patients."""
    from repatient.mil import sharing

    fitted = FittedFold(cohort, scenario, fold, plan)
    # One thread, here as in a process of its own, so that sums run in one order.
    with one_thread(), sharing():
        return fold.number, {method.name: _judged(cohort.y[fold.test], method.predict(fitted)) for method in methods}


def _judged(y: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    return {**score(y, probabilities), PROBABILITIES: probabilities.tolist()}


def _evaluated(
    kept: Checkpoint,
    cohort: Cohort,
    folds: list[Fold],
    methods: Sequence[Method],
    scenario_name: str,
    test_fraction: float,
) -> Evaluated:
    values = pd.DataFrame(
        [
            (method.name, fold.number, fold.seed, metric, kept.results[fold.number][method.name][metric])
            for method in methods
            for fold in folds
            for metric in METRICS
        ],
        columns=["method", "split", "seed", "metric", "value"],
    )
    values.attrs["test_fraction"] = test_fraction
    values.attrs["baseline"] = BASELINES[scenario_name]
    pairs = [(method.name, fold) for method in methods for fold in folds]
    patients = np.concatenate([fold.test for _, fold in pairs])
    sizes = [len(fold.test) for _, fold in pairs]
    predictions = Predictions(
        method=np.repeat([name for name, _ in pairs], sizes),
        split=np.repeat([fold.number for _, fold in pairs], sizes),
        patient=patients,
        y=cohort.y[patients],
        probabilities=np.concatenate([kept.results[fold.number][name][PROBABILITIES] for name, fold in pairs]),
    )
    return Evaluated(values, predictions)
