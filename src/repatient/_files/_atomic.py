"""Files and folders that are replaced as a whole or not at all, whenever the process is killed.

What is written lies in a hidden folder beside its target until it is whole and on the disk, and takes the place of the
target in one rename. A file does so everywhere. A folder over an earlier folder does so on Linux, on file systems that
can exchange two names (all common local ones). Elsewhere it takes two renames; killed between them, nothing is at the
path, and :func:`restore`, which every write calls first, brings the earlier folder back.

The hidden folder is locked by the process that writes. The kernel frees the lock of a killed process, which tells its
leftovers from the work of another process; the next write to the same path removes them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and leftovers stay.
    fcntl = None  # type: ignore[assignment]

_LOCK, _NEW, _OLD = "lock", "new", "old"
_SUFFIX = ".partial"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replace_when_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file or a folder that takes the place of an earlier one when it is whole.

    An existing folder is replaced whatever it holds: that it may be is for the caller to check.

    Parameters
    ----------
    path
        What is to be written. A link is followed: what it points to is replaced.

    Yields
    ------
    A path of the same name in a hidden folder beside ``path``, where nothing is yet: the place to create the file or
    the folder. After the block, it is written to the disk and takes the place of ``path``; after an error in the block,
    it is removed and ``path`` is as it was.

    Raises
    ------
    FileNotFoundError
        If the folder to write to does not exist.
    IsADirectoryError, NotADirectoryError
        If a file was written where a folder is, or a folder where a file is.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        msg = f"There is no folder {str(target.parent)!r} to write {target.name!r} to; make it first."
        raise FileNotFoundError(msg)
    restore(target)
    with _workplace(target) as workplace:
        new = workplace / _NEW / target.name
        yield new
        _check_kind(new, target)
        _sync(new)
        _install(new, target, workplace / _OLD)
        _sync_folder(target.parent)


def restore(path: str | os.PathLike[str]) -> None:
    """Undo what killed processes left of their writes to a path.

    Parameters
    ----------
    path
        What they wrote. A folder that one of them had set aside is put back, unless there is one at ``path`` again;
        everything else of theirs is removed. Writes of living processes are left alone.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}")
    for workplace in [Path(entry.path) for entry in os.scandir(target.parent) if pattern.fullmatch(entry.name)]:
        try:
            lock = _lock(workplace / _LOCK)
        except OSError:  # It is being written in, was removed meanwhile, or is another user's.
            continue
        if lock is not None:
            _clear(workplace, target, lock)


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A hidden folder beside the target, locked while it is worked in."""
    workplace, lock = _open_workplace(target)
    try:
        (workplace / _NEW).mkdir()
        yield workplace
    finally:
        _clear(workplace, target, lock)


def _open_workplace(target: Path) -> tuple[Path, int | None]:
    while True:
        workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent))
        try:
            return workplace, _lock(workplace / _LOCK)
        except (FileNotFoundError, BlockingIOError):
            # Another process took the folder, which was not locked yet, for a leftover.
            continue


def _lock(path: Path) -> int | None:
    """Handle of a lock file, or ``None`` where files cannot be locked; raises if another process has it."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Raises if another process removed the file between the two lines above.
        path.stat()
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


def _clear(workplace: Path, target: Path, lock: int | None) -> None:
    """Remove a workplace, after what was set aside in it went back to where nothing has replaced it."""
    try:
        old = workplace / _OLD
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(workplace, ignore_errors=True)
    finally:
        if lock is not None:
            os.close(lock)


def _check_kind(new: Path, target: Path) -> None:
    if not target.exists() or new.is_dir() == target.is_dir():
        return
    if target.is_dir():
        msg = f"{str(target)!r} is a folder; name a file to write."
        raise IsADirectoryError(msg)
    msg = f"{str(target)!r} is a file; name a folder to write."
    raise NotADirectoryError(msg)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder with all that it holds, is on the disk."""
    if not path.is_dir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
        return
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(Path(folder, name))
        _sync_folder(Path(folder))


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse; what was renamed is whole in any case.
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _install(new: Path, target: Path, aside: Path) -> None:
    """Put what is new in the place of what was there."""
    if target.exists():
        shutil.copymode(target, new)
    if not target.is_dir():
        new.replace(target)
    elif not _exchange(new, target):
        target.rename(aside)
        new.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; whether the system can."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(code, os.strerror(code), str(second))
