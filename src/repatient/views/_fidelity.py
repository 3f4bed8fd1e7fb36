"""How well translated rows agree with measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from repatient._threads import one_thread
from repatient.evaluation import energy_distance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BLOCK_ROWS = 1024
_N_NEIGHBORS = 15
_MOST_ROWS = 2000


def foscttm(translated: ArrayLike, measured: ArrayLike) -> NDArray[np.float64]:
    """Fraction of samples closer than the true match, of each row: 0 is perfect, .5 is chance.

    Parameters
    ----------
    translated, measured
        Features of the same rows in the same order, (n, d), of two rows or more.

    Returns
    -------
    Shape (n,): mean of the fraction of measured rows that are closer to the translated row than its own, and of the
    fraction of translated rows that are closer to the measured row than its own (Liu et al. 2019; Demetci et al. 2022).
    Rows at an equal distance count half.
    """
    a, b = _flat(translated), _flat(measured)
    return (_share_closer(a, b) + _share_closer(b, a)) / 2


def feature_correlation(translated: ArrayLike, measured: ArrayLike) -> NDArray[np.float64]:
    """Pearson correlation of each feature over the rows.

    Parameters
    ----------
    translated, measured
        Features of the same rows, (n, ...).

    Returns
    -------
    The correlations, (d,); NaN for features that are constant on either side.
    """
    a, b = (values - values.mean(axis=0) for values in (_flat(translated), _flat(measured)))
    norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), norms, out=np.full(a.shape[1], np.nan), where=norms > 1e-12)


def neighbour_overlap(
    translated: ArrayLike, measured: ArrayLike, n_neighbors: int = _N_NEIGHBORS
) -> NDArray[np.float64]:
    """Share of the nearest rows of each that are the same among translated and among measured rows.

    Parameters
    ----------
    translated, measured
        Features of the same rows, (n, ...).
    n_neighbors
        How many nearest rows to compare.

    Returns
    -------
    The shares, (n,); by chance about ``n_neighbors / (n - 1)``.
    """
    a, b = _flat(translated), _flat(measured)
    k = min(n_neighbors, len(a) - 1)
    with one_thread():
        near = [NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False) for x in (a, b)]
    return (near[0][:, :, None] == near[1][:, None, :]).any(axis=2).mean(axis=1)


def distribution_match(translated: ArrayLike, measured: ArrayLike, random_state: int = 0) -> float:
    """Energy distance between translated and measured rows relative to their mean distance.

    At most 2,000 rows of each are compared (Székely and Rizzo 2013, the energy coefficient of inhomogeneity).

    Parameters
    ----------
    translated, measured
        Rows in the same features, (n, ...) and (m, ...); they need not be pairs.
    random_state
        Seed of the rows that are compared.

    Returns
    -------
    0 for a perfect match, 1 for none.
    """
    rng = np.random.default_rng(random_state)
    a, b = (x[np.sort(rng.permutation(len(x))[:_MOST_ROWS])] for x in (_flat(translated), _flat(measured)))
    with one_thread():
        between = float(cdist(a, b).mean())
    return float(energy_distance(a, b)) ** 2 / (2 * between) if between > 0 else 0.0


def read_as(
    translated: ArrayLike, measured: ArrayLike, measured_groups: ArrayLike, n_neighbors: int = _N_NEIGHBORS
) -> NDArray[np.object_]:
    """Group that each translated row looks like: that of most of its nearest measured rows.

    Parameters
    ----------
    translated, measured
        Rows in the same features, (n, ...) and (m, ...).
    measured_groups
        Group of each measured row, (m,); rows without one (NaN) have no vote.
    n_neighbors
        How many nearest rows vote.

    Returns
    -------
    Names of the groups, (n,).
    """
    a, b = _flat(translated), _flat(measured)
    codes, names = pd.factorize(np.asarray(measured_groups, dtype=object), sort=True)
    known = codes >= 0
    k = min(n_neighbors, int(known.sum()))
    votes = np.zeros((len(a), len(names)), dtype=np.int64)
    with one_thread():
        near = NearestNeighbors(n_neighbors=k).fit(b[known]).kneighbors(a, return_distance=False)
    for column in codes[known][near].T:
        votes[np.arange(len(a)), column] += 1
    return np.asarray(names, dtype=object)[votes.argmax(axis=1)]


def by_group(translated: ArrayLike, measured: ArrayLike, groups: ArrayLike) -> pd.DataFrame:
    """Fidelity of held-out pairs group by group, where figures over all rows hide what is made up.

    Parameters
    ----------
    translated, measured
        Features of the same rows, (n, d).
    groups
        Group of each row; rows without one (NaN) are left out of the table, not out of the comparison.

    Returns
    -------
    One row a group: ``n``; ``foscttm``; ``error``, the root mean squared error in standard deviations of the features;
    ``neighbour_overlap``; and ``within_foscttm``, among the rows of the group alone.
    """
    a, b = _flat(translated), _flat(measured)
    per_row = pd.DataFrame(
        {
            "foscttm": foscttm(a, b),
            "error": ((a - b) ** 2).mean(axis=1),
            "neighbour_overlap": neighbour_overlap(a, b),
        }
    )
    names = pd.Series(np.asarray(groups, dtype=object)).where(lambda column: column.notna())
    known = names.notna().to_numpy()
    of_rows = names[known].astype(str)
    grouped = per_row[known].groupby(of_rows.to_numpy())
    table = grouped.mean()
    table["error"] = np.sqrt(table["error"])
    table.insert(0, "n", grouped.size())
    table["within_foscttm"] = [
        float(foscttm(a[rows], b[rows]).mean()) if len(rows) > 1 else np.nan
        for rows in (np.flatnonzero((names.astype(str) == name).to_numpy() & known) for name in table.index)
    ]
    table.index.name = "group"
    return table


def agreement(maps: list[NDArray[np.float32]]) -> float:
    """Mean correlation of features between translations of the same rows by maps of different seeds.

    Parameters
    ----------
    maps
        Translations of the same rows, each (n, ...).

    Returns
    -------
    1 if all agree; NaN where there is nothing to compare.
    """
    correlations = [feature_correlation(maps[i], maps[j]) for i in range(len(maps)) for j in range(i)]
    there = np.concatenate(correlations)
    there = there[~np.isnan(there)]
    return float(there.mean()) if len(there) else float("nan")


def _share_closer(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the others that are closer to each row than the one at its own place."""
    share = np.empty(len(rows))
    with one_thread():
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            distances = cdist(rows[block], others)
            # The row's own distance as it is computed here, so that it never is closer than itself.
            here = distances[np.arange(len(distances)), np.arange(start, start + len(distances))][:, None]
            closer = (distances < here).sum(axis=1) + ((distances == here).sum(axis=1) - 1) / 2
            share[block] = closer / (len(rows) - 1)
    return share


def _flat(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)
