"""Expectation-maximisation in one pass over the rows per iteration (Dempster, Laird & Rubin, 1977)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient.mixture._blocks import score_blocks
from repatient.mixture._chunks import fold, take_rows
from repatient.mixture._prior import Prior, Strength
from repatient.mixture._statistics import FLOAT32_DISTANCE, Coefficients, Sums
from repatient.mixture._whitening import moments_of_rows, spreads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._factors import Factors
    from repatient.mixture._features import FeatureMap
    from repatient.mixture._parameters import Parameters
    from repatient.mixture._whitening import RowMoments, Whitening

_MAX_RIDGE_RAISES = 6
_MAX_RESEEDS = 3
_NO_PRIOR = Strength(0.0)
_FIRST_ESTIMATE = 4
# Gains (nats a row) that single precision cannot tell from none.
_ROUNDING = 1e-6


class SingularCovarianceError(ValueError):
    """A covariance is not positive definite, even with the regularisation ``reg_covar``."""

    def __init__(self, reg_covar: float) -> None:
        super().__init__(reg_covar)
        self.reg_covar = reg_covar

    def __str__(self) -> str:
        return (
            f"A covariance is not positive definite, even with reg_covar={self.reg_covar:g} on its diagonal: use fewer "
            "components, covariance_type='diag', a larger reg_covar, or reduce the features first (PCA)."
        )


class RegCovar(NamedTuple):
    """Regularisation: a share of the variance of each feature, or of one ``common`` variance; the correlations lost."""

    share: float
    common: bool = False
    damping: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Regularisation of the covariances, when EM stops, and what becomes of its last pass.

    A prior of ``strength`` 0 rows is none; ``known`` is where the estimate of its strength starts. ``choose`` leaves the
    regularisation to rows held out. With ``refine`` the last
    pass is repeated in double precision; with ``settle`` parameters that it has found to have converged stay as they are.
    """

    reg_covar: RegCovar
    tol: float
    max_iter: int
    refine: bool = False
    settle: bool = False
    strength: Strength = field(default_factory=Strength)
    known: Strength | None = None
    choose: bool = False


@dataclass(frozen=True)
class Sample:
    """Rows, the whitening that they are seen through, their second moments in the whitened space, and where to compute.

    ``units`` are the covariances of independent features, in the whitened space, that regularisation is measured in: of
    the spread of each feature, and of one spread for all. ``device`` is the name of a device of torch; None computes with
    numpy. ``extremes`` (2, d) are the least and largest values of the rows. ``groups`` (n,) are the patients, if known.
    """

    rows: Any
    whitening: Whitening
    scatter: NDArray[np.float64]
    units: tuple[NDArray[np.float64], NDArray[np.float64]]
    device: str | None
    extremes: NDArray[np.float64] | None
    groups: NDArray[np.intp] | None = None

    @classmethod
    def of(
        cls,
        rows: Any,
        whitening: Whitening,
        moments: RowMoments,
        device: str | None = None,
        usual: RowMoments | None = None,
        groups: NDArray[np.intp] | None = None,
    ) -> Sample:
        """The rows, whose moments these are; ``usual`` are those without far rows."""
        own = spreads(usual or moments)
        units = (whitening.of_spreads(own), whitening.of_spreads(np.full_like(own, np.sqrt(np.mean(own**2)))))
        return cls(rows, whitening, whitening.covariance(moments), units, device, moments.extremes, groups)

    def part(self, index: NDArray[np.intp]) -> Sample:
        """The rows at these increasing positions, in memory."""
        rows = take_rows(self.rows, index)
        moments = moments_of_rows(rows, may_be_constant=True, diagonal=self.whitening.diagonal)
        groups = None if self.groups is None else self.groups[index]
        scatter = self.whitening.covariance(moments)
        return replace(self, rows=rows, scatter=scatter, extremes=moments.extremes, groups=groups)

    def ridge(self, reg_covar: RegCovar) -> NDArray[np.float64]:
        """What regularisation adds to covariances in the whitened space."""
        return reg_covar.share * self.units[reg_covar.common]

    @cached_property
    def prior(self) -> Prior:
        """What covariances in the whitened space are shrunk by."""
        return Prior(None if self.whitening.diagonal else self.whitening.scaling()[1])

    def is_near(self, whitening: Whitening) -> bool:
        """Whether all rows are known to be finite and, seen through ``whitening``, near enough for single precision."""
        return self.extremes is not None and whitening.reach(self.extremes) <= FLOAT32_DISTANCE


@dataclass(frozen=True)
class Expectation:
    """What one pass leaves: the sums of the features and the mean log-likelihood."""

    sums: Sums
    log_likelihood: float


@dataclass
class EMTrace:
    """The trace of one run of EM; ``log_likelihood`` is that of the parameters, where a pass has told it."""

    parameters: Parameters
    reg_covar: RegCovar
    strength: Strength = field(default_factory=Strength)
    log_likelihoods: list[float] = field(default_factory=list)
    log_likelihood: float | None = None
    converged: bool = False
    n_reseeded: int = 0


def expectation(
    sample: Sample, feature_map: FeatureMap, coefficients: Coefficients | Factors, *, double: bool = False
) -> Expectation:
    """One pass over the rows."""
    n_rows = sample.rows.shape[0]
    feature_map, coefficients, shared = feature_map.distinct(coefficients, sample.scatter)
    whitening, turn = sample.whitening, None
    if isinstance(coefficients, Coefficients) and feature_map.linear and not whitening.diagonal:
        # Turning the coefficients and the sums instead of the rows saves the largest product.
        whitening, turn = whitening.scaling()
        coefficients = coefficients.before(turn)
    summarise = partial(
        _summarise,
        whitening=whitening,
        feature_map=feature_map,
        coefficients=coefficients,
        double=double,
        device=sample.device,
        near=sample.is_near(whitening),
    )
    sums, log_likelihood = fold(sample.rows, summarise, _add)
    if turn is not None:
        sums[:, 1:] = sums[:, 1:] @ turn
    return Expectation(Sums(sums, n_rows), log_likelihood / n_rows + shared)


def _summarise(
    rows: Any,
    whitening: Whitening,
    feature_map: FeatureMap,
    coefficients: Coefficients | Factors,
    *,
    double: bool,
    device: str | None,
    near: bool,
) -> tuple[NDArray[np.float64], float]:
    """Sums (K, p) of the features, and the log-likelihood, of the rows."""
    sums, log_likelihood = feature_map.no_sums(len(coefficients.weights)), 0.0
    blocks = score_blocks(rows, whitening, feature_map, coefficients, double=double, device=device, near=near)
    for scores in blocks:
        log_likelihood += scores.normalise().sum()
        scores.add_sums(sums)
    return sums, log_likelihood


def log_densities(sample: Sample, feature_map: FeatureMap, coefficients: Coefficients | Factors) -> NDArray[np.float64]:
    """Log densities (n,) of rows in memory."""
    feature_map, coefficients, shared = feature_map.distinct(coefficients, sample.scatter)
    near, whitening = sample.is_near(sample.whitening), sample.whitening
    blocks = score_blocks(sample.rows, whitening, feature_map, coefficients, device=sample.device, near=near)
    return np.concatenate([scores.normalise() for scores in blocks]) + shared


def _add(
    one: tuple[NDArray[np.float64], float], other: tuple[NDArray[np.float64], float]
) -> tuple[NDArray[np.float64], float]:
    """Sums over the rows of both."""
    return one[0] + other[0], one[1] + other[1]


def maximisation(
    sample: Sample,
    feature_map: FeatureMap,
    sums: Sums,
    previous: Parameters,
    reg_covar: RegCovar,
    strength: Strength = _NO_PRIOR,
) -> tuple[Parameters, RegCovar, Strength, Coefficients | Factors]:
    """Next parameters, the ridge that they needed to be positive definite, the strength of the prior, coefficients."""
    counts = np.where(sums.alive, sums.counts, 0)
    for power in range(_MAX_RIDGE_RAISES + 1):
        raised = reg_covar._replace(share=reg_covar.share * 10.0**power)
        parameters = feature_map.parameters(sums, previous, sample.scatter, sample.ridge(raised))
        try:
            found = strength
            if strength.rows != 0 or raised.damping:
                parameters, found = sample.prior.posterior(parameters, counts, strength, raised.damping)
            parameters = feature_map.settled(parameters)
            coefficients = feature_map.coefficients(parameters)
        except np.linalg.LinAlgError:
            continue
        return parameters, raised, found, coefficients
    raise SingularCovarianceError(raised.share)


def run_em(
    sample: Sample,
    feature_map: FeatureMap,
    parameters: Parameters,
    settings: Settings,
    progress: Any = None,
) -> EMTrace:
    """Alternate both steps until a pass gains less than the tolerance in mean log-likelihood."""
    first = _FIRST_ESTIMATE if settings.known is None else 1
    estimated = settings.strength.rows is None
    usual = Strength(feature_map.n_dims + 2.0) if estimated else settings.strength
    trace = EMTrace(feature_map.settled(parameters), settings.reg_covar, settings.known or usual)
    reseeds = np.zeros(len(parameters.weights), dtype=int)
    just_reseeded = False
    following: Coefficients | Factors | None = None
    for iteration in range(1, settings.max_iter + 1):
        try:
            coefficients = following or feature_map.coefficients(trace.parameters)
        except np.linalg.LinAlgError as error:
            raise SingularCovarianceError(trace.reg_covar.share) from error
        expected = expectation(sample, feature_map, coefficients)
        gain = expected.log_likelihood - trace.log_likelihoods[-1] if trace.log_likelihoods else np.inf
        # With a prior the likelihood may fall towards what is likelier elsewhere.
        trace.converged = abs(gain) < settings.tol and not just_reseeded and iteration > first * estimated
        last = trace.converged or iteration == settings.max_iter
        if last and settings.refine:
            expected = expectation(sample, feature_map, coefficients, double=True)
        trace.log_likelihoods.append(expected.log_likelihood)
        if progress is not None:
            progress.update()
        # Two gains are what the remaining one is estimated from.
        if trace.converged and settings.settle and len(trace.log_likelihoods) > 2:
            trace.log_likelihood = expected.log_likelihood
            break
        # The strength of the prior settles long before the components do. Before they have found their places they are
        # too alike; a strength that is known was estimated on other rows.
        strength = trace.strength
        if estimated and iteration >= first and not iteration & (iteration - 1):
            strength = settings.strength
        trace.parameters, trace.reg_covar, trace.strength, following = maximisation(
            sample, feature_map, expected.sums, trace.parameters, trace.reg_covar, strength
        )
        if last:
            break
        empty = np.flatnonzero(~expected.sums.alive & (reseeds < _MAX_RESEEDS))
        just_reseeded = bool(empty.size)
        if just_reseeded:
            trace.parameters = _reseed(sample, feature_map, coefficients, trace, empty)
            reseeds[empty] += 1
            following = None
    trace.n_reseeded = int(reseeds.sum())
    return trace


def remaining_gain(log_likelihoods: NDArray[np.float64]) -> float:
    """What EM would still gain, by Aitken's extrapolation of the last two gains.

    Gains shrink by a nearly constant factor in the end; NaN where there are no two gains to see it from. Where they grow
    although they are as small as rounding, nothing is left.
    """
    if len(log_likelihoods) < 3:
        return float("nan")
    before, last = np.diff(log_likelihoods)[-2:]
    if last <= 0:
        return 0.0
    if last < before:
        return float(last**2 / (before - last))
    return float("inf") if last > _ROUNDING else 0.0


def _worst_rows(
    sample: Sample, feature_map: FeatureMap, coefficients: Coefficients | Factors, n_wanted: int
) -> NDArray[np.float64]:
    """The least likely rows (m, d) in the whitened space, worst first."""
    search = partial(
        _worst_of_part,
        whitening=sample.whitening,
        feature_map=feature_map,
        coefficients=coefficients,
        n_wanted=n_wanted,
        device=sample.device,
    )
    return fold(sample.rows, search, partial(_least_likely, n_wanted=n_wanted))[1:].T


def _worst_of_part(
    rows: Any,
    whitening: Whitening,
    feature_map: FeatureMap,
    coefficients: Coefficients | Factors,
    n_wanted: int,
    device: str | None,
) -> NDArray[np.float64]:
    """The least likely of the rows as columns: log density, then z."""
    worst = np.empty((feature_map.n_dims + 1, 0))
    for scores in score_blocks(rows, whitening, feature_map, coefficients, device=device):
        block = np.vstack([scores.normalise(), scores.whitened()])
        worst = _least_likely(worst, block, n_wanted)
    return worst


def _least_likely(one: NDArray[np.float64], other: NDArray[np.float64], n_wanted: int) -> NDArray[np.float64]:
    """The columns of both with the lowest log density, worst first."""
    both = np.hstack([one, other])
    return both[:, np.argsort(both[0], kind="stable")[:n_wanted]]


def _reseed(
    sample: Sample,
    feature_map: FeatureMap,
    coefficients: Coefficients | Factors,
    trace: EMTrace,
    empty: NDArray[np.intp],
) -> Parameters:
    """Empty components moved to the least likely rows, with the covariance of all rows and an average weight."""
    parameters = trace.parameters
    weights, means, covariances = parameters.weights.copy(), parameters.means.copy(), parameters.covariances.copy()
    weights[empty] = 1 / len(weights)
    means[empty] = _worst_rows(sample, feature_map, coefficients, len(empty))
    if parameters.covariance_type != "tied":
        covariances[empty] = sample.scatter + sample.ridge(trace.reg_covar)
    return replace(parameters, weights=weights / weights.sum(), means=means, covariances=covariances)
