"""Quantiles of a patient's cells, divided among the cells by their ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

QUANTILES = np.arange(1, 10) / 10


def divide_by_rank(
    values: NDArray[np.float32], sizes: NDArray[np.int64], shares: Array, of_quantiles: Array
) -> NDArray[np.float64]:
    """What the cells of each bag have of its quantiles, summed over features, (bags, most, scores).

    Shares are steps along the ranks: where a cell stands among the few values at which these change says what it has.
    """
    n_bags, n_features, most = values.shape
    new = np.any(shares[:, 1:] != shares[:, :-1], axis=2) & (np.arange(1, most) < sizes[:, None])
    n_steps = int(new.sum(axis=1).max(initial=0))
    first = np.sort(np.where(new, np.arange(1, most), most), axis=1)[:, :n_steps]
    there, first = first < most, np.minimum(first, most - 1)
    ordered = np.sort(values, axis=2)
    edges = np.take_along_axis(ordered, first[:, None], axis=2)
    # Equal values on both sides of a step: what its sides have is theirs together.
    split = (np.take_along_axis(ordered, np.maximum(first - 1, 0)[:, None], axis=2) == edges) & there[:, None]
    edges[np.broadcast_to(~there[:, None], edges.shape)] = np.inf
    step = np.zeros(values.shape, dtype=np.uint8)
    for j in range(n_steps):
        step += values >= edges[:, :, j, None]
    starts = np.concatenate([np.zeros((n_bags, 1), np.int64), first], axis=1)
    of_steps = np.einsum("bsq,bqfk->bfsk", np.take_along_axis(shares, starts[..., None], axis=1), of_quantiles)
    place = step + (n_steps + 1) * np.arange(n_bags * n_features).reshape(n_bags, n_features, 1)
    flat = of_steps.reshape(-1, of_steps.shape[-1])
    tied = split.any(axis=2)
    if tied.any():
        flat = np.where(np.repeat(tied.ravel(), n_steps + 1)[:, None], 0.0, flat)
    total = np.stack([column[place].sum(axis=1) for column in flat.T], axis=2)
    if tied.any():
        bag, feature = np.nonzero(tied)
        of_ranks = np.einsum("trq,tqk->trk", shares[bag], of_quantiles[bag, :, feature])
        some, starts = np.unique(bag, return_index=True)
        total[some] += np.add.reduceat(_mean_of_equals(values[bag, feature], of_ranks), starts, axis=0)
    return total


def _mean_of_equals(values: NDArray[np.float32], of_ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each value has of the ranks in its row, equal values the mean of theirs, (rows, n, scores)."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.concatenate([np.ones((len(values), 1), bool), ordered[:, 1:] != ordered[:, :-1]], axis=1).ravel()
    sums = np.add.reduceat(of_ranks.reshape(-1, of_ranks.shape[2]), np.flatnonzero(starts), axis=0)
    counts = np.diff(np.append(np.flatnonzero(starts), starts.size))
    mean = (sums / counts[:, None])[np.cumsum(starts) - 1].reshape(of_ranks.shape)
    result = np.empty_like(mean)
    np.put_along_axis(result, order[..., None], mean, axis=1)
    return result


def shares_of_ranks(sizes: NDArray[np.int64], most: int) -> NDArray[np.float64]:
    """Part of each quantile that the cell of each rank has, (bags, most, quantiles); 0 beyond a bag's size."""
    rank, last = np.arange(most), np.maximum(sizes - 1, 1)[:, None, None]
    near = np.abs(rank[:, None] / last - QUANTILES) <= np.maximum(0.05, 0.5 / last + 1e-9)
    inside = (rank < sizes[:, None])[..., None]
    # A single cell has all quantiles, and all cells have one that no rank is near to.
    near = inside & (near | (sizes == 1)[:, None, None])
    near |= inside & ~near.any(axis=1, keepdims=True)
    return near / near.sum(axis=1, keepdims=True)
