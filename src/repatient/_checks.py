"""The one vocabulary of argument checks: each error names the argument, what was found and what would be right."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(names: Iterable[Any], most: int = 12) -> str:
    """Names as a list that stays readable however many there are."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:most])
    return f"[{shown}, … ({len(names)} in all)]" if len(names) > most else f"[{shown}]"


def check_key(key: Any, argument: str) -> None:
    """Accept a name under which h5ad and zarr can store a result."""
    if not isinstance(key, str):
        msg = f"`{argument}` is a string, not {type(key).__name__}."
        raise TypeError(msg)
    if not key or "/" in key:
        msg = f"`{argument}` is a name without '/', as h5ad and zarr need it, not {key!r}."
        raise ValueError(msg)


def check_integer(value: Any, argument: str, *, minimum: int = 1) -> int:
    """Accept an integer of at least ``minimum``; booleans are not integers."""
    right = f"`{argument}` is an integer of {minimum} or more"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        msg = f"{right}, not {value!r}."
        raise TypeError(msg)
    if value < minimum:
        msg = f"{right}, not {value}."
        raise ValueError(msg)
    return int(value)


def check_number(
    value: Any,
    argument: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> float:
    """Accept a finite number within bounds; booleans are not numbers."""
    bounds = (("of at least", minimum), ("above", above), ("of at most", maximum), ("below", below))
    within = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
    right = f"`{argument}` is a finite number {within}".rstrip()
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        msg = f"{right}, not {value!r}."
        raise TypeError(msg)
    number = float(value)
    inside = (
        np.isfinite(number)
        and (minimum is None or number >= minimum)
        and (above is None or number > above)
        and (maximum is None or number <= maximum)
        and (below is None or number < below)
    )
    if not inside:
        msg = f"{right}, not {value}."
        raise ValueError(msg)
    return number


def check_option(value: Any, argument: str, options: Iterable[str]) -> None:
    """Accept one of ``options``."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        msg = f"`{argument}` is one of {listed(options)}, not {value!r}."
        raise ValueError(msg)
