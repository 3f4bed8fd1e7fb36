"""Splits in processes of their own: how many, what they have to know, and what they warn of."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from numbers import Integral
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, TypeVar

import joblib

from repatient._checks import check_integer
from repatient._messages import warn
from repatient.recipe import KINDS, Kind, register_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from repatient.mixing import RegisteredAugmenter

T = TypeVar("T")

# Work that is left (seconds) from which on the start of other processes is worth its time.
_LONG = 20.0
# Processes that nobody asked for, and what they may need together (bytes) beside their imports.
_MOST, _MOST_MEMORY = 8, 4 * 2**30
# Of libraries, for their authors.
_NOT_FOR_USERS = (DeprecationWarning, FutureWarning, ImportWarning, PendingDeprecationWarning, ResourceWarning)
# What this process knows from another one.
_from_elsewhere: set[tuple[str, str]] = set()


def check_n_jobs(n_jobs: Any) -> None:
    """Accept None, a number of processes (-1: one a core), or a dask client."""
    if n_jobs is None or _is_client(n_jobs):
        return
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral):
        msg = f"`n_jobs` is None, a number of processes (-1: one a core) or a dask client, not {n_jobs!r}."
        raise TypeError(msg)
    if n_jobs != -1:
        check_integer(n_jobs, "n_jobs")


def results_of(calls: Sequence[Callable[[], T]], n_jobs: Any, *, memory: int) -> Iterator[T]:
    """Results of the calls as they come in.

    Parameters
    ----------
    calls
        What is called, each without arguments.
    n_jobs
        Processes, or a dask client. None: this process, and others as soon as the first call has shown that they are worth
        their start.
    memory
        Bytes that a process needs.
    """
    if _is_client(n_jobs):
        with joblib.parallel_config(backend="dask", client=n_jobs):
            yield from _in_others(calls, -1)
        return
    n_timed = 1 if n_jobs is None else 0
    start = perf_counter()
    for call in calls[:n_timed]:
        yield call()
    left = calls[n_timed:]
    if n_jobs is None:
        is_long = len(left) * (perf_counter() - start) > _LONG
        n_jobs = _bearable(len(left), memory) if is_long else 1
    if n_jobs == 1:
        for call in left:
            yield call()
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        yield from _in_others(left, n_jobs)


def _is_client(n_jobs: Any) -> bool:
    return hasattr(n_jobs, "scheduler_info")


def _bearable(n_calls: int, memory: int) -> int:
    """Processes that nobody asked for: one a core, and fewer where memory asks for it."""
    return max(1, min(n_calls, joblib.effective_n_jobs(-1), _MOST, _MOST_MEMORY // max(1, memory)))


def _in_others(calls: Sequence[Callable[[], T]], n_processes: int) -> Iterator[T]:
    """Results of the calls in other processes, whose warnings are given here."""
    registered = _Registered.here()
    tasks = [joblib.delayed(_told)(call, registered) for call in calls]
    given: set[tuple[type[Warning], str]] = set()
    for result, told in joblib.Parallel(n_jobs=n_processes, batch_size=1, return_as="generator_unordered")(tasks):
        for category, message in told:
            if (category, message) not in given:
                given.add((category, message))
                warn(message, category)
        yield result


def _told(call: Callable[[], T], registered: _Registered) -> tuple[T, list[tuple[type[Warning], str]]]:
    """The result of a call, and what it warned of."""
    registered.enter()
    if threading.current_thread() is not threading.main_thread():
        # What catches warnings would catch those of all threads.
        return call(), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    told = [(one.category, str(one.message)) for one in caught if not issubclass(one.category, _NOT_FOR_USERS)]
    return result, list(dict.fromkeys(told))


@dataclass(frozen=True)
class _Registered:
    """What can be chosen by name in one process, for another."""

    predictors: Mapping[str, Any]
    augmenters: Mapping[str, RegisteredAugmenter]
    kinds: Mapping[str, Kind]

    @classmethod
    def here(cls) -> Self:
        from repatient.mil import PREDICTORS
        from repatient.mixing import augmenters

        return cls(dict(PREDICTORS), augmenters(), dict(KINDS))

    def enter(self) -> None:
        """Make known what this process does not know, or knows from an earlier call."""
        from repatient.mil import PREDICTORS, register_predictor
        from repatient.mixing import augmenters, register_augmenter, unregister_augmenter

        for name in _unknown("predictor", self.predictors, PREDICTORS):
            PREDICTORS.pop(name, None)
            register_predictor(name, self.predictors[name])
        for name in _unknown("augmenter", self.augmenters, augmenters()):
            if name in augmenters():
                unregister_augmenter(name)
            one = self.augmenters[name]
            register_augmenter(
                name, one.factory, aliases=one.aliases, citation=one.citation, makes_missing=one.makes_missing
            )
        for name in _unknown("kind", self.kinds, KINDS):
            KINDS.pop(name, None)
            register_kind(self.kinds[name])


def _unknown(what: str, offered: Mapping[str, Any], known: Container[str]) -> list[str]:
    """Names that are not known, or only from elsewhere."""
    found = [name for name in offered if name not in known or (what, name) in _from_elsewhere]
    _from_elsewhere.update((what, name) for name in found)
    return found
