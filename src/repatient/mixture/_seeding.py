"""Where EM starts: the best of several short runs, improved on growing subsamples where there are many rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances

from repatient.mixture._blocks import score_blocks
from repatient.mixture._clusters import parameters_of_clusters
from repatient.mixture._em import (
    EMTrace,
    RegCovar,
    Sample,
    Settings,
    run_em,
)
from repatient.mixture._exchange import exchange_components
from repatient.mixture._features import feature_map_of
from repatient.mixture._prior import Strength
from repatient.mixture._regularisation import FEW_ROWS, most_general
from repatient.mixture._whitening import Whitening, moments_of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._features import FeatureMap
    from repatient.mixture._parameters import Parameters

_SHORT_RUNS = (3, 6)
_KMEANS_PASSES = 10
# Rows that a component should have for a start, in those that it needs not to collapse.
_ROWS_TO_START = 3
# How many times as large the second subsample is, which takes over passes in which EM adapts to more rows, and its limit.
_GROWTH, _MOST_VALUES = 4, 4_000_000
# Values of the first subsample, of some hundred features: starts need no more rows because there are more features.
_VALUES_TO_START = 6_000_000
_LOOSER = 10
# Rows a component and dimension of a subsample from which on no prior is needed to search for an optimum in it, where it would
# favour components that are alike.
_AMPLE = 20
# Features from which on components are looked for in a few directions, how many, rows that are enough there, rows that one
# of the small clusters has that tell them, and passes there.
_WIDE, _DIRECTIONS, _ROWS_IN_FEW, _ROWS_A_CLUSTER, _PASSES_IN_FEW = 64, 64, 6_000, 8, 30


def seed_parameters(
    sample: Sample,
    feature_map: FeatureMap,
    n_components: int,
    covariance_type: str,
    rng: np.random.Generator,
    *,
    n_init: int,
    max_samples: int,
    settings: Settings,
) -> tuple[Parameters, Settings]:
    """Start ``n_init`` times from k-means, run EM briefly, and go on from the most likely run.

    With more than ``max_samples`` rows that happens on a part of a subsample; what it leaves to be wished for is made
    good on the whole subsample, and on a larger one, where passes are still cheap. Returned is with which
    regularisation, the one that held-out rows ask for, and strength of the prior to go on. Where the subsample is ample,
    it is searched without a prior.
    """
    needed = _ROWS_TO_START * n_components * feature_map.min_rows
    max_samples = min(max_samples, max(_VALUES_TO_START // feature_map.n_dims, needed))
    part = _subsample(sample, max(max_samples, n_components), rng)
    first = part
    if part is not sample:
        first = _subsample(part, max(max_samples // 4, needed), rng)
    ample = part.rows.shape[0] >= _AMPLE * n_components * feature_map.n_dims
    bare = part is not sample and ample and settings.strength.rows is None
    search = replace(settings, strength=Strength(0.0)) if bare else settings
    best = _start(first, feature_map, n_components, covariance_type, rng, search, n_init)
    seen = run_em(part, feature_map, best.parameters, replace(settings, max_iter=1, refine=False)) if bare else best
    if settings.strength.rows is None:
        settings = replace(settings, known=seen.strength)
    if settings.choose:

        def start_in_fold(train: Sample) -> EMTrace:
            n_fewer = min(n_components, train.rows.shape[0])
            return _start(train, feature_map, n_fewer, covariance_type, rng, settings, n_init=2)

        settings = most_general(part, feature_map, seen, settings, rng, start_in_fold)
    if part is sample:
        return best.parameters, settings
    search = replace(search, reg_covar=settings.reg_covar) if bare else settings
    if not _is_wide(part, feature_map, n_components, covariance_type):
        best = exchange_components(part, feature_map, best.parameters, search)
    # More rows will move the optimum by more than the last passes here would.
    loose = replace(search, tol=_LOOSER * settings.tol, refine=False)
    best = run_em(part, feature_map, best.parameters, loose)
    larger = min(_GROWTH * max_samples, _MOST_VALUES // feature_map.n_dims)
    if max_samples < larger <= sample.rows.shape[0] // 2:
        known = None if bare else best.strength
        best = run_em(_subsample(sample, larger, rng), feature_map, best.parameters, replace(loose, known=known))
    return best.parameters, settings if bare else replace(settings, known=best.strength)


def _start(
    part: Sample,
    feature_map: FeatureMap,
    n_components: int,
    covariance_type: str,
    rng: np.random.Generator,
    settings: Settings,
    n_init: int,
) -> EMTrace:
    """The most likely of several short runs; of many wide rows in a few directions, and a pass in all of them."""
    if _is_wide(part, feature_map, n_components, covariance_type):
        start = _start_in_few_directions(part, feature_map, n_components, rng, settings, n_init)
        return run_em(part, feature_map, start, replace(settings, max_iter=1, refine=False))
    starts = [
        _kmeans_start(part, feature_map, n_components, covariance_type, index, rng, settings.reg_covar)
        for index in range(n_init if n_components > 1 else 1)
    ]
    return _most_likely(part, feature_map, starts, settings)


def _is_wide(part: Sample, feature_map: FeatureMap, n_components: int, covariance_type: str) -> bool:
    """Whether passes over all pairs of features are so dear that starts are looked for in a few directions."""
    wide = covariance_type == "full" and n_components > 1 and feature_map.n_dims > _WIDE
    return wide and part.rows.shape[0] > FEW_ROWS


def _start_in_few_directions(
    part: Sample,
    feature_map: FeatureMap,
    n_components: int,
    rng: np.random.Generator,
    settings: Settings,
    n_init: int,
) -> Parameters:
    """Parameters of the clusters that a mixture finds where the means of many small clusters differ most.

    In the whitened space these directions are those with the largest share of the spread between clusters. Passes there
    cost little beside those over all pairs of some hundred features.
    """
    rows = np.asarray(part.rows, dtype=np.float64)
    z_all = part.whitening.columns(rows).T
    some = np.sort(rng.permutation(len(rows))[:_ROWS_IN_FEW])
    rows, z = rows[some], z_all[some]
    n_clusters = max(2, min(_DIRECTIONS, len(z) // _ROWS_A_CLUSTER))
    means = []
    for points in (rows, z):
        kmeans = KMeans(n_clusters, n_init=1, max_iter=_KMEANS_PASSES, random_state=int(rng.integers(2**31)))
        member = np.eye(n_clusters)[kmeans.fit_predict(points)]
        means.append(member.T @ z / np.sqrt(np.maximum(member.sum(axis=0), 1))[:, None])
    axes = np.linalg.svd(np.concatenate(means), full_matrices=False)[2][:_DIRECTIONS].T
    y = (z @ axes).astype(np.float32)
    moments = moments_of_rows(y)
    narrow = feature_map_of("full", y.shape[1], n_components)
    of_y = Whitening.from_moments(moments, diagonal=False).rounded()
    sample = Sample.of(y, of_y, moments)
    starts = [
        _kmeans_start(sample, narrow, n_components, "full", index, rng, settings.reg_covar) for index in range(n_init)
    ]
    best = _most_likely(sample, narrow, starts, settings)
    best = exchange_components(sample, narrow, best.parameters, settings)
    best = run_em(sample, narrow, best.parameters, replace(settings, max_iter=_PASSES_IN_FEW, refine=False))
    y = (z_all @ axes).astype(np.float32)
    blocks = score_blocks(y, of_y, narrow, narrow.coefficients(best.parameters))
    labels = np.concatenate([scores.labels() for scores in blocks])
    labels = _without_slivers(y, labels, of_y.unwhiten(best.parameters).means, feature_map.min_rows)
    return parameters_of_clusters(z_all, labels, n_components, "full", part.ridge(settings.reg_covar))


def _most_likely(part: Sample, feature_map: FeatureMap, starts: list[Parameters], settings: Settings) -> EMTrace:
    """Run EM briefly from all starts, then a little longer from the better half, and keep the most likely."""
    for n_passes in _SHORT_RUNS:
        brief = replace(settings, max_iter=n_passes, refine=False)
        runs = [run_em(part, feature_map, start, brief) for start in starts]
        runs.sort(key=lambda run: -run.log_likelihoods[-1])
        if len(runs) == 1:
            break
        starts = [run.parameters for run in runs[: (len(runs) + 1) // 2]]
    return runs[0]


def _subsample(sample: Sample, max_samples: int, rng: np.random.Generator) -> Sample:
    """At most ``max_samples`` rows, in memory."""
    n_rows = sample.rows.shape[0]
    if n_rows <= max_samples:
        return sample
    return sample.part(np.sort(rng.choice(n_rows, size=max_samples, replace=False)))


def _kmeans_start(
    part: Sample,
    feature_map: FeatureMap,
    n_components: int,
    covariance_type: str,
    index: int,
    rng: np.random.Generator,
    reg_covar: RegCovar,
) -> Parameters:
    """Parameters of k-means clusters, found in the input space by even starts, in the whitened one by odd starts.

    Which metric finds the better start depends on the features: principal components carry their importance in
    their scale, clinical measurements do not.
    """
    z = part.whitening.columns(np.asarray(part.rows, dtype=np.float64)).T
    points: Any = z if index % 2 else np.asarray(part.rows, dtype=np.float64)
    kmeans = KMeans(n_components, n_init=1, max_iter=_KMEANS_PASSES, random_state=int(rng.integers(2**31)))
    labels = _without_slivers(points, kmeans.fit_predict(points), kmeans.cluster_centers_, feature_map.min_rows)
    return parameters_of_clusters(z, labels, n_components, covariance_type, part.ridge(reg_covar))


def _without_slivers(
    points: NDArray[np.float64], labels: NDArray[np.integer[Any]], centres: NDArray[np.float64], min_rows: int
) -> NDArray[np.integer[Any]]:
    """Give the rows of too small clusters to the nearest large one, and halve the largest cluster instead.

    A component with fewer rows than its covariance has parameters collapses: EM keeps it for its likelihood, but it
    describes nothing that another patient would have.
    """
    labels = labels.copy()
    counts = np.bincount(labels, minlength=len(centres))
    small = np.flatnonzero(counts < min_rows)
    large = np.flatnonzero(counts >= min_rows)
    if not large.size:
        return labels
    for sliver in small:
        largest = np.bincount(labels, minlength=len(centres)).argmax()
        members = np.flatnonzero(labels == largest)
        if len(members) < 2 * min_rows:
            break
        strays = np.flatnonzero(labels == sliver)
        if strays.size:
            labels[strays] = large[euclidean_distances(points[strays], centres[large]).argmin(axis=1)]
        axis = points[members].var(axis=0).argmax()
        by_position = members[np.argsort(points[members, axis], kind="stable")]
        labels[by_position[len(members) // 2 :]] = sliver
    return labels
