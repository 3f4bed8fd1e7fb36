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
import stat
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from repatient._files._target import resolved

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and leftovers stay.
    fcntl = None  # type: ignore[assignment]

_LOCK, _NEW, _OLD = "lock", "new", "old"
_SUFFIX = ".partial"
# Threads of zarr go on for a while after an error in one of them, and make folders anew: seconds to look again after.
_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replace_when_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file or a folder that takes the place of an earlier one when it is whole.

    What exists is replaced whatever it holds: that it may be is for :func:`repatient._files._target.check_target`. Its
    mode and owner are kept, in a folder file by file; new files in it get no right that none of the earlier ones gave.

    Parameters
    ----------
    path
        What is to be written.

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
    FileExistsError
        If the path is a link, a pipe or a device.
    """
    target = resolved(path)
    restore(target)
    with _workplace(target) as workplace:
        new = workplace / _NEW / target.name
        yield new
        # What was planted at the path meanwhile is not followed either.
        resolved(target)
        _check_kind(new, target)
        _inherit(new, target)
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
    target = Path(os.path.realpath(Path(path).parent)) / Path(path).name
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
    except BaseException:
        _clear(workplace, target, lock, pauses=_PAUSES)
        raise
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


def _clear(workplace: Path, target: Path, lock: int | None, pauses: tuple[float, ...] = (0.0,)) -> None:
    """Remove a workplace, after what was set aside in it went back to where nothing has replaced it.

    With ``pauses``, until it was gone at two looks, or after all of them.
    """
    try:
        old = workplace / _OLD
        if old.exists() and not target.exists():
            old.rename(target)
        gone = 0
        for seconds in pauses:
            time.sleep(seconds)
            gone = 0 if workplace.exists() else gone + 1
            if gone > 1:
                break
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


def _inherit(new: Path, target: Path) -> None:
    """Give a file, or a folder and all that it holds, the mode and the owner of what was there."""
    if not target.exists():
        return
    _take(new, target.lstat())
    if not target.is_dir():
        return
    earlier = {}
    for folder, folders, names in os.walk(target):
        for path in (Path(folder, name) for name in (*folders, *names)):
            # Another process may put its folder there meanwhile.
            with suppress(FileNotFoundError):
                earlier[os.path.relpath(path, target)] = path.lstat()
    given = 0
    for found in earlier.values():
        given |= stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else 0
    for folder, folders, names in os.walk(new):
        for path in (Path(folder, name) for name in (*folders, *names)):
            mine = path.lstat()
            before = earlier.get(os.path.relpath(path, new))
            if stat.S_ISLNK(mine.st_mode):
                continue
            if before is not None and stat.S_IFMT(before.st_mode) == stat.S_IFMT(mine.st_mode):
                _take(path, before)
            elif stat.S_ISREG(mine.st_mode) and earlier:
                path.chmod(stat.S_IMODE(mine.st_mode) & (given | stat.S_IRUSR | stat.S_IWUSR))


def _take(path: Path, found: os.stat_result) -> None:
    """Mode and owner; the owner only where the system lets us."""
    mine = path.lstat()
    if hasattr(os, "chown") and (mine.st_uid, mine.st_gid) != (found.st_uid, found.st_gid):
        with suppress(OSError):
            os.chown(path, found.st_uid, found.st_gid)
    path.chmod(stat.S_IMODE(found.st_mode))


def _install(new: Path, target: Path, aside: Path) -> None:
    """Put what is new in the place of what was there."""
    if not target.is_dir():
        try:
            new.replace(target)
        except OSError as error:
            # Another process wrote its folder there since the line above looked.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or not target.is_dir():
                raise
        else:
            return
    if not _exchange(new, target):
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
