"""Checks of what an augmenter is given."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_positive(value: Any, name: str) -> None:
    """Accept a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"`{name}` is a number above 0, not {value!r}."
        raise TypeError(msg)
    if not 0 < float(value) < np.inf:
        msg = f"`{name}` is a number above 0, not {value!r}."
        raise ValueError(msg)


def check_share(value: Any, name: str) -> None:
    """Accept a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"`{name}` is a number from 0 to 1, not {value!r}."
        raise TypeError(msg)
    if not 0 <= float(value) <= 1:
        msg = f"`{name}` is a number from 0 to 1, not {value!r}."
        raise ValueError(msg)


def check_count(value: Any, name: str, *, minimum: int = 1) -> None:
    """Accept an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        msg = f"`{name}` is an integer of {minimum} or more, not {value!r}."
        raise TypeError(msg)
    if value < minimum:
        msg = f"`{name}` is an integer of {minimum} or more, not {value!r}."
        raise ValueError(msg)


def check_option(value: Any, name: str, options: Sequence[str]) -> None:
    """Accept one of ``options``."""
    if not isinstance(value, str) or value not in options:
        msg = f"`{name}` is one of {list(options)}, not {value!r}."
        raise ValueError(msg)
