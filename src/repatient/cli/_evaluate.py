"""Measure whether generated patients help on a cohort.

Split the patients again and again, train by each method on some, with and without generated patients, and test on the
others; write one row a method, split and metric (rp.tl.evaluate).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="out.csv", help="where to write the table")
    _cohort.add_columns(parser)
    parser.add_argument(
        "--n-patients", type=int, metavar="N", help="train on N patients of each class (default: on all but the tested)"
    )
    parser.add_argument("--n-splits", type=int, default=20, metavar="N", help="number of splits (%(default)s)")
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the cohort of a file."""
    from tqdm.auto import tqdm

    from repatient import tl

    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_table(
        arguments.output,
        columns=["method", "split", "seed", "metric", "value"],
        overwrite=arguments.overwrite,
        source=arguments.input,
    )
    _cohort.check_cohort(adata, arguments)
    few: dict[str, Any] = {}
    if arguments.n_patients is not None:
        few = {"scenario": "low_data", "n_patients": arguments.n_patients}
    frame: Any = tl.evaluate(
        adata,
        **_cohort.keys_of(arguments),
        use_rep=arguments.use_rep,
        **few,
        n_splits=arguments.n_splits,
        random_state=arguments.random_state,
    )
    _cohort.write_csv(frame, arguments.output)
    values = frame.groupby(["method", "metric"], sort=False, observed=True)["value"]
    table = values.agg(["mean", "std"]).round(3).unstack("metric").swaplevel(axis=1).sort_index(axis=1)
    tqdm.write(f"\nmean and standard deviation over {arguments.n_splits} splits\n{table.to_string()}\n")
    tqdm.write(f"table: {arguments.output}")
