"""How many components: held-out log-likelihood over whole groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import GroupKFold

from repatient._checks import check_integer
from repatient._progress import progress_bar
from repatient.mixture._chunks import as_rows, group_codes, masked_rows, take_rows
from repatient.mixture._exchange import merge_components
from repatient.mixture._gaussian_mixture import GaussianMixture
from repatient.mixture._parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

_LOOSER = 10
_OF_CUBE_ROOT, _MOST_COMPONENTS, _FEW_PATIENTS = 0.7, 40, 5


def select_n_components(
    X: Any,
    groups: ArrayLike,
    candidates: Iterable[int],
    *,
    n_splits: int = 5,
    random_state: int = 0,
    progress: bool | None = None,
    max_samples: int = 10_000,
    **params: Any,
) -> tuple[int, dict[str, NDArray[Any]]]:
    """Choose the number of components that explains unseen groups (patients) best.

    Each fold leaves whole groups out, so that rows of one group never stand on both sides. Every group counts once,
    however many rows it has.

    Parameters
    ----------
    X
        Rows (n, d).
    groups
        Group of every row, (n,).
    candidates
        Numbers of components to try.
    n_splits
        Number of folds.
    random_state
        Seed of the folds and of the fits.
    progress
        Show a progress bar; ``None`` shows it where a person can see it.
    max_samples
        Largest number of rows that each mixture is fitted to; of more, a random part.
    **params
        Further arguments of :class:`GaussianMixture`. By default there is one start, and EM stops at ten times ``tol``.

    Returns
    -------
    best
        The candidate with the largest held-out log-likelihood; of equals, the smallest.
    table
        Arrays with one entry a candidate, in increasing order: ``n_components``, ``log_likelihood`` (mean over groups
        of the group's mean held-out log density, nats per row) and ``standard_error`` (over groups).

    Raises
    ------
    ValueError
        If there is no candidate, ``groups`` does not fit ``X``, or there are fewer groups than folds.
    """
    rows = as_rows(X)
    n_rows = rows.shape[0]
    sizes = np.unique(np.asarray(list(candidates), dtype=int))
    codes = group_codes(groups, n_rows)
    n_groups = int(codes.max()) + 1
    if not 2 <= n_splits <= n_groups:
        msg = f"`n_splits` lies between 2 and the number of groups ({n_groups}), not {n_splits}."
        raise ValueError(msg)
    if sizes.size == 0:
        msg = "`candidates` is empty: name at least one number of components."
        raise ValueError(msg)
    folds = list(GroupKFold(n_splits, shuffle=True, random_state=random_state).split(codes, groups=codes))
    # Numbers of components differ by more than the last passes gain.
    brief = {"n_init": 1, **params, "tol": _LOOSER * params.get("tol", 1e-4)}
    density, rng = np.empty((len(sizes), n_rows)), np.random.default_rng(random_state)
    with progress_bar(desc="Mixtures", total=len(sizes) * n_splits, enabled=progress) as bar:
        for _, test in folds:
            held_out = np.zeros(n_rows, dtype=bool)
            held_out[test] = True
            train = np.flatnonzero(~held_out)
            if len(train) > max_samples:
                train = np.sort(rng.choice(train, size=max_samples, replace=False))
            train_rows, test_rows = take_rows(rows, train), masked_rows(rows, held_out)
            chosen = None
            start: dict[str, Any] = {}
            # The largest has most need of regularisation; the others take what rows held out have told it, and start from
            # the larger one, which has found what there is to be told apart: what starts of their own may miss.
            for row in reversed(range(len(sizes))):
                settings = {**brief, **start}
                mixture = GaussianMixture(int(sizes[row]), random_state=random_state, progress=False, **settings)
                chosen = mixture._fit(train_rows, codes[train], chosen)._chosen
                start = _start_of(mixture, int(sizes[row - 1])) if row else {}
                density[row, test] = mixture.score_samples(test_rows)
                bar.update()
    group_sizes = np.bincount(codes)
    by_group = np.stack([np.bincount(codes, weights=values) / group_sizes for values in density])
    table = {
        "n_components": sizes,
        "log_likelihood": by_group.mean(axis=1),
        "standard_error": by_group.std(axis=1, ddof=1) / np.sqrt(n_groups),
    }
    return int(sizes[table["log_likelihood"].argmax()]), table


def _start_of(larger: GaussianMixture, n_components: int) -> dict[str, Any]:
    """Where a mixture of fewer components starts: the components of a larger one, merged."""
    found = Parameters(larger.covariance_type, larger.weights_, larger.means_, larger.covariances_)
    merged = merge_components(found, n_components)
    return {
        "weights_init": merged.weights / merged.weights.sum(),
        "means_init": merged.means,
        "covariances_init": merged.covariances,
    }


def default_n_components(n_cells: int, n_dims: int, n_patients: int | None = None) -> int:
    """Number of components that so many cells can bear and so many patients can use.

    .7 times the cube root of the number of cells, between 2 and 40: 5 for 500 cells, 7 for 1,000, 15 for 10,000, 32 for
    100,000; and no more than leave each component twice as many cells as a full covariance has rows, 2 (d + 1). Recipes
    of few patients cannot tell many components apart: there are at most as many as patients, or 5.

    Parameters
    ----------
    n_cells
        Number of cells that the mixture is fitted to.
    n_dims
        Number of dimensions d of the embedding.
    n_patients
        Number of patients, where it is known.

    Returns
    -------
    The number of components, at most ``n_cells``.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of 1 or more.
    """
    check_integer(n_cells, "n_cells")
    check_integer(n_dims, "n_dims")
    most = min(_OF_CUBE_ROOT * n_cells ** (1 / 3), n_cells / (2 * (n_dims + 1)), _MOST_COMPONENTS)
    if n_patients is not None:
        most = min(most, max(_FEW_PATIENTS, check_integer(n_patients, "n_patients")))
    return min(max(2, int(most)), n_cells)
