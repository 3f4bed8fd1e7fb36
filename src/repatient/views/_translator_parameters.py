"""Parameters of a translator, checked before anything is computed."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from repatient._device import find_device
from repatient.views._generators import NETWORKS

_INTEGERS = {"n_members": 1, "width": 4, "hidden": 1, "noise_channels": 0, "n_neighbors": 1, "max_rows": 2}
_OPTIONAL_INTEGERS = {"n_steps": 1, "batch_size": 2}
_WEIGHTS = ("identity_weight", "pair_weight", "link_weight")


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise on a parameter that is out of its range."""
    find_device(parameters["device"])
    given = {name: minimum for name, minimum in _OPTIONAL_INTEGERS.items() if parameters[name] is not None}
    least = _INTEGERS | given
    for name, minimum in least.items():
        value = parameters[name]
        if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
            msg = f"`{name}` is an integer of {minimum} or more, not {value!r}."
            raise ValueError(msg)
    for name in _WEIGHTS:
        _check_number(parameters[name], name, above=None)
    _check_number(parameters["regularisation"], "regularisation", above=0.0)
    if parameters["learning_rate"] is not None:
        _check_number(parameters["learning_rate"], "learning_rate", above=0.0)
    weights = parameters["cycle_weights"]
    if np.shape(weights) != (2,):
        msg = f"`cycle_weights` are two numbers, of the source's and of the target's cycle, not {weights!r}."
        raise ValueError(msg)
    for weight in weights:
        _check_number(weight, "cycle_weights", above=None)
    if parameters["networks"] not in NETWORKS:
        msg = f"`networks` is one of {list(NETWORKS)}, not {parameters['networks']!r}."
        raise ValueError(msg)


def _check_number(value: Any, name: str, *, above: float | None) -> None:
    """Accept a finite number above a bound, or from 0 on where there is none."""
    inside = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    if not inside or float(value) < 0 or (above is not None and float(value) <= above):
        msg = f"`{name}` is a finite number {'of 0 or more' if above is None else f'above {above:g}'}, not {value!r}."
        raise ValueError(msg)
