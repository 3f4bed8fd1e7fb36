"""What an HDF5 file may be made of before anything is read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from repatient.io._format import Refused

if TYPE_CHECKING:
    from pathlib import Path

_DEEPEST = 8


def check_structure(file: h5py.File, path: Path) -> None:
    """Refuse what leads out of the file or claims more than the file can hold.

    Links and external storage name other files of the reader's machine, groups may hold themselves, and an array of
    terabytes can be declared in a few bytes. None of this is in a file that this package wrote.
    """
    budget = path.stat().st_size
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
                if item.is_virtual or item.external:
                    _refuse(path, f"an array in another file, {name!r}")
                budget -= item.nbytes
            if budget < 0:
                _refuse(path, f"arrays larger than the file, such as {name!r}")


def _refuse(path: Path, what: str) -> None:
    msg = f"{str(path)!r} is no recipes file of this package, or damaged: it holds {what}."
    raise Refused(msg)
