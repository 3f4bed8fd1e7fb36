"""How well a mixture covers another cohort, how far the cells of shared classes lie apart, and when that is too far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._messages import warn
from repatient.evaluation import mmd_test
from repatient.sampling import AffineMap, mean_shift

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from repatient import _store
    from repatient.sampling import Moments, Spread
    from repatient.tl._reference import Counterpart

_LEAST_COVERAGE = 0.8
_SIGNIFICANT = 0.01
_PERMUTATIONS = 999
_CELLS_OF_A_CLASS = 1000

_ADVICE = {
    "unlabelled": (
        "pass `patient_key` and `label_key`, so that the cohorts can be aligned on a class that both have "
        "(`align='moments'`), or integrate them first"
    ),
    "raw": "align them on the classes that both have, `align='moments'` (or 'quantiles', or 'ot'), or integrate them first",
    "moments": "try `align='quantiles'` or `'ot'`, or integrate the cohorts first",
    "quantiles": "try `align='ot'`, or integrate the cohorts first",
    "ot": "try `align='quantiles'`, or integrate the cohorts first",
}


@dataclass(frozen=True)
class Samples:
    """Cells of one shared class of both cohorts with their patients and donors; ``theirs`` are the reference's."""

    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]
    our_patients: NDArray[np.int64]
    their_patients: NDArray[np.int64]
    our_donors: NDArray[np.int64]
    their_donors: NDArray[np.int64]


def draw_samples(
    ours: _store.LabelledCells, theirs: _store.LabelledCells, names: Sequence[str], random_state: int
) -> dict[str, Samples]:
    """Draw cells of each shared class that has two donors or more in both cohorts."""
    rng = np.random.default_rng(random_state)
    samples = {}
    for name in names:
        first, second = ours.sample(name, _CELLS_OF_A_CLASS, rng), theirs.sample(name, _CELLS_OF_A_CLASS, rng)
        donors = ours.donors[first], theirs.donors[second]
        if min(len(np.unique(of_cells)) for of_cells in donors) > 1:
            patients = ours.patients[first], theirs.patients[second]
            samples[name] = Samples(ours.rows(first), theirs.rows(second), *patients, *donors)
    return samples


def measure_shift(
    samples: dict[str, Samples], move: Callable[[NDArray[Any]], NDArray[Any]], random_state: int
) -> pd.DataFrame:
    """MMD between the cohorts in each class, after our cells were moved; donors are what is permuted."""
    table = {}
    for name, sample in samples.items():
        ours, theirs = _standardised(move(sample.ours), sample.theirs)
        found = mmd_test(
            ours,
            theirs,
            groups_x=sample.our_donors,
            groups_y=sample.their_donors,
            n_permutations=_PERMUTATIONS,
            random_state=random_state,
        )
        table[name] = {
            "mmd": found.statistic,
            "p_value": found.p_value,
            "n_patients": len(np.unique(sample.our_patients)),
            "n_reference_patients": len(np.unique(sample.their_patients)),
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(index="class")


def measure_mean_shift(
    ours: _store.LabelledCells, theirs: Counterpart, names: Sequence[str], move: AffineMap | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same from statistics of the reference, raw and after our cells were moved: distances of the class means."""
    if theirs.spread is None:
        return pd.DataFrame(), pd.DataFrame()
    moments, spread = ours.moments(names), ours.spread(names)
    known = theirs.moments_of(names), theirs.spread
    raw = _mean_shifts(moments.covariances, spread, *known, names)
    if move is None:
        return raw, raw
    covariances = move.matrix @ moments.covariances @ move.matrix.T
    return raw, _mean_shifts(covariances, spread.moved(move), *known, names)


def _mean_shifts(
    covariances: NDArray[np.float64], spread: Spread, of_file: Moments, of_donors: Spread, names: Sequence[str]
) -> pd.DataFrame:
    """Shift of each class with two donors or more, in standard deviations of the cells of both cohorts."""
    table = {}
    for name, covariance, n_donors in zip(names, covariances, spread.n_donors.tolist(), strict=True):
        n_theirs = int(of_donors.n_donors[of_donors.classes.index(name)])
        if min(n_donors, n_theirs) < 2:
            continue
        scale = np.sqrt((np.diag(covariance) + np.diag(of_file.over([name])[1])).clip(0) / 2)
        scale[scale == 0] = 1.0
        found = mean_shift(spread, of_donors, name, scale)
        table[name] = {
            "mmd": found.statistic,
            "p_value": found.p_value,
            "n_patients": n_donors,
            "n_reference_patients": n_theirs,
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(index="class")


def warn_if_unsafe(coverage: float, shift: pd.DataFrame | None, how: str, by: str) -> None:
    """Say, with numbers, that recipes should not be exchanged as things are, and what to do."""
    found = []
    if coverage < _LEAST_COVERAGE:
        found.append(f"only {coverage:.0%} of the cells are as dense as 99% of the reference's cells are")
    if shift is not None:
        # Each of several classes is one more chance to find a difference that is none.
        apart = shift[shift["p_value"] * len(shift) <= _SIGNIFICANT]
        found += [
            f"the cells of {name!r} differ between the cohorts (MMD² {row['mmd']:.3f}, p = {row['p_value']:.3f} by {by})"
            for name, row in apart.iterrows()
        ]
    if found:
        what = "; ".join(found)
        left = "" if how in ("raw", "unlabelled") else f" after alignment by {how!r}"
        msg = f"{what[0].upper()}{what[1:]}{left}. Recipes should not be exchanged like this: {_ADVICE[how]}."
        warn(msg)


def _standardised(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both in standard deviations of all their cells, so that no unit of a feature decides."""
    scale = np.concatenate([first, second]).std(axis=0)
    scale[scale == 0] = 1.0
    return first / scale, second / scale
