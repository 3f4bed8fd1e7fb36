r"""Features in which the log density of a Gaussian is linear, and back from their sums to parameters.

With precision :math:`P`, :math:`\log N(z \mid \mu, P^{-1}) = c + (P\mu)^\top z - \tfrac12 z^\top P z`: one product of
features and coefficients scores all rows under all components, and the sums of the same features, weighted with the
responsibilities, are the sufficient statistics of the next parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._factors import Factors
from repatient.mixture._parameters import Parameters
from repatient.mixture._statistics import FLOAT32_DISTANCE, SMALLEST_WEIGHT, Coefficients, Sums

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Float = NDArray[np.float64]

# Dimensions from which on products of all features take longer than a linear map for each component: for any number of
# these, and for few.
_MANY, _MANY_FOR_FEW, _FEW_COMPONENTS = 96, 64, 16
# Roundings, a dimension, between the rows and a covariance.
_ROUNDINGS, _EPSILON = 8, np.finfo(np.float64).eps


class FeatureMap(ABC):
    """One covariance type: its features, the coefficients of given parameters, and the parameters of given sums.

    Where ``linear``, the features are 1 and z alone, so that a linear map of z may as well be applied to coefficients
    and sums.
    """

    linear = False

    def __init__(self, n_dims: int) -> None:
        self.n_dims = n_dims

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of features p of one row."""

    @property
    def min_rows(self) -> int:
        """Rows below which a component that starts on them would collapse."""
        return 2

    def no_sums(self, n_components: int) -> Float:
        """Sums (K, p) over no rows, in the order in which those of a block come out of the product."""
        return np.zeros((n_components, self.n_features), order="F")

    def distinct(
        self, coefficients: Coefficients | Factors, scatter: Float
    ) -> tuple[FeatureMap, Coefficients | Factors, float]:
        """The terms that tell components apart, and the mean over all rows of those that they share.

        Responsibilities do not depend on shared terms, and their mean follows from the second moments ``scatter``.
        """
        return self, coefficients, 0.0

    @abstractmethod
    def coefficients(self, parameters: Parameters) -> Coefficients | Factors:
        """What scores rows; a covariance that is not positive definite is a LinAlgError."""

    @abstractmethod
    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        """Maximum-likelihood covariances, given the second moments ``scatter`` of all rows."""

    def parameters(self, sums: Sums, previous: Parameters, scatter: Float, ridge: Float) -> Parameters:
        """Next parameters; a component without rows keeps its place and shape."""
        alive = sums.alive
        means = np.where(alive[:, None], sums.per_row(1, self.n_dims + 1), previous.means)
        covariances = self.covariances(sums, means, scatter) + ridge
        if previous.covariance_type != "tied":
            covariances[~alive] = previous.covariances[~alive]
        weights = np.maximum(sums.counts, 0)
        return Parameters(previous.covariance_type, weights / weights.sum(), means, covariances)

    def _unknown(self, squares: Float) -> Float:
        """What rounding leaves unknown of variances, where a mean lies too far away to be cancelled."""
        return np.where(squares > FLOAT32_DISTANCE**4, _ROUNDINGS * self.n_dims * _EPSILON * squares, 0)

    def centred(self, second: Float, means: Float) -> Float:
        """Covariances (K, d, d) from second moments."""
        unknown = self._unknown(np.diagonal(second, axis1=1, axis2=2))
        return second - means[:, :, None] * means[:, None, :] + unknown[:, None] * np.eye(self.n_dims)

    def settled(self, parameters: Parameters) -> Parameters:
        """The same, with what rounding leaves unknown of variances: without, densities there would be of any size."""
        covariances = parameters.covariances
        if parameters.covariance_type == "diag":
            return replace(parameters, covariances=np.maximum(covariances, self._unknown(parameters.means**2)))
        squares = np.diagonal(covariances, axis1=-2, axis2=-1)
        if parameters.covariance_type == "full":
            squares = squares + parameters.means**2
        unknown = self._unknown(squares)
        return replace(parameters, covariances=covariances + unknown[..., None, :] * np.eye(self.n_dims))

    def _constants(self, weights: Float, log_det: Float, mahalanobis: Float) -> Float:
        """First column of the coefficients."""
        log_weights = np.log(np.maximum(weights, SMALLEST_WEIGHT))
        return log_weights - 0.5 * (self.n_dims * np.log(2 * np.pi) + log_det + mahalanobis)


class WrittenFeatures(FeatureMap):
    """Features that are written out, so that one product with their coefficients scores rows under all components."""

    def buffer(self, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Ones (p, length), to be filled block by block."""
        return np.ones((self.n_features, length), dtype)

    @abstractmethod
    def fill(self, features: NDArray[Any], factor: Float | None) -> None:
        """Complete the features (p, rows), whose first 1 + d rows hold one and z."""

    @abstractmethod
    def fill_rows(self, features: Tensor, factor: Float | None) -> None:
        """The same for a tensor (rows, p), on any device."""

    @abstractmethod
    def coefficients(self, parameters: Parameters) -> Coefficients:
        """Coefficients of the log joint density."""


class FullFeatures(WrittenFeatures):
    """Features 1, z and the distinct products of z zᵀ, those of z with z turned by 0, 1, … places one after the other.

    In this order all products come out of one or two calls, whatever the number of dimensions.
    """

    def __init__(self, n_dims: int) -> None:
        super().__init__(n_dims)
        self._n_turns, self._n_opposite = (n_dims + 1) // 2, n_dims // 2 if n_dims % 2 == 0 else 0
        turns = np.repeat(np.arange(self._n_turns), n_dims)
        first = np.concatenate([np.tile(np.arange(n_dims), self._n_turns), np.arange(self._n_opposite)])
        turns = np.concatenate([turns, np.full(self._n_opposite, n_dims // 2)])
        self._pairs = (first, (first + turns) % n_dims)

    @property
    def n_features(self) -> int:
        return (self.n_dims + 1) * (self.n_dims + 2) // 2

    @property
    def min_rows(self) -> int:
        return _min_rows_of_full(self.n_dims)

    def fill(self, features: NDArray[Any], factor: Float | None) -> None:
        z, products = features[1 : self.n_dims + 1], features[self.n_dims + 1 :]
        whole, opposite = products[: self._n_turns * self.n_dims], products[self._n_turns * self.n_dims :]
        round_trip = np.concatenate([z, z[: self._n_turns - 1]])
        # Windows of d features, each one further; numpy's own views of windows take as long as the products.
        step = round_trip.strides[0]
        turned = np.ndarray((self._n_turns, *z.shape), z.dtype, round_trip, strides=(step, *round_trip.strides))
        np.multiply(turned, z, out=whole.reshape(self._n_turns, *z.shape))
        np.multiply(z[: self._n_opposite], z[self.n_dims - self._n_opposite :], out=opposite)

    def fill_rows(self, features: Tensor, factor: Float | None) -> None:
        z = features[:, 1 : self.n_dims + 1]
        for turn in range(self._n_turns):
            first = 1 + self.n_dims * (turn + 1)
            features[:, first : first + self.n_dims] = z * z.roll(-turn, dims=1)
        first = 1 + self.n_dims * (self._n_turns + 1)
        features[:, first:] = z[:, : self._n_opposite] * z[:, self.n_dims - self._n_opposite :]

    def coefficients(self, parameters: Parameters) -> Coefficients:
        factors, log_det = _inverse_cholesky(parameters.covariances)
        precisions = np.swapaxes(factors, 1, 2) @ factors
        linear = np.einsum("kij,kj->ki", precisions, parameters.means)
        mahalanobis = np.einsum("ki,ki->k", linear, parameters.means)
        quadratic = -precisions[:, *self._pairs]
        quadratic[:, self._pairs[0] == self._pairs[1]] *= 0.5
        constants = self._constants(parameters.weights, log_det, mahalanobis)
        second = parameters.covariances + parameters.means[:, :, None] * parameters.means[:, None, :]
        expected = np.column_stack([np.ones_like(constants), parameters.means, second[:, *self._pairs]])
        return Coefficients(np.column_stack([constants, linear, quadratic]), expected, parameters.weights)

    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        second = np.empty((len(means), self.n_dims, self.n_dims))
        second[:, *self._pairs] = sums.per_row(self.n_dims + 1)
        second[:, self._pairs[1], self._pairs[0]] = second[:, *self._pairs]
        return self.centred(second, means)


class ManyFullFeatures(FeatureMap):
    """Features 1, z and all products of z zᵀ, which are never written out: factors of the precisions score rows."""

    @property
    def n_features(self) -> int:
        return 1 + self.n_dims + self.n_dims**2

    @property
    def min_rows(self) -> int:
        return _min_rows_of_full(self.n_dims)

    def no_sums(self, n_components: int) -> Float:
        return np.zeros((n_components, self.n_features))

    def coefficients(self, parameters: Parameters) -> Factors:
        return Factors.of(parameters.weights, parameters.means, parameters.covariances)

    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        return self.centred(sums.per_row(self.n_dims + 1).reshape(-1, self.n_dims, self.n_dims), means)


class LinearFeatures(WrittenFeatures):
    """Features 1 and z: what tells components apart that share their covariance."""

    linear = True

    @property
    def n_features(self) -> int:
        return self.n_dims + 1

    def fill(self, features: NDArray[Any], factor: Float | None) -> None:
        """Nothing is left to complete."""

    def fill_rows(self, features: Tensor, factor: Float | None) -> None:
        """Likewise."""

    def coefficients(self, parameters: Parameters) -> Coefficients:
        return TiedFeatures(self.n_dims).coefficients(parameters).linear(self.n_features)

    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        return TiedFeatures(self.n_dims).covariances(sums, means, scatter)


class TiedFeatures(WrittenFeatures):
    """Features 1, z and the quadratic form of the shared precision, one number a row."""

    @property
    def n_features(self) -> int:
        return self.n_dims + 2

    def fill(self, features: NDArray[Any], factor: Float | None) -> None:
        if factor is None:
            msg = "Tied covariances need the factor of their precision."
            raise TypeError(msg)
        spherical = factor.astype(features.dtype) @ features[1 : self.n_dims + 1]
        np.einsum("ij,ij->j", spherical, spherical, out=features[-1])

    def fill_rows(self, features: Tensor, factor: Float | None) -> None:
        if factor is None:
            msg = "Tied covariances need the factor of their precision."
            raise TypeError(msg)
        spherical = features[:, 1 : self.n_dims + 1] @ features.new_tensor(factor).T
        features[:, -1] = spherical.square().sum(dim=1)

    def coefficients(self, parameters: Parameters) -> Coefficients:
        factors, log_det = _inverse_cholesky(parameters.covariances[None])
        factor = factors[0]
        spherical = parameters.means @ factor.T
        distances = np.square(spherical).sum(axis=1)
        constants = self._constants(parameters.weights, log_det, distances)
        values = np.column_stack([constants, spherical @ factor, np.full(len(constants), -0.5)])
        expected = np.column_stack([np.ones_like(constants), parameters.means, self.n_dims + distances])
        return Coefficients(values, expected, parameters.weights, factor)

    def distinct(
        self, coefficients: Coefficients | Factors, scatter: Float
    ) -> tuple[FeatureMap, Coefficients | Factors, float]:
        if isinstance(coefficients, Factors) or coefficients.factor is None:
            return super().distinct(coefficients, scatter)
        shared = -0.5 * float(np.sum(coefficients.factor.T @ coefficients.factor * scatter))
        return LinearFeatures(self.n_dims), coefficients.linear(self.n_dims + 1), shared

    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        counts = np.where(sums.alive, sums.counts, 0)
        within = scatter - (means * counts[:, None]).T @ means / sums.n_rows
        return within + np.diag(self._unknown(np.diag(scatter)))


class DiagFeatures(WrittenFeatures):
    """Features 1, z and z²."""

    @property
    def n_features(self) -> int:
        return 2 * self.n_dims + 1

    def buffer(self, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """In the order of the rows themselves: nothing but the products mixes features here."""
        return np.ones((length, self.n_features), dtype).T

    def fill(self, features: NDArray[Any], factor: Float | None) -> None:
        np.square(features[1 : self.n_dims + 1], out=features[self.n_dims + 1 :])

    def fill_rows(self, features: Tensor, factor: Float | None) -> None:
        features[:, self.n_dims + 1 :] = features[:, 1 : self.n_dims + 1].square()

    def coefficients(self, parameters: Parameters) -> Coefficients:
        if (parameters.covariances <= 0).any():
            msg = "A variance is not positive."
            raise np.linalg.LinAlgError(msg)
        precisions = 1 / parameters.covariances
        linear = precisions * parameters.means
        mahalanobis = (linear * parameters.means).sum(axis=1)
        constants = self._constants(parameters.weights, np.log(parameters.covariances).sum(axis=1), mahalanobis)
        second = parameters.covariances + parameters.means**2
        expected = np.column_stack([np.ones_like(constants), parameters.means, second])
        return Coefficients(np.column_stack([constants, linear, -0.5 * precisions]), expected, parameters.weights)

    def covariances(self, sums: Sums, means: Float, scatter: Float) -> Float:
        squares = sums.per_row(self.n_dims + 1)
        return squares - means**2 + self._unknown(squares)


FEATURE_MAPS: dict[str, type[WrittenFeatures]] = {"full": FullFeatures, "tied": TiedFeatures, "diag": DiagFeatures}


def feature_map_of(covariance_type: str, n_dims: int, n_components: int, device: str | None = None) -> FeatureMap:
    """The quickest one where rows are scored: on a device of torch, or with numpy (None)."""
    many = _MANY_FOR_FEW if n_components <= _FEW_COMPONENTS else _MANY
    if covariance_type == "full" and n_dims >= many and device is None:
        return ManyFullFeatures(n_dims)
    return FEATURE_MAPS[covariance_type](n_dims)


def _min_rows_of_full(n_dims: int) -> int:
    """Twice as many as a covariance needs to have full rank."""
    return 2 * (n_dims + 1)


def _inverse_cholesky(covariances: Float) -> tuple[Float, Float]:
    """Inverses of the lower Cholesky factors, and the log determinants of the covariances."""
    lower = np.linalg.cholesky(covariances)
    return np.linalg.inv(lower), 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
