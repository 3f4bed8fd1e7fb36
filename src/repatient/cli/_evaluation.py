"""The evaluation that two commands run: the first splits are timed, and say what the others will take."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    import anndata as ad
    import pandas as pd

# Whoever waits longer than this (seconds) is told so before.
LONG = 30.0
_TIMED = 2


def add_splits(parser: argparse.ArgumentParser) -> None:
    """How much is evaluated, and by how many processes."""
    parser.add_argument("--n-splits", type=int, default=20, metavar="N", help="splits of the evaluation (%(default)s)")
    parser.add_argument(
        "--n-jobs",
        type=int,
        metavar="N",
        help="processes for long evaluations (default: one a core, at most 8); results are equal",
    )


def evaluate(adata: ad.AnnData, *, n_splits: int, n_jobs: int | None, **settings: Any) -> pd.DataFrame:
    """Run :func:`repatient.tl.evaluate`; the first splits are kept, and those that follow take them as they are."""
    from tqdm.auto import tqdm

    from repatient import tl
    from repatient._checks import check_integer

    if n_jobs is not None:
        check_integer(n_jobs, "--n-jobs", minimum=1)
    with TemporaryDirectory() as folder:
        settings |= {"checkpoint": Path(folder, "splits.json")}
        start = perf_counter()
        first: Any = tl.evaluate(adata, n_splits=min(n_splits, _TIMED), **settings)
        left = n_splits - _TIMED
        if left <= 0:
            return first
        seconds = (perf_counter() - start) / _TIMED * left
        if seconds > LONG:
            told = f"{left} more splits: about {in_words(seconds)}, less on several cores"
            tqdm.write(told, file=sys.stderr)
        found: Any = tl.evaluate(adata, n_splits=n_splits, n_jobs=n_jobs if seconds > LONG else 1, **settings)
    return found


def in_words(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
