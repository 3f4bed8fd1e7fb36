"""How dense real cells are under a mixture that was not fitted on them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
_PASSES = 3


def can_hold_out(groups: NDArray[Any], n_components: int, *, random_state: int = 0) -> bool:
    """Whether there are groups and rows enough for :func:`held_out_log_density`.

    Parameters
    ----------
    groups
        Group (patient) of each row, (n,).
    n_components
        Number of components of the mixture.
    random_state
        Seed of the folds of groups.

    Returns
    -------
    Whether there are two groups or more, and no fold leaves fewer rows than components.
    """
    if len(np.unique(groups)) < 2:
        return False
    return len(groups) - int(np.bincount(_folds(groups, random_state)).max()) >= n_components


def held_out_log_density(
    mixture: Any, X: NDArray[Any], groups: NDArray[Any], *, random_state: int = 0
) -> NDArray[np.float64]:
    """Log-density of each row under the mixture refitted without the row's group.

    A mixture is denser at the cells that it was fitted on than at others of the same kind, and denser at cells of the
    patients that it knows: quantiles of its own cells would call new ones strange that are not.

    Parameters
    ----------
    mixture
        Fitted :class:`repatient.mixture.GaussianMixture`. Unchanged.
    X
        Rows (n, d) that it was fitted on, or a sample of them.
    groups
        Group (patient) of each row, (n,); two or more.
    random_state
        Seed of the folds of groups.

    Returns
    -------
    Log-densities (n,), in nats.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or a fold leaves fewer rows than components.

    Notes
    -----
    Five folds of groups (or as many as there are groups). Each refit starts from the mixture and makes three passes of
    EM over the other folds: the first takes the direct part of the fold out of every mean and covariance, which is
    most of what it did.
    """
    n_components = len(mixture.weights_)
    if not can_hold_out(groups, n_components, random_state=random_state):
        msg = (
            f"`groups`: {len(np.unique(groups))} groups of {len(groups)} rows cannot be held out from {n_components} "
            "components; two or more groups, and more rows, are needed."
        )
        raise ValueError(msg)
    folds = _folds(groups, random_state)
    log_density = np.empty(len(folds))
    refit = clone(mixture).set_params(
        n_components=n_components,
        weights_init=mixture.weights_,
        means_init=mixture.means_,
        covariances_init=mixture.covariances_,
        max_iter=_PASSES,
        progress=False,
    )
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            refit.fit(X[~held_out])
        log_density[held_out] = refit.score_samples(X[held_out])
    return log_density


def _folds(groups: NDArray[Any], random_state: int) -> NDArray[np.int64]:
    """Fold of each row, whole groups in each."""
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    n_groups = int(codes.max()) + 1
    return (np.random.default_rng(random_state).permutation(n_groups) % min(_FOLDS, n_groups))[codes]
