"""How many processes there are, what they know, and what they warn of."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from functools import partial
from pickle import PicklingError

import joblib
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

import repatient as rp
from repatient.evaluation import _processes
from repatient.evaluation._processes import check_n_jobs, results_of
from repatient.mil import PREDICTORS, Linear, make_predictor, register_predictor
from repatient.mixing import augmenters, register_augmenter, unregister_augmenter

SMALL = 1000


@pytest.fixture(scope="module")
def processes():
    """The same for all tests, which they do not outlive."""
    yield
    get_reusable_executor().shutdown()


def worker(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()


def warned(message: str) -> str:
    warnings.warn(message, UserWarning, stacklevel=1)
    warnings.warn("for authors", DeprecationWarning, stacklevel=1)
    return message


def dies_elsewhere(here: int, number: int) -> int:
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def made(predictor: str, augmenter: str) -> tuple[float, str]:
    return make_predictor(predictor).C, augmenters()[augmenter].citation


@pytest.mark.parametrize("n_jobs", [0, -2])
def test_a_number_that_is_none(n_jobs):
    with pytest.raises(ValueError, match="`n_jobs`"):
        check_n_jobs(n_jobs)


@pytest.mark.parametrize("n_jobs", ["two", 2.0, True])
def test_what_is_no_number(n_jobs):
    with pytest.raises(TypeError, match="`n_jobs`"):
        check_n_jobs(n_jobs)


def test_short_work_stays_here():
    assert set(results_of([worker] * 4, None, memory=SMALL)) == {os.getpid()}
    assert set(results_of([worker] * 4, 1, memory=SMALL)) == {os.getpid()}
    assert list(results_of([], None, memory=SMALL)) == []


def test_long_work_goes_to_others(monkeypatch, processes):
    monkeypatch.setattr(_processes, "_LONG", 0.1)
    monkeypatch.setattr("joblib.effective_n_jobs", lambda n_jobs: 2)
    calls = [partial(worker, 0.1)] * 5
    first, *others = results_of(calls, None, memory=SMALL)
    assert first == os.getpid()
    assert first not in others
    assert len(others) == 4
    # A cohort of which there is no place for two.
    assert set(results_of(calls, None, memory=_processes._MOST_MEMORY // 2 + 1)) == {os.getpid()}


def test_they_change_nothing(processes):
    adata, _ = rp.datasets.pbmc_cohort(n_patients=8, n_cells=30)
    keys = {"patient_key": "patient", "label_key": "label", "progress": False}
    settings = {"methods": ["attention+recipe", "size_only"], "n_steps": 20, "n_splits": 4}
    one, two = (rp.tl.evaluate(adata, **keys, **settings, n_jobs=n_jobs) for n_jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_none_inside_of_others(processes):
    assert _processes._bearable(4, SMALL) >= 1
    assert joblib.Parallel(2)([joblib.delayed(_processes._bearable)(4, SMALL)] * 2) == [1, 1]


def test_others_know_what_is_registered_here(processes):
    def register(C: float, citation: str) -> None:
        register_predictor("toy", lambda **settings: Linear("mean", C=C, **settings))
        register_augmenter("half", Linear, citation=citation)

    for C, citation in ((0.25, "first"), (0.5, "second")):
        register(C, citation)
        try:
            found = list(results_of([partial(made, "toy", "half")] * 3, 2, memory=SMALL))
        finally:
            del PREDICTORS["toy"]
            unregister_augmenter("half")
        # The second time the processes know the names from the first.
        assert found == [(C, citation)] * 3


def test_others_warn_here_once(processes):
    calls = [partial(warned, text) for text in ("one", "other", "one")]
    with pytest.warns(UserWarning, match="one|other") as caught:
        assert sorted(results_of(calls, 2, memory=SMALL)) == ["one", "one", "other"]
    assert sorted(str(one.message) for one in caught) == ["one", "other"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="one"):
            list(results_of(calls[:1], 2, memory=SMALL))


def test_what_others_cannot_do_is_done_here(monkeypatch, processes):
    monkeypatch.setattr(_processes, "_LONG", 0.0)
    monkeypatch.setattr("joblib.effective_n_jobs", lambda n_jobs: 2)
    lock = threading.Lock()
    unpicklable = [lambda i=i: (i, lock.locked()) for i in range(4)]
    assert sorted(results_of(unpicklable, None, memory=SMALL)) == [(i, False) for i in range(4)]
    with pytest.raises(PicklingError):
        list(results_of(unpicklable, 2, memory=SMALL))
    dying = [partial(dies_elsewhere, os.getpid(), i) for i in range(5)]
    assert sorted(results_of(dying, None, memory=SMALL)) == list(range(5))
