"""Make one cohort of a folder of files and a table.

Read one file a slide, image, tube or sample (HDF5 of CLAM and TRIDENT, .pt, .npy, .npz, FCS, .h5ad, Parquet, CSV) and a table
that says whose each is (CSV, TSV, Excel), and write them as one .h5ad file: rp.io.read_features. Files are read and written
one after the other, so that the cohort may be larger than memory.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from repatient._messages import warn
from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse

# What opens the file that is written block by block.
_LAZY = ("dask", "xarray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", type=Path, help="folder with the files")
    parser.add_argument("table", type=Path, help="table with one row a file")
    parser.add_argument("output", type=Path, metavar="out.h5ad", help="where to write the cohort")
    parser.add_argument(
        "--file-key", metavar="COLUMN", help="column of the table that names the files (default: found)"
    )
    parser.add_argument("--patient-key", metavar="COLUMN", help="column of the table with the patient (default: found)")
    parser.add_argument("--format", metavar="SUFFIX", help="read files of this suffix, where there are several formats")
    parser.add_argument("--encoder", metavar="NAME", help="which of several folders features_NAME to read")
    parser.add_argument("--features", metavar="NAME", help="array with the features, for .h5ad a layer or embedding")
    parser.add_argument(
        "--on-missing",
        choices=["error", "skip"],
        default="error",
        help="files and rows that do not fit each other: list them and stop, or leave them out (%(default)s)",
    )
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read the files and write the cohort."""
    from tqdm.auto import tqdm

    from repatient import _store, io

    _cohort.check_file(arguments.output, suffixes=(".h5ad",), overwrite=arguments.overwrite, source=arguments.table)
    names = ("file_key", "patient_key", "format", "encoder", "features", "on_missing")
    given = {name: getattr(arguments, name) for name in names}
    missing = [name for name in _LAZY if find_spec(name) is None]
    if missing:
        warn(f"{' and '.join(missing)} not installed (`pip install 'repatient[dask]'`): the cohort is held in memory.")
        adata = io.read_features(arguments.folder, arguments.table, **given)
        _cohort.write_cohort(adata, arguments.output)
    else:
        to = {"to": arguments.output, "overwrite": arguments.overwrite}
        adata = io.read_features(arguments.folder, arguments.table, **to, **given)
    n_patients = len(_store.read_patients(adata, "patient").names)
    tqdm.write(f"{adata.n_obs:,} cells of {n_patients} patients, {adata.n_vars} features: {arguments.output}")
