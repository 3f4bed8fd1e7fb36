"""Two components merged and one split at once: what EM, which only moves nearby, cannot do (after Ueda et al., 2000)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import entr
from sklearn.metrics import euclidean_distances

from repatient.mixture._blocks import score_blocks
from repatient.mixture._clusters import centred_moments, parameters_of_clusters
from repatient.mixture._em import Sample, Settings, SingularCovarianceError, run_em

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._em import EMTrace, RegCovar
    from repatient.mixture._features import FeatureMap
    from repatient.mixture._parameters import Parameters

    Float = NDArray[np.float64]

# Passes in which an exchange shows what it gains, what it has to gain, and how many are tried until one does.
_TRIAL_PASSES, _LEAST_GAIN, _MOST_TRIALS = 3, 0.01, 4
# Pairs that are considered for a merger: those of a component and its nearest ones.
_NEIGHBOURS = 10
# Steps to the longest axis of a component, and of 2-means from both sides along it.
_AXIS_STEPS, _CLUSTER_STEPS = 8, 8


class _Split(NamedTuple):
    """What a component would be as two, and the classification log-likelihood that this gains."""

    gain: float
    halves: Parameters


class _Mergers(NamedTuple):
    """Pairs of components, what each would be as one, and the classification log-likelihood that this costs."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    means: Float
    covariances: Float
    losses: Float


class _Exchange(NamedTuple):
    """The component ``at`` split and the pair of this number merged: what both gain together, and the halves."""

    promise: float
    at: int
    halves: Parameters
    pair: int


def exchange_components(part: Sample, feature_map: FeatureMap, start: Parameters, settings: Settings) -> EMTrace:
    """Run EM briefly, merge the components that lose least by it and split the one that gains most, and so on.

    Gains and losses are those of the classification likelihood, in which every row belongs to one component: one
    assignment of the rows tells what each split and each merger is about worth. Whether an exchange stays is decided by
    the likelihood after a few passes of EM.
    """
    brief = replace(settings, max_iter=_TRIAL_PASSES, refine=False)
    z = np.ascontiguousarray(part.whitening.columns(np.asarray(part.rows, dtype=np.float64)).T)
    best = run_em(part, feature_map, start, brief)
    brief = replace(brief, strength=best.strength, known=None)
    for _ in range(len(start.weights)):
        better = _after_exchange(part, z, feature_map, best, brief)
        if better is None:
            break
        best = better
    return best


def merge_components(parameters: Parameters, n_components: int) -> Parameters:
    """Merge the two components that lose least by it, again and again, until there are ``n_components``."""
    while len(parameters.weights) > n_components:
        mergers = _mergers(parameters, 1)
        pair = int(mergers.losses.argmin())
        merged, second = _merged(parameters, mergers, pair), mergers.second[pair]
        covariances = merged.covariances
        parameters = replace(
            merged,
            weights=np.delete(merged.weights, second),
            means=np.delete(merged.means, second, axis=0),
            covariances=covariances if merged.covariance_type == "tied" else np.delete(covariances, second, axis=0),
        )
    return parameters


def _after_exchange(
    part: Sample, z: Float, feature_map: FeatureMap, current: EMTrace, brief: Settings
) -> EMTrace | None:
    """EM from the first exchange that gains enough, the most promising one tried first; None where there is none.

    The first is tried whatever it promises, since EM gains more than the assignment of the rows tells.
    """
    mergers = _mergers(current.parameters, len(z))
    splits = _splits(part, z, feature_map, current.parameters, brief.reg_covar)
    exchanges = filter(None, (_best_with(at, split, mergers) for at, split in splits.items()))
    ranked = sorted(exchanges, key=lambda exchange: -exchange.promise)
    for exchange in ranked[:1] + [other for other in ranked[1:_MOST_TRIALS] if other.promise > 0]:
        try:
            run = run_em(part, feature_map, _apply(current.parameters, exchange, mergers), brief)
        except SingularCovarianceError:
            continue
        if run.log_likelihoods[-1] - current.log_likelihoods[-1] >= _LEAST_GAIN:
            return run
    return None


def _splits(
    part: Sample, z: Float, feature_map: FeatureMap, parameters: Parameters, reg_covar: RegCovar
) -> dict[int, _Split]:
    """The components that have rows enough for two, each as two."""
    coefficients = feature_map.coefficients(parameters)
    blocks = score_blocks(part.rows, part.whitening, feature_map, coefficients, device=part.device)
    labels = np.concatenate([scores.labels() for scores in blocks])
    ridge, covariance_type = part.ridge(reg_covar), parameters.covariance_type
    splits = (
        _split(z[labels == k], feature_map.min_rows, covariance_type, ridge) for k in range(len(parameters.weights))
    )
    return {k: split for k, split in enumerate(splits) if split is not None}


def _best_with(at: int, split: _Split, mergers: _Mergers) -> _Exchange | None:
    """The merger that costs least among components that are not the one at ``at``."""
    pairs = np.flatnonzero((mergers.first != at) & (mergers.second != at))
    if not pairs.size:
        return None
    pair = int(pairs[mergers.losses[pairs].argmin()])
    return _Exchange(split.gain - mergers.losses[pair], at, split.halves, pair)


def _split(rows: Float, min_rows: int, covariance_type: str, ridge: Float) -> _Split | None:
    """The rows (n, d) of a component in two clusters; None where one has too few rows, or none in some direction."""
    if len(rows) < 2 * min_rows:
        return None
    centred = rows - rows.mean(axis=0)
    labels = _two_means(centred).astype(np.intp)
    if min(labels.sum(), len(rows) - labels.sum()) < min_rows:
        return None
    diagonal = covariance_type == "diag"
    whole = centred_moments(centred, diagonal=diagonal) / len(rows) + ridge
    halves = parameters_of_clusters(rows, labels, 2, "diag" if diagonal else "full", ridge)
    volumes, of_halves = _log_volumes(whole[None]), _log_volumes(halves.covariances)
    if not (np.isfinite(volumes).all() and np.isfinite(of_halves).all()):
        return None
    shrinkage = volumes[0] - halves.weights @ of_halves
    return _Split(len(rows) * (0.5 * shrinkage - entr(halves.weights).sum()), halves)


def _two_means(centred: Float) -> NDArray[np.bool_]:
    """Cluster of each row, from both sides along the longest axis."""
    axis = np.eye(centred.shape[1])[centred.var(axis=0).argmax()]
    for _ in range(_AXIS_STEPS):
        axis = centred.T @ (centred @ axis)
        axis /= max(np.linalg.norm(axis), np.finfo(float).tiny)
    upper = centred @ axis > 0
    for _ in range(_CLUSTER_STEPS):
        if not 0 < upper.sum() < len(upper):
            break
        one, other = centred[upper].mean(axis=0), centred[~upper].mean(axis=0)
        upper = centred @ (one - other) > 0.5 * (one @ one - other @ other)
    return upper


def _mergers(parameters: Parameters, n_rows: int) -> _Mergers:
    """Neighbouring components in pairs, merged such that weight, mean and covariance are kept."""
    weights, means, covariances = parameters.weights, parameters.means, parameters.covariances
    if parameters.covariance_type == "tied":
        covariances = np.broadcast_to(covariances, (len(weights), *covariances.shape))
    first, second = _neighbours(means)
    both = np.maximum(weights[first] + weights[second], np.finfo(float).tiny)
    shares = np.stack([weights[first], weights[second]]) / both
    apart = means[first] - means[second]
    between = np.square(apart) if covariances.ndim == 2 else apart[:, :, None] * apart[:, None, :]
    of_covariances = shares.reshape(2, -1, *[1] * (covariances.ndim - 1))
    merged = of_covariances[0] * covariances[first] + of_covariances[1] * covariances[second]
    merged += of_covariances[0] * of_covariances[1] * between
    volumes = _log_volumes(covariances)
    growth = _log_volumes(merged) - shares[0] * volumes[first] - shares[1] * volumes[second]
    losses = n_rows * both * (0.5 * growth - entr(shares).sum(axis=0))
    means = shares[0, :, None] * means[first] + shares[1, :, None] * means[second]
    return _Mergers(first, second, means, merged, losses)


def _neighbours(means: Float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of components, at least one of which is among the nearest of the other."""
    distances = euclidean_distances(means)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(means) - 1)]
    pairs = np.column_stack([np.repeat(np.arange(len(means)), nearest.shape[1]), nearest.ravel()])
    first, second = np.unique(np.sort(pairs, axis=1), axis=0).T
    return first, second


def _apply(parameters: Parameters, exchange: _Exchange, mergers: _Mergers) -> Parameters:
    """The pair in the place of its first component, the halves where the split one was and in the place left free."""
    halves, places = exchange.halves, [exchange.at, mergers.second[exchange.pair]]
    result = _merged(parameters, mergers, exchange.pair)
    result.weights[places] = result.weights[exchange.at] * halves.weights
    result.means[places] = halves.means
    if parameters.covariance_type != "tied":
        result.covariances[places] = halves.covariances
    return replace(result, weights=result.weights / result.weights.sum())


def _merged(parameters: Parameters, mergers: _Mergers, pair: int) -> Parameters:
    """A copy with the pair in the place of its first component; the second is as it was."""
    weights, means, covariances = parameters.weights.copy(), parameters.means.copy(), parameters.covariances.copy()
    first = mergers.first[pair]
    weights[first] += weights[mergers.second[pair]]
    means[first] = mergers.means[pair]
    if parameters.covariance_type != "tied":
        covariances[first] = mergers.covariances[pair]
    return replace(parameters, weights=weights, means=means, covariances=covariances)


def _log_volumes(covariances: Float) -> Float:
    """Log determinants (m,) of covariances (m, d, d), or of the diagonals (m, d) of such."""
    if covariances.ndim == 2:
        with np.errstate(divide="ignore"):
            return np.log(covariances).sum(axis=1)
    log_determinants: Float = np.linalg.slogdet(covariances)[1]
    return log_determinants
