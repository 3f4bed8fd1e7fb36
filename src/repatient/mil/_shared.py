"""What several predictors make of the same patients, made once."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from repatient.mil._bags import Bags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Result = TypeVar("Result")

_PLAIN = (str, int, float, bool, type, type(None), np.integer, np.floating, np.bool_)


class _UnknownError(Exception):
    """Something of which nobody can tell whether it is the same as before."""


class _Memory:
    """Results by what they were made of, and the arrays that are told apart by where they lie."""

    def __init__(self) -> None:
        self.results: dict[Any, tuple[Any, list[Any]]] = {}
        self.held: dict[int, Any] = {}

    def name(self, value: Any) -> Any:
        """What is the same for the same value, and for no other one."""
        if isinstance(value, _PLAIN):
            return type(value), value
        if isinstance(value, Bags):
            # Cells are many, and one array of them serves a whole evaluation: it is kept, so that no other takes its place.
            self.held[id(value.X)] = value.X
            return "bags", id(value.X), self.name(value.rows), self.name(value.indptr)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufUS":
            content = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).digest()
            return value.dtype.str, value.shape, content
        if isinstance(value, np.random.Generator):
            return "generator", repr(value.bit_generator.state)
        if isinstance(value, list | tuple):
            return type(value), tuple(self.name(part) for part in value)
        if isinstance(value, dict):
            return "mapping", tuple((key, self.name(part)) for key, part in sorted(value.items()))
        raise _UnknownError


_MEMORY: ContextVar[_Memory | None] = ContextVar("_MEMORY", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Inside, what is made of the same patients from the same seed is made once; nothing is kept beyond.

    What is made is the same to the bit with and without. Arrays of cells must not be changed meanwhile. Inside another one,
    what that one keeps serves, too.

    Yields
    ------
    Nothing.
    """
    if _MEMORY.get() is not None:
        yield
        return
    before = _MEMORY.set(_Memory())
    try:
        yield
    finally:
        _MEMORY.reset(before)


def once(what: str, parts: tuple[Any, ...], make: Callable[[], Result]) -> Result:
    """What ``make`` returns, or has returned for the same parts, which are all that it depends on.

    A random generator among them is left where ``make`` would leave it. Nobody may change what is returned.
    """
    memory = _MEMORY.get()
    if memory is None:
        return make()
    try:
        key = what, memory.name(parts)
    except _UnknownError:
        return make()
    generators = [part for part in parts if isinstance(part, np.random.Generator)]
    if key not in memory.results:
        result = make()
        memory.results[key] = result, [generator.bit_generator.state for generator in generators]
    result, states = memory.results[key]
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state
    return result


def fit_once(model: Any, bags: Bags, y: Any, *, groups: Any = None, classes: Any = None, **generated: Any) -> Any:
    """Fit a predictor, or take one that was fitted with the same parameters to the same patients.

    Parameters
    ----------
    model
        An unfitted predictor.
    bags, y, groups, classes
        As its ``fit`` takes them.
    **generated
        What else it takes; a predictor that learns from more than real patients is fitted in any case.

    Returns
    -------
    The fitted predictor, which nobody may change.
    """

    def fit() -> Any:
        return model.fit(bags, y, groups=groups, classes=classes, **generated)

    if any(value is not None for value in generated.values()):
        return fit()
    labels, parameters = np.asarray(y), model.get_params(deep=False)
    # Classes are those of the labels where nobody names them.
    names = np.unique(labels) if classes is None and parameters.get("outcome") == "class" else classes
    return once("model", (type(model), parameters, bags, labels, groups, names), fit)
