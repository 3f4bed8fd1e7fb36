"""Where EM starts: the best of several short runs on a subsample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances

from repatient.mixture._chunks import block_length, take_rows
from repatient.mixture._em import Sample, Settings, run_em
from repatient.mixture._parameters import Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._features import FeatureMap

_SHORT_RUNS = (3, 6)
_KMEANS_PASSES = 10


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
) -> Parameters:
    """Start ``n_init`` times from k-means, run EM briefly, refine the most likely run on the subsample."""
    part = _subsample(sample, max(max_samples, n_components), rng)
    starts = [
        _kmeans_start(part, feature_map, n_components, covariance_type, index, rng, settings.reg_covar)
        for index in range(n_init if n_components > 1 else 1)
    ]
    best = _most_likely(part, feature_map, starts, settings)
    if part is sample:
        return best
    return run_em(part, feature_map, best, replace(settings, refine=False)).parameters


def _most_likely(part: Sample, feature_map: FeatureMap, starts: list[Parameters], settings: Settings) -> Parameters:
    """Run EM briefly from all starts, then a little longer from the better half, and keep the most likely."""
    for n_passes in _SHORT_RUNS:
        brief = replace(settings, max_iter=n_passes, refine=False)
        runs = [run_em(part, feature_map, start, brief) for start in starts]
        runs.sort(key=lambda run: -run.log_likelihoods[-1])
        starts = [run.parameters for run in runs[: (len(runs) + 1) // 2]]
    return starts[0]


def _subsample(sample: Sample, max_samples: int, rng: np.random.Generator) -> Sample:
    """At most ``max_samples`` rows, in memory."""
    n_rows = sample.rows.shape[0]
    if n_rows <= max_samples:
        return sample
    index = np.sort(rng.choice(n_rows, size=max_samples, replace=False))
    rows = take_rows(sample.rows, index, block_length(sample.rows.shape[1], 8))
    return Sample.of(rows.astype(sample.rows.dtype), sample.whitening, sample.device)


def _kmeans_start(
    part: Sample,
    feature_map: FeatureMap,
    n_components: int,
    covariance_type: str,
    index: int,
    rng: np.random.Generator,
    reg_covar: float,
) -> Parameters:
    """Parameters of k-means clusters, found in the input space by even starts, in the whitened one by odd starts.

    Which metric finds the better start depends on the features: principal components carry their importance in
    their scale, clinical measurements do not.
    """
    z = part.whitening.columns(np.asarray(part.rows, dtype=np.float64)).T
    points: Any = z if index % 2 else np.asarray(part.rows, dtype=np.float64)
    kmeans = KMeans(n_components, n_init=1, max_iter=_KMEANS_PASSES, random_state=int(rng.integers(2**31)))
    labels = _without_slivers(points, kmeans.fit_predict(points), kmeans.cluster_centers_, feature_map.min_rows)
    return _parameters_of_labels(z, labels, n_components, covariance_type, reg_covar * part.whitening.metric)


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


def _parameters_of_labels(
    z: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    n_components: int,
    covariance_type: str,
    ridge: NDArray[np.float64],
) -> Parameters:
    """Moments of each cluster, its covariance shrunk towards the pooled one as d + 2 further rows would shrink it.

    Small clusters would otherwise start as needles, which EM never widens again.
    """
    n_rows, n_dims = z.shape
    counts = np.bincount(labels, minlength=n_components).astype(float)
    members = [z[labels == k] if counts[k] else z for k in range(n_components)]
    means = np.stack([rows.mean(axis=0) for rows in members])
    centred = z - means[labels]
    diagonal = covariance_type == "diag"
    pooled = np.square(centred).mean(axis=0) if diagonal else centred.T @ centred / n_rows
    if covariance_type == "tied":
        return Parameters("tied", np.maximum(counts, 1) / np.maximum(counts, 1).sum(), means, pooled + ridge)
    own = np.stack([_centred_moments(centred[labels == k], diagonal=diagonal) for k in range(n_components)])
    prior = n_dims + 2
    size = counts.reshape(-1, *[1] * pooled.ndim)
    covariances = (own + prior * pooled) / (size + prior) + ridge
    weights = np.maximum(counts, 1)
    return Parameters(covariance_type, weights / weights.sum(), means, covariances)


def _centred_moments(centred: NDArray[np.float64], *, diagonal: bool) -> NDArray[np.float64]:
    """Sum of squares, or of outer products, of centred rows."""
    return np.square(centred).sum(axis=0) if diagonal else centred.T @ centred
