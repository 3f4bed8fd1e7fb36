"""The one vocabulary of argument checks: each error names the argument, what was found and what would be right."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def listed(names: Iterable[Any], most: int = 12) -> str:
    """Names as a list that stays readable however many there are."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:most])
    return f"[{shown}, … ({len(names)} in all)]" if len(names) > most else f"[{shown}]"


def check_key(key: Any, argument: str, made_from: Iterable[Any] = ()) -> None:
    """Accept a name under which h5ad and zarr can store a result, and that is none of what it is ``made_from``."""
    if not isinstance(key, str):
        msg = f"`{argument}` is a string, not {type(key).__name__}."
        raise TypeError(msg)
    if not is_storable(key):
        msg = (
            f"`{argument}` is a name without '/', neither '_index' nor made of dots alone, as h5ad and zarr need it, "
            f"not {key!r}."
        )
        raise ValueError(msg)
    if key in list(made_from):
        msg = (
            f"`{argument}`: the result is made from what is called {key!r} and would take its place; name it otherwise."
        )
        raise ValueError(msg)


def is_storable(key: str) -> bool:
    """Whether h5ad and zarr take a text as a name; any text they take as a value."""
    return bool(key.strip(".")) and key != "_index" and not key.startswith("__") and not {"/", "\0"} & set(key)


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


def check_name(value: Any, argument: str, names: Iterable[Any], options: Iterable[str] = ()) -> str:
    """Accept one of ``options``, or a name of the data: as text, or as the number that the text is of."""
    names, options = [str(name) for name in names], list(options)
    found = name_of(value, names)
    if found is None and not (isinstance(value, str) and value in options):
        msg = f"`{argument}` is one of {listed([*options, *names])}, not {value!r}."
        raise ValueError(msg)
    return value if found is None else found


def name_of(value: Any, names: Sequence[str]) -> str | None:
    """Which of the names a value is: the same text, or else the only one that is the same number."""
    if str(value) in names:
        return str(value)
    number = _number(value)
    same = [] if number is None else [name for name in names if _number(name) == number]
    return same[0] if len(same) == 1 else None


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError):
        return None


def unmasked(X: Any, argument: str) -> Any:
    """What lies in a masked array of numpy, none of whose values is masked; all else as it is."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if np.ma.is_masked(X):
        msg = (
            f"`{argument}` has {int(np.ma.getmaskarray(X).sum())} masked values, which have no number to compute with: fill "
            "them, or leave their rows out."
        )
        raise ValueError(msg)
    return np.ma.getdata(X)


def another(word: str, names: Iterable[Any]) -> str:
    """A word of ours that none of the names is: in brackets, as often as that takes."""
    taken = {str(name) for name in names}
    while word in taken:
        word = f"({word})"
    return word


def check_option(value: Any, argument: str, options: Iterable[str]) -> None:
    """Accept one of ``options``."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        msg = f"`{argument}` is one of {listed(options)}, not {value!r}."
        raise ValueError(msg)
