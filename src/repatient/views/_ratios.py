"""How many times less error one arm has than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Half an error in a thousand test rows: where an arm makes none, its ratio is to be large, not infinite.
_LEAST = 5e-4


def error_ratios(frame: pd.DataFrame, *, reference: str = "synthetic", confidence: float = 0.95) -> pd.DataFrame:
    """Ratio of the error of every arm to that of one arm, over seeds.

    Parameters
    ----------
    frame
        What :func:`repatient.tl.evaluate_views` returned: columns ``arm``, ``seed``, ``metric``, ``value``.
    reference
        Arm whose error is the denominator.
    confidence
        Of the intervals.

    Returns
    -------
    One row a metric and arm: ``metric``, ``arm``, ``error`` (mean over seeds), ``ratio`` (geometric mean of the paired
    ratios, above 1 where the reference has less error), ``lower`` and ``upper``, by Student's t on the logarithms; NaN
    with a single seed. Errors below 0.0005 count as that.

    Raises
    ------
    ValueError
        If the reference is not in the frame.
    """
    if reference not in set(frame["arm"]):
        msg = f"`reference`: no arm {reference!r}; there are {list(dict.fromkeys(frame['arm']))}."
        raise ValueError(msg)
    rows = []
    for metric, of_metric in frame.groupby("metric", sort=False, observed=True):
        table = of_metric.pivot(index="seed", columns="arm", values="value")
        logs = np.log(table.clip(lower=_LEAST))
        for arm in dict.fromkeys(of_metric["arm"]):
            difference = (logs[arm] - logs[reference]).to_numpy()
            ratio, lower, upper = (float(np.exp(v)) for v in _interval(difference, confidence))
            error = float(table[arm].mean())
            rows.append({"metric": metric, "arm": arm, "error": error, "ratio": ratio, "lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def _interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float, float]:
    """Mean and its bounds."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, np.nan, np.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half
