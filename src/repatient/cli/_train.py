"""Train a classifier of patients on a cohort.

Train on the labelled patients (rp.tl.mil) and save the model to a folder, without pickle. With --reference, a class that is
missing or rare here is learnt from what another cohort knows of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="model/", help="folder to save the model to")
    _cohort.add_columns(parser)
    parser.add_argument(
        "--outcome",
        choices=["class", "ordinal", "continuous"],
        default="class",
        help="what the label is: a class, a grade or a number (%(default)s)",
    )
    _cohort.add_reference(
        parser, "another cohort that has the classes which are missing or rare here: recipes file, model/ or .h5ad"
    )
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Train on the cohort of a file."""
    from tqdm.auto import tqdm

    from repatient import tl
    from repatient._files._model_folder import CLASSIFIER

    adata = _cohort.read_cohort(arguments.input)
    _cohort.make_folder(arguments.output.parent)
    CLASSIFIER.check_target(arguments.output, "output", overwrite=arguments.overwrite)
    reference = None if arguments.reference is None else _cohort.read_reference(arguments.reference)
    _cohort.check_cohort(adata, arguments, values=arguments.outcome == "continuous")
    model: Any = tl.mil(
        adata,
        **_cohort.keys_of(arguments),
        outcome=arguments.outcome,
        use_rep=arguments.use_rep,
        reference=reference,
        random_state=arguments.random_state,
    )
    model.save(arguments.output)
    used = "" if reference is None else f"\n{adata.uns[_store.keys.MIL]['reference']['summary']}"
    tqdm.write(f"{model}{used}\nmodel: {arguments.output}")
