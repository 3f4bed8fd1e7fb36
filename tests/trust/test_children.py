"""Children that are killed, fail or hang do no harm to the tests that come after them."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from tqdm.auto import tqdm


def test_what_a_killed_child_held_is_free(child):
    """The lock of progress bars is one of processes: who forks shares it with the child, and nobody lets go of it."""
    tqdm.get_lock()

    def hold(tell):
        tqdm.get_lock().acquire()
        tell("held")
        time.sleep(60)

    started = child(hold)
    assert started.hear() == "held"
    started.kill()
    lock = tqdm.get_lock()
    for one in lock.locks:
        assert one.acquire(timeout=10)
        one.release()


def test_a_child_has_one_thread(child):
    started = child(lambda tell: tell(threading.active_count()))
    assert started.hear() == 1
    assert started.hear() is None
    assert started.wait() == 0


def test_errors_and_silence_are_errors_here(child):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        child(lambda _: 1 / 0).hear()
    with pytest.raises(TimeoutError, match="said nothing for 0.2 seconds"):
        child(lambda _: time.sleep(60), 0.2).hear()
    killed = child(lambda _: signal.raise_signal(signal.SIGKILL))
    assert killed.hear() is None
    assert killed.wait() == signal.SIGKILL
