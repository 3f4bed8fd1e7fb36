"""Where results may be written: not over what they are made of, nor over what this package has not written."""

from __future__ import annotations

import io
import os
import pickle
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Attribute at the root of h5ad files and zarr stores that this package wrote.
MARK = "repatient"


class NotOurs(FileExistsError, ValueError):
    """Something is where a result is to be written, and not to be replaced."""


def resolved(path: str | os.PathLike[str]) -> Path:
    """A path to write to, without links on the way to it.

    Raises
    ------
    FileNotFoundError
        If the folder to write to does not exist.
    NotOurs
        If the path is a link, which is never followed, or no file or folder: a pipe, a device.
    """
    given = Path(os.path.abspath(path))
    target = Path(os.path.realpath(given.parent)) / given.name
    if not target.parent.is_dir():
        msg = f"there is no folder {str(target.parent)!r} to write {target.name!r} to; make it first."
        raise FileNotFoundError(msg)
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return target
    if stat.S_ISLNK(mode):
        msg = f"{str(path)!r} is a link to {os.readlink(target)!r}, which is not followed; name what is to be written."
        raise NotOurs(msg)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        msg = f"{str(path)!r} is neither a file nor a folder but a pipe, a device or the like; name another path."
        raise NotOurs(msg)
    return target


def check_target(
    path: str | os.PathLike[str],
    argument: str,
    *,
    what: str,
    ours: Callable[[Path], bool],
    folder: bool = False,
    overwrite: bool = True,
    sources: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Accept a path that a result may be written to, before any work.

    Parameters
    ----------
    path
        Where to write.
    argument
        What the caller calls it.
    what
        What is written, for errors.
    ours
        Whether an existing file or folder is one that this package wrote. An empty one may be replaced, too.
    folder
        Whether a folder is written.
    overwrite
        Whether what is ours may be replaced.
    sources
        Files and folders that the result is made of.

    Raises
    ------
    TypeError
        If the path is none.
    FileNotFoundError, PermissionError
        If the folder to write to does not exist, or must not be written to.
    IsADirectoryError
        If a folder stands where a file is to be written.
    ValueError
        If the result would replace what it is made of.
    NotOurs
        If the path is a link, a pipe or a device, holds something else, or what is there is not to be overwritten.
    """
    try:
        target = resolved(path)
    except TypeError as error:
        msg = f"`{argument}` is a path, not {type(path).__name__}."
        raise TypeError(msg) from error
    except (FileNotFoundError, NotOurs) as error:
        msg = f"`{argument}`: {error}"
        raise type(error)(msg) from None
    if any(_overlap(target, Path(os.path.realpath(source))) for source in sources):
        msg = f"`{argument}`: {str(path)!r} is what the result reads from; write to another path."
        raise ValueError(msg)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        msg = f"`{argument}`: the folder {str(target.parent)!r} must not be written to; name another, or ask for the right."
        raise PermissionError(msg)
    if not target.exists():
        return target
    if target.is_dir() and not folder:
        msg = f"`{argument}`: {str(path)!r} is a folder; name a file to write."
        raise IsADirectoryError(msg)
    empty = target.is_dir() == folder and not (any(target.iterdir()) if folder else target.stat().st_size)
    if not empty and not (target.is_dir() == folder and ours(target)):
        msg = f"`{argument}`: {str(path)!r} exists and holds no {what} of this package; it is kept, name another path."
        raise NotOurs(msg)
    if not empty and not overwrite:
        msg = f"`{argument}`: {str(path)!r} exists; overwrite it by `overwrite=True` (`--overwrite`), or name another path."
        raise NotOurs(msg)
    return target


def is_marked(path: Path) -> bool:
    """Whether an h5ad file or a zarr store was written by this package."""
    import h5py
    import zarr

    try:
        if path.is_dir():
            return MARK in zarr.open_group(path, mode="r").attrs
        with h5py.File(path, "r") as file:
            return MARK in file.attrs
    # What zarr and HDF5 raise at something else has no common type.
    except Exception:  # noqa: BLE001
        return False


def is_report(path: Path) -> bool:
    """Whether a file begins as a page that this package wrote."""
    with path.open("rb") as file:
        return b'name="generator" content="repatient"' in file.read(1024)


def _overlap(target: Path, source: Path) -> bool:
    """Whether writing the one would touch the other: they are the same, hard links of one file, or one in the other."""
    if target == source or target in source.parents or source in target.parents:
        return True
    return target.exists() and source.exists() and target.samefile(source)


def files_behind(*values: Any) -> set[Path]:
    """Files and stores that arrays read from when asked: of HDF5, zarr and memory maps, directly or through dask."""
    found = _Finder()
    for value in values:
        # What cannot be taken apart is no array in a file.
        with suppress(Exception):
            found.look_at(value)
    return {Path(os.path.realpath(path)) for path in found.paths if os.path.exists(path)}


class _Finder:
    """Walks through whatever an array is made of by pickling it without its contents."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def look_at(self, value: Any) -> None:
        """Note the files behind a value."""
        import cloudpickle

        finder = self

        class Walk(cloudpickle.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return finder.note(obj)

        Walk(io.BytesIO(), protocol=pickle.HIGHEST_PROTOCOL).dump(value)

    def note(self, value: Any) -> str | None:
        """Note a file; whether the value is not to be walked into."""
        if isinstance(value, str | bytes | np.dtype | type):
            return None
        if isinstance(value, np.memmap) and value.filename is not None:
            self.paths.add(str(value.filename))
        elif isinstance(value, os.PathLike):
            self.paths.add(os.fspath(value))
        elif (file := getattr(value, "file", None)) is not None and hasattr(file, "filename"):
            self.paths.add(os.fsdecode(file.filename))
        elif (root := getattr(value, "root", None)) is not None and isinstance(root, str | os.PathLike):
            self.paths.add(os.fspath(root))
        elif not isinstance(value, np.ndarray | pd.DataFrame | pd.Series | pd.Index):
            return None
        return "seen"
