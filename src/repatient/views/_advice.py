"""Which representation to take, with what certainty, and where something simpler does as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from repatient.views._probes import linear_mistakes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# What may be taken, the simplest first.
CANDIDATES = ("raw", "translation", "single", "spi")
SPOKEN = {
    "raw": "the primary view itself",
    "translation": "the synthetic view as features",
    "single": "the encoder without partners",
    "spi": "the encoder taught by synthetic partners",
}
# Of two representations whose errors differ by less than this share, the simpler one is taken.
_AS_GOOD = 1.05
_LEAST_ERROR = 5e-4
_FEWEST_TESTED = 5


class Advice(NamedTuple):
    """What to take.

    Parameters
    ----------
    take
        Name of the representation.
    certain
        Whether every other one has more error, by one-sided bounds at 95 % that hold together.
    table
        One row a candidate: ``arm``, ``error``, ``ratio`` of its error to that of ``take`` (geometric mean over seeds) and
        ``lower``, the corrected one-sided bound of the ratio; NaN with a single seed.
    sentence
        The same in words.
    """

    take: str
    certain: bool
    table: pd.DataFrame
    sentence: str


def advise(frame: pd.DataFrame, metric: str, *, confidence: float = 0.95, n_comparisons: int | None = None) -> Advice:
    """Say which representation to take by the errors of one metric.

    Of the candidates whose error is within 5 % of the least, the simplest is taken: ``"raw"``, ``"translation"``,
    ``"single"``, ``"spi"``.

    Parameters
    ----------
    frame
        Columns ``arm``, ``seed``, ``metric``, ``value``, as :func:`repatient.tl.evaluate_views` returns them.
    metric
        Which errors.
    confidence
        Of the bounds together.
    n_comparisons
        How many bounds are to hold together (Bonferroni). ``None``: those of this advice.

    Returns
    -------
    The advice.

    Raises
    ------
    ValueError
        If there are not two candidates with this metric.
    """
    of_metric = frame[(frame["metric"] == metric) & frame["arm"].isin(CANDIDATES)]
    table = of_metric.pivot_table(index="seed", columns="arm", values="value", observed=True)
    names = [name for name in CANDIDATES if name in table.columns]
    if len(names) < 2:
        msg = f"`frame`: of {list(CANDIDATES)}, there are {names} with the metric {metric!r}; two or more are compared."
        raise ValueError(msg)
    logs = np.log(table[names].clip(lower=_LEAST_ERROR))
    means = logs.mean()
    take = next(name for name in names if means[name] - means.min() <= np.log(_AS_GOOD))
    level = 1 - (1 - confidence) / (n_comparisons or len(names) - 1)
    rows = []
    for name in names:
        ratio, lower = _bounded((logs[name] - logs[take]).to_numpy(), level)
        rows.append({"arm": name, "error": float(table[name].mean()), "ratio": ratio, "lower": lower})
    compared = pd.DataFrame(rows)
    others = compared[compared["arm"] != take]
    certain = bool((others["lower"] > 1).all())
    return Advice(take, certain, compared, _sentence(take, compared.set_index("arm"), len(table)))


def _bounded(differences: NDArray[np.floating], level: float) -> tuple[float, float]:
    """Geometric mean of ratios and its one-sided lower bound, by Student's t on the logarithms."""
    mean = float(differences.mean())
    if len(differences) < 2:
        return float(np.exp(mean)), float("nan")
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return float(np.exp(mean)), float(np.exp(mean - stats.t.ppf(level, len(differences) - 1) * error))


def _sentence(take: str, table: pd.DataFrame, n_seeds: int) -> str:
    others = table.drop(index=take)
    certain = (others["lower"] > 1).all()
    errs = f"{SPOKEN[take]} ({take!r}) errs by {table.loc[take, 'error']:.3f}"
    if certain:
        nearest = others["lower"].idxmin()
        return (
            f"Take {take!r}: {errs}, and all others by more with 95 % certainty (the nearest, {nearest!r}, by "
            f"{others.loc[nearest, 'ratio']:.2f} times, at least {others.loc[nearest, 'lower']:.2f}; {n_seeds} seeds)."
        )
    if n_seeds < 2:
        return f"Take {take!r}, but one seed gives no certainty: {errs}, and the others by {_listed(others)}."
    open_ones = others[~(others["lower"] > 1)]
    return (
        f"Take {take!r}: {errs}. That it is better than {_names(open_ones)} is not certain: they err by {_listed(open_ones)}, "
        f"and the bounds of the ratios over {n_seeds} seeds are not above 1. Of those, the simpler one loses nothing for sure."
    )


def _names(table: pd.DataFrame) -> str:
    return " and ".join(repr(name) for name in table.index)


def _listed(table: pd.DataFrame) -> str:
    return ", ".join(f"{row['error']:.3f} ({name!r})" for name, row in table.iterrows())


def simpler_warning(
    representations: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.generic],
    *,
    training: NDArray[np.bool_],
    test: NDArray[np.bool_],
    reference: str,
) -> tuple[dict[str, float], str | None]:
    """Errors of a linear reader on held-out rows, and what to say where something simpler reads them as well.

    Parameters
    ----------
    representations
        Of the same rows, (n, ...), by name; among them the reference.
    labels
        Class of each row, (n,).
    training, test
        Rows that the reader learns from and is tested on, (n,).
    reference
        What should be better than all others.

    Returns
    -------
    Error by name, empty where fewer than five rows or two classes are there to tell by; and the warning, None where the
    reference is ahead of every other one by more than the standard error of the difference.
    """
    y, tested = labels[training], labels[test]
    if test.sum() < _FEWEST_TESTED or len(np.unique(y)) < 2:
        return {}, None
    mistakes = {name: linear_mistakes(of[training], y, of[test], tested) for name, of in representations.items()}
    errors = {name: float(wrong.mean()) for name, wrong in mistakes.items()}
    as_good = []
    for name, wrong in mistakes.items():
        difference = wrong.astype(np.float64) - mistakes[reference]
        if name != reference and difference.mean() <= difference.std() / np.sqrt(len(difference)):
            as_good.append(name)
    if not as_good:
        return errors, None
    found = " and ".join(f"{SPOKEN[name]} ({errors[name]:.2f})" for name in as_good)
    what = SPOKEN[reference] if reference != "spi" else "what was trained"
    return errors, (
        f"On {int(test.sum())} held-out rows, a linear reader errs with {found} no more than with {what} "
        f"({errors[reference]:.2f}), within the standard error: something simpler does as well here. "
        "`rp.tl.evaluate_views(scenario='map')` says which representation to take, with what certainty."
    )
