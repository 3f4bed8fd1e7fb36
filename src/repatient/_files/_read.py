"""Files of strangers: what they declare is checked against what they hold before anything of that size is made."""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Check = Callable[[Any, str], Any]

# A description of a model or the results of an evaluation: some kilobytes, or megabytes of names. JSON of this size takes
# less than half a gigabyte whatever stands in it.
MOST_BYTES_OF_JSON = 8 * 2**20
MOST_ARRAYS, MOST_DIMENSIONS = 10_000, 32
_NUMBERS = "biufU"
_SHUT = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, KeyError, OSError, OverflowError)


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Content of a regular file, if it is not too large.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a pipe, a device or a folder, or has more than ``most`` bytes.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        return _content(file, path, most)


def _content(file: Any, path: Path, most: int | None) -> bytes:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        msg = f"{path} is no regular file."
        raise ValueError(msg)
    if most is not None and found.st_size > most:
        msg = f"{path} has {found.st_size:,} bytes; {most:,} are the most that a file of this kind may have."
        raise ValueError(msg)
    return bytes(file.read(found.st_size))


def read_together(folder: str | os.PathLike[str], names: Sequence[str]) -> dict[str, bytes]:
    """Files of a folder as they were at one moment, though another process replaces the folder meanwhile.

    What is replaced as a whole (:func:`repatient._files._atomic.replace_when_whole`) is another folder afterwards: all
    files are opened in the one that was there first. Where it is being removed, all is read again from its successor.

    Returns
    -------
    The content of those files that there are.
    """
    path = Path(folder)
    while True:
        with _opened(path) as (is_current, open_file):
            found = {}
            for name in names:
                try:
                    handle = open_file(name)
                except FileNotFoundError:
                    continue
                with os.fdopen(handle, "rb") as file:
                    found[name] = _content(file, path / name, MOST_BYTES_OF_JSON if name.endswith(".json") else None)
            if len(found) == len(names) or is_current():
                return found


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Callable[[], bool], Callable[[str], int]]]:
    """Whether the folder is still the one at its path, and what opens a file in it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if os.open not in os.supports_dir_fd:
        # Windows has no folder that one can hold on to; nor does it let a folder be replaced whose files are open.
        before = folder.stat()
        yield lambda: folder.stat().st_ino == before.st_ino, lambda name: os.open(folder / name, flags)
        return
    held = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        mine = os.fstat(held)

        def is_current() -> bool:
            try:
                found = folder.stat()
            except FileNotFoundError:
                return False
            return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

        yield is_current, lambda name: os.open(name, flags, dir_fd=held)
    finally:
        os.close(held)


def parse_json(content: bytes, path: Path | str) -> dict[str, Any]:
    """Values by name; any other JSON is refused."""
    if len(content) > MOST_BYTES_OF_JSON:
        msg = f"{path} has {len(content):,} bytes; {MOST_BYTES_OF_JSON:,} are the most that such a file may have."
        raise ValueError(msg)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not valid JSON: {error}. Copy it again from where it came from, or write it anew."
        raise ValueError(msg) from error
    if not isinstance(values, dict):
        msg = f"{path} is JSON of something else: it does not hold values by name."
        raise ValueError(msg)
    return values


def parse_arrays(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an archive that ``numpy.savez`` wrote: numbers and text, uncompressed, of the sizes that they declare.

    Raises
    ------
    ValueError
        If it is no such archive, or claims more than it holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS:
                msg = f"it holds {len(entries):,} arrays, more than {MOST_ARRAYS:,}"
                raise ValueError(msg)
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                msg = "it is compressed, which no file of this package is"
                raise ValueError(msg)
            if sum(entry.file_size for entry in entries) > len(content):
                msg = "it claims to be larger than it is"
                raise ValueError(msg)
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except (*_SHUT, ValueError, RuntimeError, SyntaxError, TypeError, MemoryError) as error:
        msg = f"{path} is no numpy archive without pickled objects: {error}."
        raise ValueError(msg) from error


def _array(content: bytes) -> NDArray[Any]:
    """An array of the format of numpy, if its header speaks of as many bytes as follow."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        msg = f"an array has version {version} of the format"
        raise ValueError(msg)
    shape, fortran, dtype = read(file)
    start = file.tell()
    if dtype.kind not in _NUMBERS or dtype.hasobject or dtype.shape:
        msg = f"an array holds {dtype}, neither numbers nor text"
        raise ValueError(msg)
    if any(not isinstance(size, int) or size < 0 for size in shape) or len(shape) > MOST_DIMENSIONS:
        msg = f"an array has the shape {shape}"
        raise ValueError(msg)
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        msg = f"an array of shape {shape} and type {dtype} has {len(content) - start:,} bytes"
        raise ValueError(msg)
    array = (
        np.frombuffer(bytearray(content)[start:], dtype=dtype) if dtype.itemsize else np.zeros(math.prod(shape), dtype)
    )
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def check_values(values: Mapping[str, Any], schema: Mapping[str, Any], path: Path | str) -> None:
    """Compare values that were read with what they may be.

    Parameters
    ----------
    values
        Values by name.
    schema
        For each name that must be there, what raises TypeError or ValueError on a value that it may not have.
    path
        Where they stand, for errors.

    Raises
    ------
    ValueError
        If a value is missing, or of a wrong type or out of its range.
    """
    for name, check in schema.items():
        if name not in values:
            msg = f"{path}: {name!r} is missing."
            raise ValueError(msg)
        try:
            check(values[name], name)
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"{path}: {error}"
            raise ValueError(msg) from error


def optional(check: Check) -> Check:
    """Accept ``None``, too."""
    return lambda value, name: None if value is None else check(value, name)


def text(value: Any, name: str) -> None:
    """Accept text."""
    if not isinstance(value, str):
        msg = f"`{name}` is text, not {value!r}."
        raise TypeError(msg)


def boolean(value: Any, name: str) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        msg = f"`{name}` is true or false, not {value!r}."
        raise TypeError(msg)


def sequence_of(check: Check) -> Check:
    """Accept a list of values that each pass a check."""

    def check_all(value: Any, name: str) -> None:
        if not isinstance(value, list | tuple):
            msg = f"`{name}` is a list, not {value!r}."
            raise TypeError(msg)
        for item in value:
            check(item, name)

    return check_all


def history(value: Any, name: str) -> None:
    """Accept lists of numbers, or of none where there was no value, by name and of one length."""
    if not isinstance(value, dict) or not all(isinstance(values, list) for values in value.values()):
        msg = f"`{name}` has lists of numbers by name, not {value!r}."
        raise TypeError(msg)
    for values in value.values():
        for item in values:
            if item is not None and (isinstance(item, bool) or not isinstance(item, int | float)):
                msg = f"`{name}` has lists of numbers, not {item!r}."
                raise TypeError(msg)
    if len({len(values) for values in value.values()}) > 1:
        msg = f"`{name}` has lists of different lengths."
        raise ValueError(msg)
