"""Splits in processes of their own: how many, what they have to know, and what they warn of."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from numbers import Integral
from pickle import PicklingError
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, TypeVar

import joblib
from joblib.parallel import get_active_backend

from repatient._messages import logger, warn
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
    msg = f"`n_jobs` is None, a number of processes (1 or more; -1: one a core) or a dask client, not {n_jobs!r}."
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral):
        raise TypeError(msg)
    if n_jobs < 1 and n_jobs != -1:
        raise ValueError(msg)


def results_of(calls: Sequence[Callable[[], T]], n_jobs: Any, *, memory: int) -> Iterator[T]:
    """Results of the calls as they come in.

    Parameters
    ----------
    calls
        What is called, each without arguments.
    n_jobs
        Processes, or a dask client. None: this process, and others as soon as the first call has shown that they are worth
        their start; what others cannot do is done here.
    memory
        Bytes that a process needs.
    """
    left = dict(enumerate(calls))
    if _is_client(n_jobs):
        with joblib.parallel_config(backend="dask", client=n_jobs):
            yield from _in_others(left, -1)
    elif n_jobs is not None and n_jobs != 1:
        yield from _in_processes(left, n_jobs)
    elif n_jobs is None and left:
        start = perf_counter()
        yield left.pop(0)()
        n_processes = _bearable(len(left), memory) if len(left) * (perf_counter() - start) > _LONG else 1
        if n_processes > 1:
            try:
                yield from _in_processes(left, n_processes)
            except (PicklingError, BrokenExecutor) as error:
                # Nobody asked for them: not a reason to fail.
                logger.info("Other processes do not work here (%s); the other splits run in this one.", error)
    for call in left.values():
        yield call()


def _is_client(n_jobs: Any) -> bool:
    return hasattr(n_jobs, "scheduler_info")


def _bearable(n_calls: int, memory: int) -> int:
    """Processes that nobody asked for: one a core, and fewer where memory asks for it; none inside of others."""
    if get_active_backend()[0].nesting_level:
        return 1
    return max(1, min(n_calls, joblib.effective_n_jobs(-1), _MOST, _MOST_MEMORY // max(1, memory)))


def _in_processes(left: dict[int, Callable[[], T]], n_processes: int) -> Iterator[T]:
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        yield from _in_others(left, n_processes)


def _in_others(left: dict[int, Callable[[], T]], n_processes: int) -> Iterator[T]:
    """Results of the calls in other processes, whose warnings are given here; what is done is no longer left."""
    registered = _Registered.here()
    tasks = [joblib.delayed(_told)(number, call, registered) for number, call in left.items()]
    given: set[tuple[type[Warning], str]] = set()
    for number, result, told in joblib.Parallel(n_processes, batch_size=1, return_as="generator_unordered")(tasks):
        del left[number]
        for category, message in told:
            if (category, message) not in given:
                given.add((category, message))
                warn(message, category)
        yield result


def _told(
    number: int, call: Callable[[], T], registered: _Registered
) -> tuple[int, T, list[tuple[type[Warning], str]]]:
    """The result of a call, and what it warned of."""
    registered.enter()
    if threading.current_thread() is not threading.main_thread():
        # What catches warnings would catch those of all threads.
        return number, call(), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    told = [(one.category, str(one.message)) for one in caught if not issubclass(one.category, _NOT_FOR_USERS)]
    return number, result, list(dict.fromkeys(told))


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
