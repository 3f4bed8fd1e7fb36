"""Damage to files, and reading what is left of them."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

N_EXAMPLES = int(os.environ.get("REPATIENT_TRUST", "0"))
# What reading a file of at most 10 MB may take, whatever stands in it.
MOST_CPU_SECONDS, MOST_SECONDS, MOST_BYTES = 30, 300, 500 * 10**6
MEMORY = Path("/proc/self/statm")


def flip(content, rng):
    where = rng.integers(len(content), size=rng.integers(1, 5))
    content[where] ^= (1 << rng.integers(8, size=len(where))).astype(np.uint8)
    return content


def cut(content, rng):
    return content[: rng.integers(len(content))]


def behead(content, rng):
    return content[rng.integers(1, len(content)) :]


def insert(content, rng):
    return np.insert(content, rng.integers(len(content)), rng.integers(256, size=rng.integers(1, 600), dtype=np.uint8))


def remove(content, rng):
    start = rng.integers(len(content))
    return np.delete(content, slice(start, start + rng.integers(1, 600)))


def swap(content, rng):
    size = int(rng.integers(1, max(len(content) // 4, 2)))
    first, second = np.sort(rng.integers(len(content) - size, size=2))
    content[first : first + size], content[second : second + size] = (
        content[second : second + size].copy(),
        content[first : first + size].copy(),
    )
    return content


def blank(content, rng):
    start = rng.integers(len(content))
    content[start : start + rng.choice([16, 512, 4096])] = rng.choice([0, 255])
    return content


def garble(content, rng):
    start = rng.integers(len(content))
    content[start : start + 64] = rng.integers(256, size=len(content[start : start + 64]), dtype=np.uint8)
    return content


DAMAGE = (flip, flip, cut, behead, insert, remove, swap, blank, garble)


def damage_of(content, rng):
    """Bytes after one kind of damage."""
    return rng.choice(DAMAGE)(np.frombuffer(content, dtype=np.uint8).copy(), rng).tobytes()


def attempt_in_a_child(child, few, attempt, tmp_path, most=None):
    """Attempt a few cases in a child, so that a crash, a hang or a flood of memory is seen, too.

    With ``REPATIENT_TRUST=3000`` it is that many, but no more than ``most``.
    """
    resource = pytest.importorskip("resource")

    def work(tell):
        used = resource.getrusage(resource.RUSAGE_SELF)
        if MEMORY.exists():
            limit = int(MEMORY.read_text().split()[0]) * resource.getpagesize() + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for case in range(min(N_EXAMPLES, most or N_EXAMPLES) or few):
            tell(case)
            # This signal ends the process even if a library does not return to Python.
            signal.setitimer(signal.ITIMER_PROF, MOST_CPU_SECONDS)
            attempt(case)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used.ru_maxrss
        taken *= 1 if sys.platform == "darwin" else 1024
        tell("done" if taken < MOST_BYTES else f"{taken:,} bytes were taken")

    started = child(work, MOST_SECONDS)
    last, said = None, started.hear()
    while said is not None:
        last, said = said, started.hear()
    ending = started.wait()
    assert last == "done", f"case {last}: {signal.Signals(ending).name if ending else 'ended by itself'}"


def try_to_read(read, name, check):
    """Whether reading succeeded; what it gives is checked, and an error must name the file."""
    try:
        content = read()
    except (ValueError, FileNotFoundError) as error:
        if name not in str(error):
            msg = "the error does not name the file"
            raise AssertionError(msg) from error
        return False
    check(content)
    return True


@pytest.fixture(scope="session")
def damaged():
    """See :func:`damage_of`."""
    return damage_of


@pytest.fixture(scope="session")
def fuzz(child):
    """See :func:`attempt_in_a_child`."""
    return partial(attempt_in_a_child, child)


@pytest.fixture(scope="session")
def read_or_refuse():
    """See :func:`try_to_read`."""
    return try_to_read
