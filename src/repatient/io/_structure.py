"""What an HDF5 file may be made of before anything is read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py

from repatient.io._format import Refused

if TYPE_CHECKING:
    from pathlib import Path

_DEEPEST = 8
# Bytes that the names of a table's columns may take in memory, which the file does not tell before they are read.
_MOST_BYTES = 300 << 20
_ATTRIBUTES = {"encoding-type", "encoding-version", "_index", "column-order", "format", "version"}
_ENCODINGS = {"dict", "array", "string", "string-array", "numeric-scalar", "null", "dataframe", ""}


def check_structure(file: h5py.File, path: Path, raw: memoryview) -> None:
    """Refuse groups and attributes that this package does not write, in a file whose layout was found to be sound."""
    _check_attributes(file, "/", len(raw), path)
    found: list[tuple[h5py.Group, int]] = [(file, 0)]
    while found:
        group, depth = found.pop()
        if depth > _DEEPEST:
            _refuse(path, f"groups within groups, deeper than {_DEEPEST}")
        for name, item in group.items():
            if isinstance(item, h5py.Group):
                found.append((item, depth + 1))
            _check_attributes(item, name, len(raw), path)


def _check_attributes(item: Any, name: str, n_bytes: int, path: Path) -> None:
    """Refuse attributes that are none of ours, and tables whose columns are not those that they name."""
    unknown = set(item.attrs) - _ATTRIBUTES
    if unknown:
        _refuse(path, f"unknown attributes of {name!r}")
    for attribute in item.attrs:
        of_attribute = item.attrs.get_id(attribute)
        shape = of_attribute.shape
        if attribute == "column-order":
            n_columns = len(item) if isinstance(item, h5py.Group) else 0
            if len(shape) != 1 or shape[0] > n_columns or shape[0] * n_bytes > _MOST_BYTES:
                _refuse(path, f"more columns named than there are, {name!r}")
        elif shape != () or of_attribute.dtype.kind not in "OiuSf":
            _refuse(path, f"an attribute of {name!r} that is neither text nor number")
    if str(item.attrs.get("encoding-type", "")) not in _ENCODINGS:
        _refuse(path, f"an unknown type of entry, {name!r}")
    if "column-order" in item.attrs:
        columns = [str(column) for column in item.attrs["column-order"]]
        if {*columns, str(item.attrs.get("_index"))} != set(item) or len(columns) != len(item) - 1:
            _refuse(path, f"a table whose columns are not those that it names, {name!r}")


def _refuse(path: Path, what: str) -> None:
    msg = f"{str(path)!r} is no recipes file of this package, or damaged: it holds {what}."
    raise Refused(msg)
