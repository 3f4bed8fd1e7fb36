"""What a covariance is taken to be before its rows are seen, learnt from all components together (empirical Bayes).

A covariance is shrunk, as so many further rows would shrink it, towards what the components have in common: either their
mean correlations between its own variances (the separation of Barnard, McCulloch & Meng, 2000), or their mean covariance.
Target and number of rows are those of the greatest evidence under inverse Wishart distributions, where Fraley & Raftery
(2007) fix them beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import multigammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixture._parameters import Parameters

    Float = NDArray[np.float64]

_STRENGTHS = np.geomspace(1e-3, 1e5, 65)
_SMALLEST_SPREAD = 1e-6
# Of the largest: smaller eigenvalues of a mean correlation are rounding.
_EIGENVALUE_FLOOR = 1e-12
_TINY = np.finfo(np.float64).tiny
# In comparable units: what is less, or below 0, is what rounding leaves of a component whose rows are all alike.
_LEAST_VARIANCE = 1e-12
# Of a prior: less of it changes nothing.
_NO_NEED, _ROUNDED_AWAY = 1e-9, 1e-25


class Strength(NamedTuple):
    """How many rows the prior is worth (None: to be estimated), and whether its target is the mean covariance."""

    rows: float | None = None
    shared: bool = False


@dataclass(frozen=True)
class Prior:
    """The prior, for covariances in a space z = u @ ``turn`` of features u in comparable units (None: u itself)."""

    turn: Float | None

    def posterior(
        self, parameters: Parameters, counts: Float, strength: Strength, damping: float = 0.0
    ) -> tuple[Parameters, Strength]:
        """The mixture with covariances a posteriori, those of components without rows as they were, and the strength.

        ``damping`` is the share of their correlations that they lose then.
        """
        kind, alive = parameters.covariance_type, counts > 0
        covariances, sizes = parameters.covariances, counts[alive]
        if kind == "tied":
            matrix = _damped(_shrunk(self._back(covariances), sizes.sum()), damping)
            return replace(parameters, covariances=self._turned(matrix)), strength
        posterior = covariances.copy()
        if kind == "diag":
            posterior[alive] = _shrunk_variances(covariances[alive], sizes)
        else:
            matrices, strength = _shrunk_covariances(self._back(covariances[alive]), sizes, strength)
            posterior[alive] = self._turned(_damped(matrices, damping))
        return replace(parameters, covariances=posterior), strength

    @cached_property
    def _inverse(self) -> Float | None:
        """The map from z to u."""
        return None if self.turn is None else np.asarray(np.linalg.inv(self.turn), dtype=np.float64)

    def _back(self, covariances: Float) -> Float:
        """From the space of z to that of u, with variances that are more than what rounding leaves."""
        if self._inverse is None:
            result = covariances.copy()
        else:
            result = self._inverse.T @ covariances @ self._inverse
        variances = np.einsum("...ii->...i", result)
        np.maximum(variances, _LEAST_VARIANCE, out=variances)
        return result

    def _turned(self, covariances: Float) -> Float:
        """From the space of u to that of z, exactly symmetric."""
        if self.turn is not None:
            covariances = self.turn.T @ covariances @ self.turn
        return (covariances + np.swapaxes(covariances, -1, -2)) / 2


def _damped(covariances: Float, damping: float) -> Float:
    """Covariances (..., d, d) that have lost a share of their correlations."""
    if not damping:
        return covariances
    return covariances * (1 - damping * (1 - np.eye(covariances.shape[-1])))


def _shrunk_variances(variances: Float, counts: Float) -> Float:
    """Variances (K, d), their logarithms shrunk towards the means over components where those have few rows.

    Given their spread between components beyond that of chance (DerSimonian & Laird, 1986), Smyth (2004) would shrink in
    proportion to the noise. With its square what is shrunk vanishes faster with more rows: of cells, features are often
    constant in some components and not in others, and the least pull keeps EM from finding those.
    """
    noise, weights = 2 / np.maximum(counts, 1)[:, None], (counts / counts.sum())[:, None]
    logs = np.log(np.maximum(variances, _LEAST_VARIANCE))
    means = (weights * logs).sum(axis=0)
    free = weights * (1 - weights)
    excess = (weights * np.square(logs - means)).sum(axis=0).mean() - (free * noise).sum()
    share = noise**2 / (noise**2 + max(excess / max(free.sum(), _TINY), _SMALLEST_SPREAD))
    return np.exp(logs + share * (means - logs))


def _shrunk_covariances(covariances: Float, counts: Float, strength: Strength) -> tuple[Float, Strength]:
    """Covariances (K, d, d) shrunk towards the likelier target, and the strength where it was to be estimated."""
    need = _need(counts, covariances.shape[1])
    if need.max() < _NO_NEED:
        return covariances, Strength(0.0)
    weights, sizes = counts / counts.sum(), counts[:, None, None]
    scales = np.sqrt(_shrunk_variances(np.diagonal(covariances, axis1=1, axis2=2), counts))
    outer = scales[:, :, None] * scales[:, None, :]

    def common(*, shared: bool) -> tuple[Float, Float]:
        seen = covariances if shared else covariances / outer
        return seen, _shrunk(np.tensordot(weights, seen, axes=1), counts.sum())

    if strength.rows is None:
        targets = [common(shared=False), common(shared=True)]
        found = [_most_likely_rows(*target, counts) for target in targets]
        shared = bool(found[1][1] > found[0][1] - counts @ np.log(scales).sum(axis=1))
        strength, target = Strength(found[shared][0], shared), targets[shared][1]
    else:
        target = common(shared=strength.shared)[1]
    rows = ((strength.rows or 0.0) * need)[:, None, None]
    return (sizes * covariances + rows * (target if strength.shared else target * outer)) / (sizes + rows), strength


def _shrunk(covariance: Float, n_rows: float) -> Float:
    """A covariance (d, d) of so many rows, shrunk towards its own variances by as many as are likeliest."""
    variances = np.diag(covariance)
    need = float(_need(np.array(n_rows), len(covariance)))
    # A smaller share of any strength is lost in rounding.
    rows = need * _most_likely_rows(covariance[None], variances, np.array([n_rows]))[0] if need > _ROUNDED_AWAY else 0.0
    return (n_rows * covariance + rows * np.diag(variances)) / (n_rows + rows)


def _need(counts: Float, n_dims: int) -> Float:
    """How much of a prior covariances of so many rows need: 1 with few, nothing with three times their parameters.

    Real components are less alike than any inverse Wishart distribution says, which with many rows costs more likelihood
    than the noise that is left.
    """
    need: Float = np.exp(-np.square(counts / (n_dims * (n_dims + 1) / 2)))
    return need


def _most_likely_rows(covariances: Float, target: Float, counts: Float) -> tuple[float, float]:
    """Rows that the target is worth at the greatest evidence, and its logarithm up to what does not depend on it.

    Scatter matrices are Wishart, and the covariances that they are drawn with inverse Wishart around the target: a
    covariance (d, d), or the variances (d,) of independent features.
    """
    n_dims, sizes = len(target), counts[:, None]
    if target.ndim == 1:
        scale, values = np.sqrt(target), np.ones(n_dims)
        seen = covariances / np.outer(scale, scale)
    else:
        scale = np.sqrt(np.diag(target))
        values, vectors = np.linalg.eigh(target / np.outer(scale, scale))
        values = np.maximum(values, _EIGENVALUE_FLOOR * values[-1])
        inverse_root = vectors / np.sqrt(values) / scale[:, None]
        seen = inverse_root.T @ covariances @ inverse_root
    eigenvalues = np.maximum(np.linalg.eigvalsh(seen), 0)
    volumes = _STRENGTHS[:, None, None] + sizes * eigenvalues
    log_volumes = np.log(volumes, out=volumes).sum(axis=2)
    half, of_prior, of_strength = _terms_of_strengths(n_dims)
    gains = multigammaln(half + counts / 2, n_dims) - of_prior + of_strength
    evidence = (gains - (half + counts / 2) * log_volumes).sum(axis=1)
    at = int(evidence.argmax())
    log_volume = np.log(values).sum() + 2 * np.log(scale).sum()
    return float(_STRENGTHS[at] * _peak(evidence, at)), float(evidence[at] - counts.sum() / 2 * log_volume)


@cache
def _terms_of_strengths(n_dims: int) -> tuple[Float, Float, Float]:
    """Half the degrees of freedom at every strength, and the terms of the evidence that no rows enter."""
    rows = _STRENGTHS[:, None]
    half = (rows + n_dims + 1) / 2
    return half, multigammaln(half, n_dims), half * n_dims * np.log(rows)


def _peak(values: Float, at: int) -> float:
    """Factor from the grid's best strength to the vertex of the parabola through it and its neighbours."""
    if not 0 < at < len(values) - 1:
        return 1.0
    before, best, after = values[at - 1 : at + 2]
    curvature = before - 2 * best + after
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return float((_STRENGTHS[1] / _STRENGTHS[0]) ** shift)
