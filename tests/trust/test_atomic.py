from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from contextlib import suppress

import pytest

from repatient._files import _atomic
from repatient._files._atomic import replace_when_whole, restore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def write_file(path, text):
    with replace_when_whole(path) as new:
        new.write_text(text)


def write_folder(path, text):
    with replace_when_whole(path) as new:
        (new / "inner").mkdir(parents=True)
        for name in ("a", "inner/b"):
            (new / name).write_text(text)


def read_folder(path):
    found = {name: (path / name).read_text() for name in ("a", "inner/b")}
    assert len(set(found.values())) == 1
    assert sorted(entry.name for entry in path.iterdir()) == ["a", "inner"]
    return found["a"]


WRITE = {"file": (write_file, lambda path: path.read_text()), "folder": (write_folder, read_folder)}


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("kind", WRITE)
def test_what_is_written_takes_the_place_of_what_was_there(tmp_path, kind):
    write, read = WRITE[kind]
    for text in ("first", "second", "third"):
        write(tmp_path / "target", text)
        assert read(tmp_path / "target") == text
        assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, kind, error):
    write, read = WRITE[kind]
    write(tmp_path / "target", "first")

    def fail_to_write(path):
        with replace_when_whole(path) as new:
            write(new, "second")
            raise error

    for name in ("target", "other"):
        with pytest.raises(error):
            fail_to_write(tmp_path / name)
        assert names(tmp_path) == ["target"]
    assert read(tmp_path / "target") == "first"


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replace_when_whole(tmp_path / "target"):
        pass
    assert names(tmp_path) == []


def test_kinds_do_not_replace_each_other(tmp_path):
    write_file(tmp_path / "file", "kept")
    write_folder(tmp_path / "folder", "kept")
    with pytest.raises(NotADirectoryError, match="is a file; name a folder"):
        write_folder(tmp_path / "file", "new")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        write_file(tmp_path / "folder", "new")
    assert (tmp_path / "file").read_text() == read_folder(tmp_path / "folder") == "kept"
    assert names(tmp_path) == ["file", "folder"]


# Each kill forks a process that holds all that tests import.
EVERY = 1 if "REPATIENT_TRUST" in os.environ else 3


# Files take the place of each other by a rename, wherever it is.
@pytest.mark.parametrize(("kind", "exchange"), [("file", True), ("folder", True), ("folder", False)])
def test_killed_at_any_line(tmp_path, monkeypatch, kind, exchange):
    """The process is killed before each line of the write in turn, or before each third one."""
    if not exchange:
        monkeypatch.setattr(_atomic, "_exchange", lambda *_: False)
    write, read = WRITE[kind]
    target = tmp_path / "target"
    write(target, "old")
    found = []
    # The one line after a folder was set aside and before another takes its place must not be left out.
    for line in range(0, 10_000, EVERY if exchange else 1):
        if not killed_at(line, lambda: write(target, "new")):
            break
        if not exchange and kind == "folder" and not target.exists():
            restore(target)
            found.append("set aside")
        found.append(read(target))
        write(target, "old")
        assert names(tmp_path) == ["target"]
    assert read(target) == "new"
    texts = [text for text in found if text != "set aside"]
    assert texts == sorted(texts, reverse=True)
    assert set(texts) == {"old", "new"}
    assert ("set aside" in found) == (kind == "folder" and not exchange)


def killed_at(line, work):
    """Do some work in a child that is killed before the given line of `_atomic.py`; whether it came to that."""
    child = os.fork()
    if child == 0:
        count = 0

        def trace(frame, event, _):
            nonlocal count
            if frame.f_code.co_filename != _atomic.__file__:
                return None
            if event == "line":
                if count == line:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
            return trace

        try:
            # A child that waits for a lock which a thread of the parent held is an error, and not a wait for ever.
            signal.alarm(60)
            sys.settrace(trace)
            work()
            sys.settrace(None)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def test_leftovers_are_removed_and_the_work_of_others_is_not(tmp_path):
    target = tmp_path / "target"
    assert killed_at(40, lambda: write_folder(target, "never"))
    (leftover,) = names(tmp_path)
    (tmp_path / ".target.mine.partial").mkdir()
    with replace_when_whole(tmp_path / "target.b") as other:
        other.write_text("other")
        with replace_when_whole(target) as first:
            first.write_text("first")
            assert leftover not in names(tmp_path)
            write_file(target, "second")
            assert other.read_text() == "other"
        assert target.read_text() == "first"
    assert names(tmp_path) == [".target.mine.partial", "target", "target.b"]


def test_many_writers_of_one_path(tmp_path):
    failures = []

    def write_often(text):
        try:
            for _ in range(10):
                write_folder(tmp_path / "target", text)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write_often, args=(text,)) for text in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read_folder(tmp_path / "target") in "abc"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("planted", ["link", "pipe", "hidden link"])
def test_nothing_is_written_through_what_is_planted(tmp_path, planted):
    (tmp_path / "victim").write_text("precious")
    folder, target = tmp_path / "deep", tmp_path / "deep" / "target"
    folder.mkdir()
    if planted == "pipe":
        os.mkfifo(target)
    else:
        (target if planted == "link" else folder / ".target.partial").symlink_to("../victim")
    before = names(folder)
    (tmp_path / "way").symlink_to("deep")
    if planted == "hidden link":
        write_file(tmp_path / "way" / "target", "text")
        assert target.read_text() == "text"
    else:
        with pytest.raises(FileExistsError):
            write_file(tmp_path / "way" / "target", "text")
        assert names(folder) == before
        assert stat.S_IFMT(target.lstat().st_mode) == {"link": stat.S_IFLNK, "pipe": stat.S_IFIFO}[planted]
    assert (tmp_path / "victim").read_text() == "precious"


def test_mode_and_owner_are_kept(tmp_path):
    write_file(tmp_path / "file", "first")
    write_folder(tmp_path / "folder", "first")
    private = [tmp_path / name for name in ("file", "folder/a", "folder/inner/b")]
    for path in private:
        path.chmod(0o600)
        if os.getuid() == 0:
            os.chown(path, 1234, 1235)
    (tmp_path / "folder").chmod(0o750)
    write_file(tmp_path / "file", "second")
    with replace_when_whole(tmp_path / "folder") as new:
        write_folder(new, "second")
        (new / "new").write_text("second")
    for path in (*private, tmp_path / "folder" / "new"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if os.getuid() == 0:
        assert {(path.stat().st_uid, path.stat().st_gid) for path in private} == {(1234, 1235)}
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_threads_that_still_write_leave_nothing(tmp_path):
    def write_on(path):
        for i in range(40):
            with suppress(FileNotFoundError):
                path.mkdir(parents=True, exist_ok=True)
                (path / f"{i}").write_text("chunk")
            time.sleep(0.002)

    thread = None

    def fail(path):
        nonlocal thread
        with replace_when_whole(path) as new:
            thread = threading.Thread(target=write_on, args=(new,))
            thread.start()
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail(tmp_path / "target")
    thread.join()
    assert names(tmp_path) == []


def test_without_locks_leftovers_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(_atomic, "fcntl", None)
    assert killed_at(20, lambda: write_file(tmp_path / "target", "never"))
    write_file(tmp_path / "target", "text")
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "target").read_text() == "text"
