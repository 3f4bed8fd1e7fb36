"""What an HDF5 file may be made of before anything is read from it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repatient.io._format import Refused

if TYPE_CHECKING:
    from pathlib import Path

_DEEPEST = 8
# Bytes that the names of a table's columns may take in memory, which the file does not tell before they are read.
_MOST_BYTES = 300 << 20
_ATTRIBUTES = {"encoding-type", "encoding-version", "_index", "column-order", "format", "version"}
_ENCODINGS = {"dict", "array", "string", "string-array", "numeric-scalar", "null", "dataframe", ""}
# A text as HDF5 stores it: its length, and where in the file it is.
_TEXT = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])


def check_structure(file: h5py.File, path: Path, source: BytesIO | Path) -> None:
    """Refuse what leads out of the file or claims more than the file can hold.

    Links and external storage name other files of the reader's machine, groups may hold themselves, an array of terabytes
    can be declared in a few bytes, and a thousand texts can be one long text a thousand times. None of this is in a file
    that this package wrote.
    """
    raw = source.getbuffer() if isinstance(source, BytesIO) else memoryview(source.read_bytes())
    if file.id.get_create_plist().get_sizes() != (8, 8):
        _refuse(path, "addresses of another size than eight bytes")
    budget = len(raw)
    _check_attributes(file, "/", len(raw), path)
    found: list[tuple[h5py.Group, int]] = [(file, 0)]
    while found:
        group, depth = found.pop()
        if depth > _DEEPEST:
            _refuse(path, f"groups within groups, deeper than {_DEEPEST}")
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                _refuse(path, f"a link, {name!r}")
            item = group[name]
            # Even an empty group takes more than eight bytes: what is counted over and over ends soon.
            budget -= 8
            if isinstance(item, h5py.Group):
                found.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                budget -= _bytes_of(item, name, raw, path)
            else:
                _refuse(path, f"a type, {name!r}")
            if budget < 0:
                _refuse(path, f"arrays larger than the file, such as {name!r}")
            _check_attributes(item, name, len(raw), path)


def _bytes_of(item: h5py.Dataset, name: str, raw: memoryview, path: Path) -> int:
    """Bytes that an array takes, its texts included."""
    if item.is_virtual or item.external:
        _refuse(path, f"an array in another file, {name!r}")
    if item.chunks is not None:
        _refuse(path, f"an array in chunks, {name!r}")
    if item.shape is None:
        return 0
    text = h5py.check_string_dtype(item.dtype)
    if item.dtype.kind in "fiub":
        return int(item.nbytes)
    if text is None or text.length is not None:
        _refuse(path, f"an array that is neither of numbers nor of texts, {name!r}")
    size, start = item.size * _TEXT.itemsize, item.id.get_offset()
    if start is None or size > len(raw):
        return int(size)
    lengths = np.frombuffer(raw, dtype=_TEXT, count=item.size, offset=start)["length"]
    return int(size + lengths.sum(dtype=np.int64))


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
