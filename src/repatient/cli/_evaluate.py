"""Measure whether generated patients help on a cohort.

Split the patients again and again, train by each method on some, with and without generated patients, and test on the
others; write one row a method, split and metric (rp.tl.evaluate). With --reference, what another cohort could send is
compared rung by rung: nothing, recipes, offsets, cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient.cli import _cohort
from repatient.cli._evaluation import add_splits, evaluate

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
    parser.add_argument("--missing-class", metavar="CLASS", help="train without this class, which --reference knows")
    _cohort.add_reference(parser, "another cohort (.h5ad), with the same columns and embedding")
    add_splits(parser)
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the cohort of a file."""
    from tqdm.auto import tqdm

    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_table(
        arguments.output,
        columns=["method", "split", "seed", "metric", "value"],
        overwrite=arguments.overwrite,
        source=arguments.input,
    )
    _cohort.check_cohort(adata, arguments)
    frame = evaluate(
        adata,
        **_cohort.keys_of(arguments),
        use_rep=arguments.use_rep,
        **_scenario(arguments),
        n_splits=arguments.n_splits,
        n_jobs=arguments.n_jobs,
        random_state=arguments.random_state,
    )
    _cohort.write_csv(frame, arguments.output)
    values = frame.groupby(["method", "metric"], sort=False, observed=True)["value"]
    table = values.agg(["mean", "std"]).round(3).unstack("metric").swaplevel(axis=1).sort_index(axis=1)
    tqdm.write(f"\nmean and standard deviation over {arguments.n_splits} splits\n{table.to_string()}\n")
    tqdm.write(f"table: {arguments.output}")


def _scenario(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is scarce, and what another cohort may send."""
    given: dict[str, Any] = {}
    if arguments.missing_class is not None:
        if arguments.reference is None or arguments.n_patients is not None:
            msg = "`--missing-class` needs `--reference`, a cohort that has the class, and no `--n-patients`."
            raise ValueError(msg)
        given = {"scenario": "missing_class", "missing_class": arguments.missing_class}
    elif arguments.n_patients is not None:
        given = {"scenario": "low_data", "n_patients": arguments.n_patients}
    if arguments.reference is not None:
        if arguments.reference.suffix != ".h5ad":
            msg = f"`--reference` is a cohort (.h5ad): its patients are split, too, not {str(arguments.reference)!r}."
            raise ValueError(msg)
        rungs = ["recipes", "offsets", "cells"]
        given["travels"] = rungs if arguments.missing_class is not None else ["nothing", *rungs]
        given["reference"] = _cohort.read_reference(arguments.reference)
    return given
