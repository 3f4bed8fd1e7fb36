"""Command line: augment a cohort, or see it done on one whose truth is known."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.cli._augment import Settings

_DESCRIPTION = """\
Learn the recipe of each class of patients (how a patient's cells spread over the components of a Gaussian mixture)
and mix real cells into new patients by these recipes."""

_AUGMENT = """\
Read a cohort, fit the mixture, learn the recipes, generate patients, and write real and generated cells to one .h5ad
file: obs["is_generated"] tells them apart, obs["source_cell"] says which real cell a row is."""


class _Parser(argparse.ArgumentParser):
    """Parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 on bad input."""
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments.run(arguments)
        except (KeyError, TypeError, ValueError, OSError) as error:
            print(f"repatient: error: {_one_line(error)}", file=sys.stderr)
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    from repatient import __version__

    parser = _Parser(prog="repatient", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"repatient {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    augment = commands.add_parser("augment", help="add generated patients to a cohort", description=_AUGMENT)
    augment.add_argument("input", type=Path, metavar="in.h5ad", help="the cohort: one row a cell")
    augment.add_argument("output", type=Path, metavar="out.h5ad", help="where to write real and generated cells")
    augment.add_argument("--patient-key", required=True, metavar="COLUMN", help="column of obs with the patient")
    augment.add_argument("--label-key", required=True, metavar="COLUMN", help="column of obs with the class")
    augment.add_argument("--donor-key", metavar="COLUMN", help="column of obs with the donor, if not the patient")
    augment.add_argument("--use-rep", metavar="KEY", help="embedding: a key of obsm, or X (default: X_pca)")
    _add_shared(augment, n_components=30, select="none")
    augment.set_defaults(run=_run_augment)

    demo = commands.add_parser(
        "demo",
        help="augment a cohort of known recipes, and compare what was found with the truth",
        description="Deal the blood cells that come with scanpy to patients of two classes by known recipes, augment "
        "that cohort, and print what was found beside the truth.",
    )
    demo.add_argument("folder", type=Path, help="where to leave cohort.h5ad, augmented.h5ad and the figures")
    _add_shared(demo, n_components=10, select="low")
    demo.set_defaults(run=_run_demo)
    return parser


def _add_shared(parser: argparse.ArgumentParser, *, n_components: int, select: str) -> None:
    parser.add_argument(
        "--n-components", type=int, default=n_components, metavar="K", help="components of the mixture (%(default)s)"
    )
    parser.add_argument(
        "--covariance-type",
        choices=["auto", "full", "tied", "diag"],
        default="auto",
        help="covariance of a component (auto: full up to 64 dimensions, diag above)",
    )
    parser.add_argument(
        "--n-patients",
        default="50",
        metavar="N",
        help="patients to generate: a number for every class, CLASS=N,CLASS=N for some, or balance (%(default)s)",
    )
    parser.add_argument(
        "--n-donors", type=int, metavar="M", help="mix each patient from the cells of M donors (default: all)"
    )
    parser.add_argument(
        "--select",
        choices=["none", "low", "high", "band", "correct"],
        default=select,
        help="keep generated patients by the uncertainty of a patient classifier (%(default)s)",
    )
    if select == "none":
        parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the figures into this folder")
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="seed (%(default)s)")


def _run_augment(arguments: argparse.Namespace) -> None:
    from repatient.cli._augment import augment_file

    augment_file(arguments.input, arguments.output, _settings(arguments), figures=arguments.figures)


def _run_demo(arguments: argparse.Namespace) -> None:
    from repatient.cli._augment import augment_demo

    arguments.patient_key, arguments.label_key, arguments.donor_key, arguments.use_rep = "patient", "label", None, None
    augment_demo(arguments.folder, _settings(arguments))


def _settings(arguments: argparse.Namespace) -> Settings:
    from repatient.cli._augment import Settings

    return Settings(
        patient_key=arguments.patient_key,
        label_key=arguments.label_key,
        donor_key=arguments.donor_key,
        use_rep=arguments.use_rep,
        n_components=arguments.n_components,
        covariance_type=arguments.covariance_type,
        n_patients=_parse_n_patients(arguments.n_patients),
        n_donors=arguments.n_donors,
        select=arguments.select,
        random_state=arguments.random_state,
    )


def _parse_n_patients(text: str) -> int | dict[str, int] | str:
    """Read ``50``, ``healthy=50,disease=20`` or ``balance``."""
    if text == "balance":
        return text
    try:
        if "=" not in text:
            return int(text)
        # The last sign separates, as the name of a class may hold one itself.
        return {name: int(number) for name, number in (part.rsplit("=", 1) for part in text.split(","))}
    except ValueError as error:
        msg = f"`--n-patients` is a number, CLASS=N,CLASS=N or balance, not {text!r}."
        raise ValueError(msg) from error


def _one_line(error: BaseException) -> str:
    # A KeyError quotes its message.
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(message).split()).replace("`data`", "the input")


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    from tqdm.auto import tqdm

    if issubclass(category, DeprecationWarning | FutureWarning):
        # They speak to those who write programs.
        return
    tqdm.write(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
