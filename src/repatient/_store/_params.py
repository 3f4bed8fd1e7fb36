"""The record of how a result was made."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from repatient._checks import is_storable

_LARGEST = 2**63 - 1


def record(**params: Any) -> dict[str, Any]:
    """Parameters, seed and package version, in types that h5ad and zarr hold.

    Integers of more than 64 bits, as numpy recommends for seeds, are stored as text, which :func:`int` reads; a dictionary
    with a key that is no name in files as a table of ``name`` and ``value``.
    """
    return {**{name: _storable(value) for name, value in params.items()}, "version": version("repatient")}


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        items = {str(name): _storable(item) for name, item in value.items()}
        if all(map(is_storable, items)):
            return items
        return pd.DataFrame(
            {"name": list(items), "value": list(items.values())}, index=[str(i) for i in range(len(items))]
        )
    if isinstance(value, list | tuple):
        return np.array([_storable(item) for item in value])
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        return str(value)
    return value


def storable_mask(mask_obs: Any) -> str | None:
    """Name of the column that a mask came from; an array is recorded as such."""
    return mask_obs if mask_obs is None or isinstance(mask_obs, str) else "array"
