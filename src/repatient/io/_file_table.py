"""Which files there are, which rows of a table they belong to, and what is wrong with either."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import pandas as pd

from repatient._checks import check_option, listed
from repatient.io._read_arrays import outline_arrays, outline_hdf5, read_arrays, read_hdf5
from repatient.io._read_tabular import (
    outline_anndata,
    outline_fcs,
    outline_table,
    read_anndata,
    read_fcs,
    read_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from repatient.io._read_arrays import Content, Options, Outline

_HDF5, _ARRAYS, _TABLE = (outline_hdf5, read_hdf5), (outline_arrays, read_arrays), (outline_table, read_table)
READERS: dict[str, tuple[Callable[[Path, Options], Outline], Callable[[Path, Options], Content]]] = {
    "h5": _HDF5,
    "hdf5": _HDF5,
    "pt": _ARRAYS,
    "pth": _ARRAYS,
    "npy": _ARRAYS,
    "npz": _ARRAYS,
    "fcs": (outline_fcs, read_fcs),
    "h5ad": (outline_anndata, read_anndata),
    "parquet": _TABLE,
    "csv": _TABLE,
    "tsv": _TABLE,
}
# What damaged files and files of another content raise in the packages that read them.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, IndexError, UnpicklingError, BadZipFile)
_TEXT = {"csv", "tsv"}
# What people write behind the name of a slide or an image.
_IMAGES = {"svs", "tif", "tiff", "ndpi", "mrxs", "scn", "png", "jpg", "jpeg", "bmp", "czi", "vsi", "qptiff", "h5mu"}
_FILE_COLUMNS = ("file", "filename", "path", "slide", "slide_id", "image", "image_id", "tube", "sample", "sample_id")
_PATIENT_COLUMNS = ("patient", "patient_id", "case_id", "case", "subject", "donor", "donor_id")
_ENCODER = re.compile(r"^(?:\w+_)?features_(.+)$")


@dataclass(frozen=True)
class Matched:
    """Files with their rows, in the order of the table, and what is wrong: (file or row, what) each."""

    files: list[Path]
    rows: pd.DataFrame
    problems: list[tuple[str, str]]
    encoder: str | None


def find_files(folder: Path, kind: str | None, encoder: str | None, leave_out: Path | None) -> list[Path]:
    """Files of one format below a folder, sorted, of one encoder where there are several."""
    if kind is not None:
        check_option(kind, "format", READERS)
    below = (path for path in sorted(folder.rglob("*")) if not any(p[0] == "." for p in path.relative_to(folder).parts))
    found = [path for path in below if path.is_file() and _suffix(path) in ([kind] if kind else READERS)]
    found = [path for path in found if leave_out is None or path.resolve() != leave_out.resolve()]
    encoders = sorted({name for path in found if (name := encoder_of(path)) is not None})
    if encoder is not None or len(encoders) > 1:
        if encoder not in encoders:
            msg = (
                f"`encoder` is one of {listed(encoders)}, as the folders in {str(folder)!r} are named, not {encoder!r}."
            )
            raise ValueError(msg)
        found = [path for path in found if encoder_of(path) == encoder]
    kinds = Counter(_suffix(path) for path in found)
    if len(kinds) > 1 and set(kinds) - _TEXT:
        # Tables beside the data describe it.
        kinds = Counter({suffix: n for suffix, n in kinds.items() if suffix not in _TEXT})
    if set(kinds) == {"h5", "pt"}:
        # CLAM writes the same slides twice; the coordinates are in the HDF5 files.
        kinds = Counter({"h5": kinds["h5"]})
    if not kinds:
        msg = f"`folder`: no file that can be read in {str(folder)!r}; known are {listed(f'.{name}' for name in READERS)}."
        raise ValueError(msg)
    if len(kinds) > 1:
        counts = ", ".join(f"{n} .{suffix}" for suffix, n in sorted(kinds.items()))
        msg = f"`format`: there are {counts} files in {str(folder)!r}; name the format to read."
        raise ValueError(msg)
    return [path for path in found if _suffix(path) in kinds]


def encoder_of(path: Path) -> str | None:
    """The encoder that the folder of a file is named after, as TRIDENT does."""
    match = _ENCODER.match(path.parent.name)
    return match[1] if match else None


def read_rows(table: Any) -> pd.DataFrame:
    """A table with one row a file; names and numbers of slides and patients stay as they were written."""
    if isinstance(table, pd.DataFrame):
        # Names in the index are part of the table, row numbers are not.
        frame = table.reset_index(drop=table.index.name is None and table.index.dtype.kind in "iu")
    else:
        path = Path(table)
        if not path.is_file():
            msg = f"`table`: there is no file {str(path)!r}."
            raise FileNotFoundError(msg)
        suffix = _suffix(path)
        if suffix not in {"csv", "tsv", "txt", "xlsx", "xls"}:
            msg = f"`table` is a .csv, .tsv or .xlsx file or a DataFrame, not {str(path)!r}."
            raise ValueError(msg)
        if suffix in {"xlsx", "xls"}:
            frame, text = pd.read_excel(path), pd.read_excel(path, dtype=str)
        else:
            settings: dict[str, Any] = {"sep": "," if suffix == "csv" else "\t", "encoding": "utf-8-sig"}
            frame, text = pd.read_csv(path, **settings), pd.read_csv(path, dtype=str, **settings)
        # "007" is a name, not seven.
        names = [column for column in frame if str(column).lower() in {*_FILE_COLUMNS, *_PATIENT_COLUMNS}]
        zeros = [column for column in frame if text[column].str.match(r"^0\d").any()]
        for column in {*names, *zeros}:
            frame[column] = text[column]
    frame.columns = [str(column) for column in frame.columns]
    if frame.empty or frame.columns.has_duplicates:
        what = "has no rows" if frame.empty else "names a column twice"
        msg = f"`table` {what}: its columns are {listed(frame.columns, 40)}."
        raise ValueError(msg)
    return frame


def match(
    files: list[Path], folder: Path, table: pd.DataFrame, file_key: str | None, patient_key: str | None
) -> Matched:
    """Bring files and rows together, by path without its suffix where the table has paths, else by name."""
    known = {str(path.relative_to(folder).with_suffix("").as_posix()): path for path in files}
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.stem, []).append(path)
    file_key = _file_column(table, file_key, known.keys() | by_name.keys(), files)
    patient_key = _patient_column(table, patient_key, file_key)
    problems: list[tuple[str, str]] = []
    taken: dict[Path, int] = {}
    mentioned: set[Path] = set()
    patients = table[patient_key]
    for row, value in enumerate(table[file_key]):
        name = "" if pd.isna(value) else _without_suffix(str(value).strip())
        candidates = [known[name]] if name in known else by_name.get(Path(name).name, [])
        mentioned.update(candidates)
        if not candidates:
            where = f"row {row + 1} ({value!r})" if name else f"row {row + 1}"
            problems.append((str(value), f"{where} of the table has no file"))
        elif len(candidates) > 1:
            where = listed(path.relative_to(folder) for path in candidates)
            problems.append((str(value), f"several files of this name: {where}; give paths in the table"))
        elif candidates[0] in taken:
            problems.append(
                (str(value), f"rows {taken[candidates[0]] + 1} and {row + 1} of the table name the same file")
            )
        elif pd.isna(patients.iloc[row]) or not str(patients.iloc[row]).strip():
            problems.append((str(value), f"row {row + 1} of the table has no patient (`{patient_key}`)"))
        else:
            taken[candidates[0]] = row
    problems += [(path.name, "the table has no row for it") for path in files if path not in mentioned]
    rows = table.iloc[list(taken.values())].copy()
    names = [path.stem for path in taken]
    if len(set(names)) < len(names):
        names = [path.relative_to(folder).with_suffix("").as_posix() for path in taken]
    if "slide" not in rows or rows["slide"].duplicated().any():
        rows["slide"] = names
    rows["patient"] = rows[patient_key].astype(str).str.strip()
    rows["slide"] = rows["slide"].astype(str)
    encoder = encoder_of(files[0]) if files else None
    return Matched(list(taken), rows.reset_index(drop=True), problems, encoder)


def _file_column(table: pd.DataFrame, file_key: str | None, known: Iterable[str], files: list[Path]) -> str:
    """The column that names the files: as told, else the one with most of their names."""
    if file_key is not None:
        _check_column(table, file_key, "file_key")
        return file_key
    known = set(known)
    hits = {
        column: sum(
            Path(name).name in known or name in known for name in map(_without_suffix, values.astype(str).str.strip())
        )
        for column, values in table.items()
    }
    best = max(hits.values())
    if best == 0:
        msg = (
            f"`file_key`: no column of the table, {listed(table.columns, 40)}, has names of the files, such as "
            f"{listed((path.stem for path in files), 3)}."
        )
        raise ValueError(msg)
    fitting = [column for column, n in hits.items() if n == best]
    return next((column for name in _FILE_COLUMNS for column in fitting if column.lower() == name), fitting[0])


def _patient_column(table: pd.DataFrame, patient_key: str | None, file_key: str) -> str:
    if patient_key is not None:
        _check_column(table, patient_key, "patient_key")
        return patient_key
    lower = {column.lower(): column for column in reversed(table.columns)}
    return next((lower[name] for name in _PATIENT_COLUMNS if name in lower), file_key)


def _check_column(table: pd.DataFrame, column: str, argument: str) -> None:
    if column not in table:
        msg = f"`{argument}`: the table has no column {column!r}; there are {listed(table.columns, 40)}."
        raise KeyError(msg)


def _suffix(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _without_suffix(name: str) -> str:
    """A name of the table without the suffix of a file; other points belong to the name."""
    name = name.replace("\\", "/").removeprefix("./")
    stem, point, suffix = name.rpartition(".")
    return stem if point and suffix.lower() in READERS.keys() | _IMAGES else name
