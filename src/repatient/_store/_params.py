"""The record of how a result was made."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np


def record(**params: Any) -> dict[str, Any]:
    """Parameters, seed and package version, in types that h5ad and zarr hold."""
    return {**{name: _storable(value) for name, value in params.items()}, "version": version("repatient")}


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name).replace("/", "|"): _storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return np.array(value)
    return value


def storable_mask(mask_obs: Any) -> str | None:
    """Name of the column that a mask came from; an array is recorded as such."""
    return mask_obs if mask_obs is None or isinstance(mask_obs, str) else "array"
