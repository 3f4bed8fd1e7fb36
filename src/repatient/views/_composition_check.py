"""Whether two views hold the same kinds of rows in similar shares; where they do not, translators make things up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from sklearn.cluster import KMeans

from repatient.views._torch import single_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LEAST_SHARE = 0.02
MOST_RATIO = 4.0

_N_CLUSTERS = 8
_MOST_ROWS = 5000
_SIGNIFICANCE = 1e-3


def compare_groups(source: ArrayLike, target: ArrayLike) -> pd.DataFrame:
    """Shares of groups in two views, and which of them the target lacks.

    Parameters
    ----------
    source, target
        Group of each row of either view; names that are missing (NaN) are left out.

    Returns
    -------
    One row a group, in the order of their names: ``source_share``, ``target_share`` and ``missing``. A group is missing
    if it makes up 2 % of the source or more, its share of the target is less than a quarter of that, and chance is no
    explanation (chi-squared test, p < 0.001).
    """
    columns = [pd.Series(np.asarray(values, dtype=object)).dropna().astype(str) for values in (source, target)]
    names = sorted(set(columns[0]) | set(columns[1]))
    counts = np.array([column.value_counts().reindex(names, fill_value=0).to_numpy() for column in columns])
    return _table(names, counts)


def compare_clusters(source: NDArray[np.floating], target: NDArray[np.floating], random_state: int) -> pd.DataFrame:
    """Shares of clusters of both views' rows together, in features that they share: :func:`compare_groups` without groups.

    Parameters
    ----------
    source, target
        Rows in the same features: linked ones, or translated and measured ones.
    random_state
        Seed of the rows drawn and of the clusters.

    Returns
    -------
    The table of :func:`compare_groups`, one row a cluster.
    """
    rng = np.random.default_rng(random_state)
    drawn = [view[np.sort(rng.permutation(len(view))[:_MOST_ROWS])] for view in (source, target)]
    flat = [view.reshape(len(view), -1).astype(np.float64) for view in drawn]
    most = max(min(_N_CLUSTERS, min(len(view) for view in flat) // 5), 2)
    with single_thread():
        labels = KMeans(most, n_init=3, random_state=random_state).fit_predict(np.concatenate(flat))
    names = [f"cluster {cluster}" for cluster in range(most)]
    split = labels[: len(flat[0])], labels[len(flat[0]) :]
    return _table(names, np.array([np.bincount(part, minlength=most) for part in split]))


def hallucination_warning(table: pd.DataFrame, *, what: str) -> str | None:
    """What to warn of, if some of the groups are missing from the target.

    Parameters
    ----------
    table
        What :func:`compare_groups` or :func:`compare_clusters` returned.
    what
        What the groups are, for the message, such as ``"cell_type"``.

    Returns
    -------
    The message, or ``None`` where no group is missing.
    """
    missing = table.index[table["missing"]]
    if not len(missing):
        return None
    shares = ", ".join(
        f"{name!r} ({table.loc[name, 'source_share']:.1%} of the source, {table.loc[name, 'target_share']:.1%} of the "
        "target)"
        for name in missing
    )
    return (
        f"The views differ in composition by {what}: {shares}. The target cannot show what these rows look like, so their "
        "translations are made up of other kinds of rows, while figures over all rows look well. Leave them out "
        "(`mask_obs`), or look at the fidelity by group."
    )


def _table(names: Sequence[str], counts: NDArray[np.int64]) -> pd.DataFrame:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    missing = (shares[0] >= LEAST_SHARE) & (shares[1] * MOST_RATIO < shares[0])
    for group in np.flatnonzero(missing):
        rest = counts.sum(axis=1) - counts[:, group]
        table = np.array([counts[:, group], rest])
        missing[group] = (table.sum(axis=1) > 0).all() and chi2_contingency(table).pvalue < _SIGNIFICANCE
    return pd.DataFrame(
        {"source_share": shares[0], "target_share": shares[1], "missing": missing}, index=pd.Index(names, name="group")
    )
