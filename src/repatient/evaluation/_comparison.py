"""Differences between methods over repeated splits, with intervals that know that splits overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from repatient._checks import check_number, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = ("method", "split", "metric", "value")
_UNCERTAINTY = ("lower", "upper", "one_sided_lower", "one_sided_upper", "p_value", "p_holm")
# Below a handful of splits or patients, and below rounding, a standard error says nothing.
_FEWEST, _ROUNDING = 5, 1e-12


class Interval(NamedTuple):
    """Mean of paired differences with its corrected uncertainty.

    Parameters
    ----------
    mean
        The mean.
    standard_error
        Its standard error, corrected for what the splits have in common.
    degrees
        Degrees of freedom of its t-distribution.
    """

    mean: float
    standard_error: float
    degrees: float

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Two-sided interval; either bound is one-sided at ``(1 + confidence) / 2``.

        Parameters
        ----------
        confidence
            Probability that intervals like this one hold the true mean.

        Returns
        -------
        The lower and the upper bound.
        """
        half = self.standard_error * float(stats.t.ppf((1 + confidence) / 2, self.degrees))
        return self.mean - half, self.mean + half

    def lower(self, confidence: float) -> float:
        """One-sided lower bound.

        Parameters
        ----------
        confidence
            Probability that bounds like this one lie below the true mean.

        Returns
        -------
        The bound.
        """
        return self.mean - self.standard_error * float(stats.t.ppf(confidence, self.degrees))

    def upper(self, confidence: float) -> float:
        """One-sided upper bound.

        Parameters
        ----------
        confidence
            Probability that bounds like this one lie above the true mean.

        Returns
        -------
        The bound.
        """
        return self.mean + self.standard_error * float(stats.t.ppf(confidence, self.degrees))

    @property
    def p_value(self) -> float:
        """Two-sided p-value of a mean of zero; NaN where there is no spread to judge it by."""
        if self.standard_error == 0:
            return float("nan")
        return 2 * float(stats.t.sf(abs(self.mean) / self.standard_error, self.degrees))


def corrected_interval(differences: NDArray[np.float64], test_fraction: float) -> Interval:
    r"""Mean of paired differences over splits, with the corrected resampled standard error.

    Splits share most of their patients, so that their differences are correlated and the usual standard error is too
    small. The corrected one is :math:`\sqrt{(1/J + n_{test}/n_{train})\, s^2}` over J splits.

    Parameters
    ----------
    differences
        One value a split, (splits,), two or more.
    test_fraction
        Share of the patients in the test set, which gives :math:`n_{test}/n_{train}`.

    Returns
    -------
    Mean, standard error and J - 1 degrees of freedom.

    Raises
    ------
    ValueError
        If there are fewer than two differences, or the share is not between 0 and 1.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the Generalization Error, Machine Learning 52, section 4.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        msg = f"differences: one value for each of two or more splits is needed, found shape {values.shape}."
        raise ValueError(msg)
    if not 0 < test_fraction < 1:
        msg = f"test_fraction is a share between 0 and 1, not {test_fraction!r}."
        raise ValueError(msg)
    variance = values.var(ddof=1) * (1 / len(values) + test_fraction / (1 - test_fraction))
    return Interval(float(values.mean()), float(np.sqrt(variance)), len(values) - 1)


def average_interval(intervals: list[Interval]) -> Interval:
    """Mean over cohorts, whose errors are independent; degrees of freedom after Welch and Satterthwaite.

    Parameters
    ----------
    intervals
        Mean and uncertainty of each cohort, as from :func:`corrected_interval`.

    Returns
    -------
    Mean of the means, every cohort counting the same, with its uncertainty.
    """
    variances = np.array([interval.standard_error**2 for interval in intervals])
    degrees = np.array([interval.degrees for interval in intervals])
    total = variances.sum()
    effective = total**2 / (variances**2 / degrees).sum() if total > 0 else degrees.sum()
    mean = float(np.mean([interval.mean for interval in intervals]))
    return Interval(mean, float(np.sqrt(total)) / len(intervals), float(effective))


def compare(
    frame: pd.DataFrame | Mapping[str, Any],
    *,
    baseline: str | None = None,
    metric: str = "auroc",
    test_fraction: float | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare every method with a baseline, split by split.

    Parameters
    ----------
    frame
        What :func:`repatient.tl.evaluate` returned, with columns ``method``, ``split``, ``metric`` and ``value``, or the
        entry of ``uns`` that it wrote.
    baseline
        Method to compare with. ``None``: that of the entry's ``params`` or of ``frame.attrs``; the first method where
        neither says, or that one was not run.
    metric
        Metric to compare by.
    test_fraction
        Share of the patients in the test sets. ``None``: that in the entry, or in ``frame.attrs``, where ``evaluate``
        leaves it.
    confidence
        Of the intervals.

    Returns
    -------
    One row a method, in the order of the frame, with ``mean`` and ``sd`` of the metric over the splits, ``difference``
    from the baseline, ``lower`` and ``upper`` ends of its corrected two-sided interval, ``one_sided_lower`` and
    ``one_sided_upper`` bounds of the same confidence, ``p_value``, ``p_holm``, adjusted for the number of methods
    :cite:p:`Holm1979`, and ``measurable``. Where the latter is ``False``, interval and p-values are NaN: the row is the
    baseline's own, the difference is the same in all splits (as between two perfect methods), or there are fewer than
    five splits or, as far as the entry says who was held out, five patients.

    Raises
    ------
    KeyError
        If a column is missing.
    TypeError, ValueError
        If the baseline, the metric or the share of the test sets is not known, ``confidence`` is no share below 1, or
        methods lack splits.

    Notes
    -----
    Intervals and p-values are those of the corrected resampled t-test :cite:p:`Nadeau2003`, with the variance of the
    differences times (1/J + n_test/n_train) for J splits. For a metric where less is better, such as ``brier``, an
    improvement is negative.
    """
    check_number(confidence, "confidence", above=0, below=1)
    enough = True
    usual = None
    if isinstance(frame, Mapping):
        frame, params, predictions = frame["results"], frame["params"], frame.get("predictions")
        test_fraction = float(params["test_fraction"]) if test_fraction is None else test_fraction
        usual = params.get("baseline")
        enough = predictions is None or predictions["patient"].nunique() >= _FEWEST
    fraction = _check_fraction(frame, test_fraction)
    table = by_split(frame, metric)
    baseline = _check_baseline(baseline, usual or frame.attrs.get("baseline"), list(table.columns))
    rows = {}
    for name in table.columns:
        differences = (table[name] - table[baseline]).to_numpy(dtype=np.float64)
        measurable = enough and len(differences) >= _FEWEST and float(np.ptp(differences)) > _ROUNDING
        row = {
            "mean": table[name].mean(),
            "sd": table[name].std(ddof=1),
            "difference": differences.mean(),
            **dict.fromkeys(_UNCERTAINTY, np.nan),
        }
        if measurable:
            interval = corrected_interval(differences, fraction)
            bounds = (*interval.bounds(confidence), interval.lower(confidence), interval.upper(confidence))
            row |= dict(zip(_UNCERTAINTY, (*bounds, interval.p_value, np.nan), strict=True))
        rows[name] = {**row, "measurable": measurable}
    result = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    tested = result["measurable"].to_numpy(dtype=bool)
    result.loc[tested, "p_holm"] = holm(result.loc[tested, "p_value"].to_numpy(dtype=np.float64))
    return result


def _check_baseline(baseline: str | None, usual: Any, methods: list[str]) -> str:
    if baseline is None:
        return str(usual) if usual in methods else methods[0]
    if baseline not in methods:
        msg = f"`baseline`: no method {baseline!r}; there are {listed(methods)}."
        raise ValueError(msg)
    return baseline


def by_split(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Values of one metric, splits × methods.

    Parameters
    ----------
    frame
        What :func:`repatient.tl.evaluate` returned.
    metric
        The metric.

    Returns
    -------
    One row a split, one column a method, in the order of the frame.

    Raises
    ------
    KeyError
        If the frame lacks a column.
    ValueError
        If it has no such metric, or a method lacks some splits.
    """
    missing = [name for name in _COLUMNS if name not in frame]
    if missing:
        msg = f"`frame`: no columns {missing}; a frame of `rp.tl.evaluate` has {list(_COLUMNS)}."
        raise KeyError(msg)
    available = list(dict.fromkeys(frame["metric"].astype(str)))
    if metric not in available:
        msg = f"`metric`: no metric {metric!r}; there are {available}."
        raise ValueError(msg)
    chosen = frame[frame["metric"].astype(str) == metric]
    table = chosen.assign(method=chosen["method"].astype(str)).pivot(index="split", columns="method", values="value")
    if table.isna().any(axis=None):
        msg = (
            f"`frame`: the methods {list(table.columns[table.isna().any()])} lack some splits; differences are paired."
        )
        raise ValueError(msg)
    return table[list(dict.fromkeys(chosen["method"].astype(str)))]


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values adjusted for their number by Holm's step-down procedure."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(stepped)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _check_fraction(frame: pd.DataFrame, test_fraction: float | None) -> float:
    fraction = frame.attrs.get("test_fraction") if test_fraction is None else test_fraction
    if fraction is None:
        msg = "`test_fraction`: the frame does not say which share of the patients was held out; pass it."
        raise ValueError(msg)
    return float(fraction)
