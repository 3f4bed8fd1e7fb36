"""A cohort of few cells, and children that are killed while they write."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable

N_KILLS = 50 if "REPATIENT_TRUST" in os.environ else 12
# A child of a process with threads may wait for ever for a lock that one of them held when it was forked.
MOST_SECONDS, MOST_FORKS = 120, 3


def run_and_kill(work: Callable[[int], Any], part: float, n_before: int = 0) -> None:
    """Do ``work(0)``, ``work(1)``, … in a child until it is killed.

    The child is killed after it finished ``n_before`` pieces of work, and ``part`` times the seconds that one took.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    if not any(was_killed(work, part, n_before) for _ in range(MOST_FORKS)):
        msg = f"{MOST_FORKS} children did not come to an end within {MOST_SECONDS} seconds each"
        raise TimeoutError(msg)


def was_killed(work: Callable[[int], Any], part: float, n_before: int) -> bool:
    """Whether a child came as far as it should, and was killed there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(MOST_SECONDS)
            os.write(writing, b"b")
            for i in range(10**9):
                work(i)
                os.write(writing, b"d")
        finally:
            # Nothing of the test process, such as its report, is to be done twice.
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)
    began = time.perf_counter()
    finished = all(os.read(reading, 1) for _ in range(n_before))
    time.sleep((time.perf_counter() - began) / max(n_before, 1) * part if n_before else part)
    os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return False
    if not finished or not os.WIFSIGNALED(status):
        msg = "the child ended by itself, see its error above"
        raise RuntimeError(msg)
    return True


@pytest.fixture(scope="session")
def kill():
    """See :func:`run_and_kill`; with ``n_before=0``, ``part`` is in seconds."""
    return run_and_kill


@pytest.fixture(scope="session")
def kill_often():
    """Kill a writer, again and again, each time at another moment of its write.

    ``write(i)`` writes content ``i``, 0 or 1; ``read()`` returns what is there, as 0 or 1, or fails. The kills
    are spread over the two writes that follow a first one. Returns how often each content was found.
    """

    def repeat(
        write: Callable[[int], Any], read: Callable[[], int], n_kills: int = N_KILLS, seed: int = 0
    ) -> list[int]:
        found = [0, 0]
        for part in np.random.default_rng(seed).uniform(0, 2, n_kills):
            run_and_kill(lambda i: write(i % 2), part, n_before=1)
            found[read()] += 1
        return found

    return repeat


@pytest.fixture(scope="session")
def tiny() -> ad.AnnData:
    """Six patients of twelve cells, with mixture, recipes and generated patients."""
    rng = np.random.default_rng(0)
    patients = np.repeat([f"p{i}" for i in range(6)], 12)
    adata = ad.AnnData(rng.random((72, 3), dtype=np.float32))
    adata.obs["patient"], adata.obs["label"] = patients, np.where(np.arange(72) < 36, "a", "b")
    adata.obsm["X_pca"] = rng.standard_normal((72, 2)).astype(np.float32)
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 2)
    return adata
