"""A cohort of few cells, and children that are killed while they write."""

from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
from children import Child

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable

N_KILLS = 50 if "REPATIENT_TRUST" in os.environ else 8
MOST_SECONDS = 120


@pytest.fixture(scope="session")
def child():
    """Start a child that does ``work(tell)``, see :class:`children.Child`."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    return lambda work, seconds=MOST_SECONDS: Child(work, seconds)


def run_and_kill(child: Callable[..., Child], work: Callable[[int], Any], part: float, n_before: int = 0) -> None:
    """Do ``work(0)``, ``work(1)``, … in a child until it is killed.

    The child is killed after it finished ``n_before`` pieces of work, and ``part`` times the seconds that one took.
    """

    def go_on(tell):
        tell("begun")
        for i in range(10**9):
            work(i)
            tell(i)

    started = child(go_on)
    started.hear()
    began = time.perf_counter()
    for _ in range(n_before):
        started.hear()
    time.sleep((time.perf_counter() - began) / max(n_before, 1) * part if n_before else part)
    started.kill()


@pytest.fixture(scope="session")
def kill(child):
    """See :func:`run_and_kill`; with ``n_before=0``, ``part`` is in seconds."""
    return partial(run_and_kill, child)


@pytest.fixture(scope="session")
def kill_often(kill):
    """Kill a writer, again and again, each time at another moment of its write.

    ``write(i)`` writes content ``i``, 0 or 1; ``read()`` returns what is there, as 0 or 1, or fails. The kills
    are spread over the two writes that follow a first one; there are more of them, up to ten times as many, until both
    contents were found. Returns how often each was.
    """

    def repeat(
        write: Callable[[int], Any], read: Callable[[], int], n_kills: int = N_KILLS, seed: int = 0
    ) -> list[int]:
        found, rng = [0, 0], np.random.default_rng(seed)
        for number in range(10 * n_kills):
            if number >= n_kills and min(found) > 0:
                break
            kill(lambda i: write(i % 2), rng.uniform(0, 2), n_before=1)
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
