"""Markers side by side where values are alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LEVELS = 45
_WIDEST = 0.42
_STEP = 0.09


def swarm(values: np.ndarray, groups: np.ndarray, names: list[str]) -> np.ndarray:
    """Horizontal place of each value: the position of its group, moved aside where others have its level.

    Values of one level stand symmetrically about their group's middle, closer together the more they are.
    """
    low, high = values.min(), values.max()
    levels = np.floor((values - low) / (high - low or 1.0) * (_LEVELS - 1))
    neighbours = pd.Series(values).groupby([groups, levels])
    number = neighbours.cumcount().to_numpy()
    size = neighbours.transform("size").to_numpy()
    step = np.minimum(_STEP, 2 * _WIDEST / np.maximum(size - 1, 1))
    middle = pd.Series(range(len(names)), index=names)[groups].to_numpy()
    return middle + (number - (size - 1) / 2) * step
