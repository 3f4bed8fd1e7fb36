"""Expectation-maximisation in one pass over the rows per iteration (Dempster, Laird & Rubin, 1977)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._chunks import block_length, compute_dtype, iter_blocks
from repatient.mixture._features import Coefficients, FeatureMap, Sums
from repatient.mixture._whitening import Whitening, moments_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from repatient.mixture._parameters import Parameters

# The squares of rows beyond this distance (in global standard deviations) leave float32 too few digits.
_FLOAT32_DISTANCE = 1e3
_MAX_RIDGE_RAISES = 6
_MAX_RESEEDS = 3


@dataclass(frozen=True)
class Settings:
    """Regularisation of the covariances, when EM stops, and whether its last pass is repeated in double precision."""

    reg_covar: float
    tol: float
    max_iter: int
    refine: bool = False


@dataclass(frozen=True)
class Sample:
    """Rows, the whitening that they are seen through, and their second moments in the whitened space."""

    rows: Any
    whitening: Whitening
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Any, whitening: Whitening) -> Sample:
        """The rows with their own second moments."""
        return cls(rows, whitening, whitening.covariance(moments_of_rows(rows)))


@dataclass(frozen=True)
class Scores:
    """One block: its slice, its features (p, rows) and its log joint densities (K, rows), both to be overwritten."""

    where: slice
    features: NDArray[Any]
    log_joint: NDArray[Any]
    log_jacobian: float

    def normalise(self) -> NDArray[np.float64]:
        """Turn the log joint densities into responsibilities in place; return the log densities of the rows."""
        joint = self.log_joint
        peak = joint.max(axis=0)
        joint -= peak
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        joint /= total
        return peak.astype(np.float64) + np.log(total, dtype=np.float64) + self.log_jacobian


@dataclass(frozen=True)
class Expectation:
    """What one pass leaves: the sums of the features and the mean log-likelihood."""

    sums: Sums
    log_likelihood: float


@dataclass
class Course:
    """The course of one run of EM."""

    parameters: Parameters
    reg_covar: float
    log_likelihoods: list[float] = field(default_factory=list)
    converged: bool = False
    n_reseeded: int = 0


def score_blocks(
    rows: Any, whitening: Whitening, feature_map: FeatureMap, coefficients: Coefficients, *, double: bool = False
) -> Iterator[Scores]:
    """Score the rows block by block, in double precision if wanted or needed; buffers are used again for each block."""
    n_dims, n_components, log_jacobian = feature_map.n_dims, len(coefficients.values), whitening.log_jacobian
    usual = compute_dtype(rows) if coefficients.suits_float32() and not double else np.dtype(np.float64)
    length = block_length(feature_map.n_features, usual.itemsize)
    buffers: dict[np.dtype[Any], tuple[NDArray[Any], ...]] = {}
    for where, block in iter_blocks(rows, length):
        z = whitening.columns(block)
        far = max(z.max(), -z.min()) > _FLOAT32_DISTANCE
        dtype = np.dtype(np.float64) if far else usual
        if dtype not in buffers:
            features = np.ones((feature_map.n_features, length), dtype)
            log_joint = np.empty((n_components, length), dtype)
            rounding = coefficients.rounding(dtype).astype(dtype)[:, None]
            buffers[dtype] = coefficients.values.astype(dtype), rounding, features, log_joint
        values, rounding, features, log_joint = buffers[dtype]
        features, log_joint = features[:, : len(block)], log_joint[:, : len(block)]
        features[1 : n_dims + 1] = z
        feature_map.fill(features, coefficients.factor)
        np.matmul(values, features, out=log_joint)
        log_joint -= rounding
        yield Scores(where, features, log_joint, log_jacobian)


def expectation(
    sample: Sample, feature_map: FeatureMap, coefficients: Coefficients, *, double: bool = False
) -> Expectation:
    """One pass over the rows."""
    n_rows = sample.rows.shape[0]
    sums, log_likelihood = np.zeros(coefficients.values.shape), 0.0
    for scores in score_blocks(sample.rows, sample.whitening, feature_map, coefficients, double=double):
        log_likelihood += scores.normalise().sum()
        sums += scores.log_joint @ scores.features.T
    return Expectation(Sums(sums, n_rows), log_likelihood / n_rows)


def maximisation(
    sample: Sample, feature_map: FeatureMap, sums: Sums, previous: Parameters, reg_covar: float
) -> tuple[Parameters, float]:
    """Next parameters, and the regularisation that they needed to be positive definite."""
    metric = sample.whitening.metric
    for power in range(_MAX_RIDGE_RAISES + 1):
        raised = reg_covar * 10.0**power
        parameters = feature_map.parameters(sums, previous, sample.scatter, raised * metric)
        try:
            feature_map.coefficients(parameters)
        except np.linalg.LinAlgError:
            continue
        return parameters, raised
    msg = (
        f"A covariance is not positive definite, even with reg_covar={raised:g} on its diagonal: use fewer components, "
        "covariance_type='diag', a larger reg_covar, or reduce the features first (PCA)."
    )
    raise ValueError(msg)


def run_em(
    sample: Sample,
    feature_map: FeatureMap,
    parameters: Parameters,
    settings: Settings,
    progress: Any = None,
) -> Course:
    """Alternate both steps until a pass gains less than the tolerance in mean log-likelihood."""
    course = Course(parameters, settings.reg_covar)
    reseeds = np.zeros(len(parameters.weights), dtype=int)
    just_reseeded = False
    for iteration in range(1, settings.max_iter + 1):
        coefficients = feature_map.coefficients(course.parameters)
        expected = expectation(sample, feature_map, coefficients)
        gain = expected.log_likelihood - course.log_likelihoods[-1] if course.log_likelihoods else np.inf
        course.converged = gain < settings.tol and not just_reseeded
        last = course.converged or iteration == settings.max_iter
        if last and settings.refine:
            expected = expectation(sample, feature_map, coefficients, double=True)
        course.parameters, course.reg_covar = maximisation(
            sample, feature_map, expected.sums, course.parameters, course.reg_covar
        )
        course.log_likelihoods.append(expected.log_likelihood)
        if progress is not None:
            progress.update()
        if last:
            break
        empty = np.flatnonzero(~expected.sums.alive & (reseeds < _MAX_RESEEDS))
        just_reseeded = bool(empty.size)
        if just_reseeded:
            worst = _worst_rows(sample, feature_map, coefficients, len(empty))
            shape = sample.scatter + course.reg_covar * sample.whitening.metric
            course.parameters = _reseed(course.parameters, empty, worst, shape)
            reseeds[empty] += 1
    course.n_reseeded = int(reseeds.sum())
    return course


def _worst_rows(
    sample: Sample, feature_map: FeatureMap, coefficients: Coefficients, n_wanted: int
) -> NDArray[np.float64]:
    """The least likely rows (m, d) in the whitened space, worst first."""
    worst = np.empty((feature_map.n_dims + 1, 0))
    for scores in score_blocks(sample.rows, sample.whitening, feature_map, coefficients):
        block = np.vstack([scores.normalise(), scores.features[1 : feature_map.n_dims + 1]])
        worst = np.hstack([worst, block])
        worst = worst[:, np.argsort(worst[0], kind="stable")[:n_wanted]]
    return worst[1:].T


def _reseed(
    parameters: Parameters, empty: NDArray[np.intp], rows: NDArray[np.float64], shape: NDArray[np.float64]
) -> Parameters:
    """Move empty components to the given rows, with the covariance ``shape`` and an average weight."""
    weights, means, covariances = parameters.weights.copy(), parameters.means.copy(), parameters.covariances.copy()
    weights[empty] = 1 / len(weights)
    means[empty] = rows
    if parameters.covariance_type != "tied":
        covariances[empty] = shape
    return replace(parameters, weights=weights / weights.sum(), means=means, covariances=covariances)
