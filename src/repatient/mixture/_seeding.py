"""Where EM starts: the best of several short runs, improved on growing subsamples where there are many rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances

from repatient.mixture._chunks import take_rows
from repatient.mixture._clusters import parameters_of_clusters
from repatient.mixture._em import EMTrace, RegCovar, Sample, Settings, expectation, maximisation, run_em
from repatient.mixture._exchange import exchange_components
from repatient.mixture._whitening import moments_of_rows

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
_LOOSER = 10
# Regularisations that held-out rows choose from, and the log-likelihood (nats a feature) that is not worth a larger one.
_SHARES, _NEARLY = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 0.01
_FOLDS, _BLOCKS, _FOLD_PASSES, _FEW_ROWS = 3, 48, 3, 5_000


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
    regularisation, the one that held-out rows ask for, and strength of the prior to go on.
    """
    part = _subsample(sample, max(max_samples, n_components), rng)
    first = part
    if part is not sample:
        first = _subsample(part, max(max_samples // 4, _ROWS_TO_START * n_components * feature_map.min_rows), rng)
    starts = [
        _kmeans_start(first, feature_map, n_components, covariance_type, index, rng, settings.reg_covar)
        for index in range(n_init if n_components > 1 else 1)
    ]
    best = _most_likely(first, feature_map, starts, settings)
    if settings.strength.rows is None:
        settings = replace(settings, known=best.strength)
        reg_covar = _held_out_reg_covar(part, feature_map, best.parameters, settings, rng)
        settings = replace(settings, reg_covar=reg_covar)
    if part is sample:
        return best.parameters, settings
    best = exchange_components(part, feature_map, best.parameters, settings)
    # More rows will move the optimum by more than the last passes here would.
    loose = replace(settings, tol=_LOOSER * settings.tol, refine=False)
    best = run_em(part, feature_map, best.parameters, loose)
    larger = min(_GROWTH * max_samples, _MOST_VALUES // feature_map.n_dims)
    if max_samples < larger <= sample.rows.shape[0] // 2:
        best = run_em(
            _subsample(sample, larger, rng), feature_map, best.parameters, replace(loose, known=best.strength)
        )
    return best.parameters, replace(settings, known=best.strength)


def _held_out_reg_covar(
    part: Sample, feature_map: FeatureMap, start: Parameters, settings: Settings, rng: np.random.Generator
) -> RegCovar:
    """The regularisation that explains rows outside a fold best; the given one where it does almost as well.

    What a handful of rows have in common by chance (a feature that is zero in all of them) is no property of a component.
    Rows are held out in blocks of neighbours, which mostly come from the same patient.
    """
    n_rows, rows = part.rows.shape[0], np.asarray(part.rows)
    n_blocks = min(n_rows, _BLOCKS)
    fold = (rng.permutation(n_blocks) % _FOLDS)[np.arange(n_rows) * n_blocks // n_rows]
    least = settings.reg_covar
    larger = [share for share in _SHARES if share > least.share]
    candidates = [least, *(RegCovar(share, common) for common in (False, True) for share in larger)]
    scores = np.zeros(len(candidates))
    brief = replace(settings, max_iter=_FOLD_PASSES, refine=False)
    n_folds = _FOLDS if n_rows <= _FEW_ROWS else 1
    for index in range(n_folds):
        train, test = (
            part.part(some, moments_of_rows(some, may_be_constant=True))
            for some in (rows[fold != index], rows[fold == index])
        )
        run = run_em(train, feature_map, start, brief)
        sums = expectation(train, feature_map, feature_map.coefficients(run.parameters)).sums
        for row, reg_covar in enumerate(candidates):
            parameters = maximisation(train, feature_map, sums, run.parameters, reg_covar, settings.strength)[0]
            scores[row] += expectation(test, feature_map, feature_map.coefficients(parameters)).log_likelihood
    enough = scores[0] >= scores.max() - _NEARLY * n_folds * feature_map.n_dims
    return candidates[0 if enough else int(scores.argmax())]


def _most_likely(part: Sample, feature_map: FeatureMap, starts: list[Parameters], settings: Settings) -> EMTrace:
    """Run EM briefly from all starts, then a little longer from the better half, and keep the most likely."""
    for n_passes in _SHORT_RUNS:
        brief = replace(settings, max_iter=n_passes, refine=False)
        runs = [run_em(part, feature_map, start, brief) for start in starts]
        runs.sort(key=lambda run: -run.log_likelihoods[-1])
        starts = [run.parameters for run in runs[: (len(runs) + 1) // 2]]
    return runs[0]


def _subsample(sample: Sample, max_samples: int, rng: np.random.Generator) -> Sample:
    """At most ``max_samples`` rows, in memory."""
    n_rows = sample.rows.shape[0]
    if n_rows <= max_samples:
        return sample
    index = np.sort(rng.choice(n_rows, size=max_samples, replace=False))
    rows = take_rows(sample.rows, index)
    return sample.part(rows, moments_of_rows(rows, may_be_constant=True))


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
