"""Write what was found on a cohort as one HTML page.

Write the results that the cohort holds as a page that can be sent round (rp.io.write_report). With --patient-key and
--label-key, those that are missing are computed before: mixture, recipes, evaluation, a model of all patients, and an
audit of the generated ones, if there are any.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repatient import _store
from repatient.cli import _cohort
from repatient.cli._evaluation import add_splits, evaluate

if TYPE_CHECKING:
    import argparse

    import anndata as ad


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="out.html", help="where to write the page")
    parser.add_argument("--patient-key", metavar="COLUMN", help="column of obs with the patient")
    parser.add_argument("--label-key", metavar="COLUMN", help="column of obs with the class")
    parser.add_argument("--donor-key", metavar="COLUMN", help="column of obs with the donor, if not the patient")
    _cohort.add_missing_values(parser)
    parser.add_argument(
        "--batch-key", metavar="COLUMN", help="column of obs with the batch, to set against the classes"
    )
    _cohort.add_embedding(parser)
    add_splits(parser)
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the page of the cohort of a file."""
    from tqdm.auto import tqdm

    from repatient import io

    if (arguments.patient_key is None) != (arguments.label_key is None):
        msg = "give `--patient-key` and `--label-key`, or neither, for what the cohort holds already."
        raise ValueError(msg)
    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_page(arguments.output, overwrite=arguments.overwrite, source=arguments.input)
    if arguments.batch_key is not None:
        _store.obs_column(adata, arguments.batch_key, "--batch-key")
    if arguments.patient_key is not None:
        _cohort.check_cohort(adata, arguments)
        _complete(adata, arguments)
    io.write_report(adata, arguments.output, title=arguments.title, batch_key=arguments.batch_key)
    tqdm.write(f"report: {arguments.output}")


def _complete(adata: ad.AnnData, arguments: argparse.Namespace) -> None:
    """Compute what the cohort does not hold yet."""
    from repatient import tl

    keys, seed, use_rep = _cohort.keys_of(arguments), arguments.random_state, arguments.use_rep
    if _store.keys.GMM not in adata.uns:
        tl.gmm(adata, use_rep=use_rep, patient_key=arguments.patient_key, random_state=seed)
    if _store.keys.RECIPES not in adata.uns:
        tl.recipes(adata, **keys, random_state=seed)
    if _store.keys.EVALUATION not in adata.uns:
        splits = {"n_splits": arguments.n_splits, "n_jobs": arguments.n_jobs}
        evaluate(adata, **keys, use_rep=use_rep, **splits, random_state=seed)
    if _store.keys.MIL not in adata.uns:
        tl.mil(adata, **keys, use_rep=use_rep, random_state=seed)
    if _store.keys.GENERATED in adata.uns and _store.keys.AUDIT not in adata.uns:
        tl.audit(adata, random_state=seed)
