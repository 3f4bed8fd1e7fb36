"""Predict the patients of a cohort by a model.

Read a model that train saved and write one row a patient: what is predicted, how probable, how uncertain, and how
familiar the patient is to the model. Raw features are enough: the model knows the steps to its embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("model", type=Path, metavar="model/", help="folder of the model")
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="out.csv", help="where to write the table")
    parser.add_argument("--patient-key", metavar="COLUMN", help="column of obs with the patient (default: as trained)")
    parser.add_argument("--use-rep", metavar="KEY", help="embedding: a key of obsm, or X (default: as trained)")
    parser.add_argument(
        "--source", metavar="NAME", help="measured features: X, a layer, a key of obsm (default: as trained)"
    )
    parser.add_argument(
        "--check",
        choices=["warn", "error", "none"],
        default="warn",
        help="patients unlike those of the training: warn, stop at single ones too, or predict anything (%(default)s)",
    )
    parser.add_argument(
        "--allow-missing", type=float, default=0.0, metavar="SHARE", help="features that may be missing (%(default)s)"
    )
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Predict the patients of a file."""
    from tqdm.auto import tqdm

    from repatient.tl import PatientClassifier

    model = PatientClassifier.load(arguments.model)
    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_table(
        arguments.output, columns=["patient", "predicted"], overwrite=arguments.overwrite, source=arguments.input
    )
    frame = model.predict(
        adata,
        patient_key=arguments.patient_key,
        use_rep=arguments.use_rep,
        source=arguments.source,
        check=arguments.check,
        allow_missing=arguments.allow_missing,
        random_state=arguments.random_state,
    )
    table = frame.rename_axis("patient").reset_index()
    first = ["patient", "predicted"]
    _cohort.write_csv(table[[*first, *(name for name in table if name not in first)]], arguments.output)
    tqdm.write(f"{len(table)} patients: {arguments.output}")
