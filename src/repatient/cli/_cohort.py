"""What the commands share: reading a cohort, its columns, and writing results over nothing that is not ours."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from repatient._files._atomic import replace_when_whole
from repatient._files._tables import write_table
from repatient._files._target import MARK, check_target, is_marked, is_report
from repatient._messages import warn

if TYPE_CHECKING:
    import argparse

    import anndata as ad
    import pandas as pd

# Below, a class is known from so few patients that its recipe is mostly theirs.
FEW_PATIENTS = 6


def add_input(parser: argparse.ArgumentParser) -> None:
    """The cohort."""
    parser.add_argument("input", type=Path, metavar="in.h5ad", help="the cohort: one row a cell")


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Where patients, labels and embedding are."""
    parser.add_argument("--patient-key", required=True, metavar="COLUMN", help="column of obs with the patient")
    parser.add_argument("--label-key", required=True, metavar="COLUMN", help="column of obs with the class")
    parser.add_argument("--donor-key", metavar="COLUMN", help="column of obs with the donor, if not the patient")
    add_missing_values(parser)
    add_embedding(parser)


def add_missing_values(parser: argparse.ArgumentParser) -> None:
    """What means that there is no label."""
    parser.add_argument(
        "--missing-values",
        metavar="A,B",
        help="labels that mean that there is none, such as NA; empty where a class is called so (default: asked about)",
    )


def add_embedding(parser: argparse.ArgumentParser) -> None:
    """Where the embedding is."""
    parser.add_argument("--use-rep", metavar="KEY", help="embedding: a key of obsm, or X (default: X_pca)")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Seed of all that is random."""
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="seed (%(default)s)")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Whether an earlier result may be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results of this command")


def keys_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Columns as the functions take them."""
    text = arguments.missing_values
    missing = None if text is None else text.split(",") if text else []
    keys = {name: getattr(arguments, name) for name in ("patient_key", "label_key", "donor_key")}
    return {**keys, "missing_values": missing}


def read_cohort(path: Path) -> ad.AnnData:
    """Read the cohort of a file."""
    import anndata as ad

    if not path.is_file():
        msg = f"there is no file {str(path)!r}"
        raise FileNotFoundError(msg)
    try:
        return ad.read_h5ad(path)
    # What HDF5 and anndata raise at a file that is not as it should be has no common type.
    except Exception as error:
        msg = f"{str(path)!r} is no readable .h5ad file: {error}"
        raise ValueError(msg) from error


def add_reference(parser: argparse.ArgumentParser, what: str) -> None:
    """Another cohort."""
    parser.add_argument("--reference", type=Path, metavar="PATH", help=what)


def read_reference(path: Path) -> Any:
    """What another cohort sends: a model of it, the cohort itself, or a recipes file, which the functions open."""
    from repatient import tl

    if path.is_dir():
        return tl.load_model(path)
    if not path.is_file():
        msg = f"`--reference`: there is no file {str(path)!r}"
        raise FileNotFoundError(msg)
    return read_cohort(path) if path.suffix == ".h5ad" else path


def check_cohort(adata: ad.AnnData, arguments: argparse.Namespace, *, values: bool = False) -> list[str]:
    """Look for columns and embedding before minutes of work, and warn of few patients; returns the classes."""
    from repatient import _store

    _store.check_data(adata)
    _store.read_embedding(adata, arguments.use_rep, patient_key=arguments.patient_key, lazy=True)
    if values:
        _store.read_valued_patients(adata, **keys_of(arguments))
        return []
    patients = _store.read_patients(adata, **keys_of(arguments), strict=True)
    if not patients.classes:
        msg = f"`label_key`: no patient has a label in {arguments.label_key!r}; name the column that says the classes."
        raise ValueError(msg)
    labels = list(patients.labels)
    few = {name: labels.count(name) for name in patients.classes if labels.count(name) < FEW_PATIENTS}
    if few:
        shown = ", ".join(f"{number} of {str(name)!r}" for name, number in few.items())
        msg = (
            f"few patients ({shown}): what is learnt from them may not hold for others, and no test on them can tell; "
            "see the guide on few patients."
        )
        warn(msg)
    return [str(name) for name in patients.classes]


def make_folder(folder: Path) -> None:
    """Make a folder to write to, and find out that nothing can be written there before minutes of work."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        msg = f"`output`: nothing can be written to the folder {str(folder)!r}: {error.strerror}"
        raise PermissionError(msg) from error


def check_file(path: Path, *, suffixes: tuple[str, ...], overwrite: bool, source: Path | None = None) -> None:
    """Accept an h5ad file or a zarr store to write, which is not the source."""
    if path.suffix not in suffixes:
        msg = f"`output` ends with {' or '.join(suffixes)}, not {str(path)!r}."
        raise ValueError(msg)
    make_folder(path.parent)
    sources = [] if source is None else [source]
    is_store = path.suffix == ".zarr"
    check_target(path, "output", what="cohort", ours=is_marked, folder=is_store, overwrite=overwrite, sources=sources)


def write_cohort(adata: ad.AnnData, path: Path) -> None:
    """Write a cohort as an h5ad file with the mark of this package, compressed."""
    import h5py

    with replace_when_whole(path) as new:
        adata.write_h5ad(new, compression="gzip")
        with h5py.File(new, "r+") as file:
            file.attrs[MARK] = "cohort"


def check_table(path: Path, *, columns: list[str], overwrite: bool, source: Path) -> None:
    """Accept a CSV file to write: a new one, or one with these first columns."""
    if path.suffix != ".csv":
        msg = f"`output` ends with .csv, not {str(path)!r}."
        raise ValueError(msg)
    make_folder(path.parent)
    beginning = ",".join(columns).encode()

    def ours(found: Path) -> bool:
        with found.open("rb") as file:
            return file.read(len(beginning)) == beginning

    check_target(path, "output", what="table", ours=ours, overwrite=overwrite, sources=[source])


def check_page(path: Path, *, overwrite: bool, source: Path) -> None:
    """Accept an HTML file to write: a new one, or an earlier report."""
    if path.suffix not in (".html", ".htm"):
        msg = f"`output` ends with .html, not {str(path)!r}."
        raise ValueError(msg)
    make_folder(path.parent)
    check_target(path, "output", what="report", ours=is_report, overwrite=overwrite, sources=[source])


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table that takes the place of an earlier one when it is whole."""
    with replace_when_whole(path) as new:
        write_table(new, table)
