"""What a mixture with known parameters can do: score, predict, sample."""

from __future__ import annotations

import operator
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_integer
from repatient._threads import one_thread
from repatient.mixture._blocks import score_blocks
from repatient.mixture._chunks import as_rows, collect, compute_dtype, fold
from repatient.mixture._devices import torch_device
from repatient.mixture._features import FeatureMap, feature_map_of
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_mixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.mixture._factors import Factors
    from repatient.mixture._statistics import Coefficients

    class Model(TypedDict):
        """What scores rows."""

        whitening: Whitening
        feature_map: FeatureMap
        coefficients: Coefficients | Factors
        device: str | None


# Whatever numpy is set to: underflow is nothing to stop for.
USUAL_ERRORS = partial(np.errstate, all="warn", under="ignore")


class MixtureDensity(DensityMixin, BaseEstimator):
    """Density of a Gaussian mixture, from its public parameters alone."""

    covariance_type: str
    device: str
    weights_: NDArray[np.float64]
    means_: NDArray[np.float64]
    covariances_: NDArray[np.float64]

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Most probable component of every row, (n,)."""
        return self._per_row(X, _labels)[0]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Responsibilities (n, K): float64 for float64 rows, float32 otherwise."""
        return self._per_row(X, _responsibilities)[0]

    def predict_with_density(self, X: Any, *, return_proba: bool = False) -> tuple[NDArray[Any], ...]:
        """Labels and log densities in one pass.

        Parameters
        ----------
        X
            Rows (n, d).
        return_proba
            Return the responsibilities, too.

        Returns
        -------
        Labels (n,) int32, log densities (n,) float32 and, if asked for, responsibilities (n, K) float32.
        """
        return self._per_row(X, partial(_labels_densities, return_proba=return_proba))

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log density of every row, (n,), in nats."""
        return self._per_row(X, _log_densities)[0]

    def score(self, X: Any, y: None = None) -> float:
        """Mean log-likelihood of the rows, in nats."""
        rows = self._rows_to_score(X)
        with one_thread(), USUAL_ERRORS():
            return fold(rows, partial(_log_likelihood, model=self._density_model()), operator.add) / rows.shape[0]

    def bic(self, X: Any) -> float:
        """Bayesian information criterion on the rows; lower is better."""
        rows = as_rows(X)
        return self.bic_of(self.score(rows), rows.shape[0])

    def bic_of(self, log_likelihood: float, n_rows: int) -> float:
        """Bayesian information criterion of rows whose mean log-likelihood is known.

        Parameters
        ----------
        log_likelihood
            Mean over the rows, in nats, as :meth:`score` gives it.
        n_rows
            Number of the rows.
        """
        return -2 * n_rows * log_likelihood + self._n_free_parameters() * float(np.log(n_rows))

    def aic(self, X: Any) -> float:
        """Akaike information criterion on the rows; lower is better."""
        rows = as_rows(X)
        return -2 * rows.shape[0] * self.score(rows) + 2 * self._n_free_parameters()

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.Generator | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples
            Number of rows.
        random_state
            Seed, or numpy Generator; ``None`` draws other rows at every call.

        Returns
        -------
        Rows (n_samples, d), and the component (n_samples,) of each.

        Raises
        ------
        ValueError
            If ``n_samples`` is below 1.
        """
        check_is_fitted(self)
        check_integer(n_samples, "n_samples")
        rng = np.random.default_rng(random_state)
        labels = rng.choice(len(self.weights_), size=n_samples, p=self.weights_ / self.weights_.sum())
        rows = rng.standard_normal((n_samples, self.n_features_in_))
        with one_thread(), USUAL_ERRORS():
            if self.covariance_type == "diag":
                rows *= np.sqrt(self.covariances_)[labels]
            elif self.covariance_type == "tied":
                rows = rows @ np.linalg.cholesky(self.covariances_).T
            else:
                for k, factor in enumerate(np.linalg.cholesky(self.covariances_)):
                    rows[labels == k] = rows[labels == k] @ factor.T
        return rows + self.means_[labels], labels.astype(np.int32)

    def _store(self, parameters: Parameters) -> None:
        """Set the public parameters."""
        self.weights_ = parameters.weights
        self.means_ = parameters.means
        self.covariances_ = parameters.covariances
        self.n_features_in_ = parameters.means.shape[1]

    def _density_model(self) -> Model:
        """What scores rows: built from the public parameters alone, so that stored mixtures score as fitted ones."""
        parameters = Parameters(self.covariance_type, self.weights_, self.means_, self.covariances_)
        whitening = Whitening.from_moments(
            moments_of_mixture(parameters), diagonal=self.covariance_type == "diag"
        ).rounded()
        device = torch_device(self.device)
        feature_map = feature_map_of(self.covariance_type, self.n_features_in_, len(self.weights_), device)
        try:
            coefficients = feature_map.coefficients(whitening.whiten(parameters))
        except np.linalg.LinAlgError as error:
            msg = "A covariance of the mixture is not positive definite: raise reg_covar or use fewer components."
            raise ValueError(msg) from error
        return {
            "whitening": whitening,
            "feature_map": feature_map,
            "coefficients": coefficients,
            "device": device,
        }

    def _per_row(self, X: Any, describe: Callable[..., tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
        """Arrays with one entry a row."""
        rows = self._rows_to_score(X)
        with one_thread(), USUAL_ERRORS():
            return collect(rows, partial(describe, model=self._density_model()))

    def _rows_to_score(self, X: Any) -> Any:
        """Rows with as many features as the mixture has."""
        check_is_fitted(self)
        rows = as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            msg = f"`X` has {rows.shape[1]} features, but the mixture was fitted with {self.n_features_in_}."
            raise ValueError(msg)
        return rows

    def _n_free_parameters(self) -> int:
        """Number of free parameters."""
        n_components, n_dims = self.means_.shape
        triangle = n_dims * (n_dims + 1) // 2
        n_covariance = {"full": n_components * triangle, "tied": triangle, "diag": n_components * n_dims}
        return n_covariance[self.covariance_type] + n_components * n_dims + n_components - 1


def _labels(rows: Any, model: Model) -> tuple[NDArray[Any], ...]:
    """Most probable component."""
    labels = np.empty(rows.shape[0], dtype=np.int32)
    for scores in score_blocks(rows, **model):
        labels[scores.where] = scores.labels()
    return (labels,)


def _responsibilities(rows: Any, model: Model) -> tuple[NDArray[Any], ...]:
    """Responsibilities in the precision of the rows."""
    proba = np.empty((rows.shape[0], len(model["coefficients"].weights)), dtype=compute_dtype(rows))
    for scores in score_blocks(rows, **model):
        scores.normalise()
        proba[scores.where] = scores.responsibilities()
    return (proba,)


def _log_densities(rows: Any, model: Model) -> tuple[NDArray[Any], ...]:
    """Log density in double precision."""
    log_density = np.empty(rows.shape[0])
    for scores in score_blocks(rows, **model):
        log_density[scores.where] = scores.normalise()
    return (log_density,)


def _labels_densities(rows: Any, model: Model, *, return_proba: bool) -> tuple[NDArray[Any], ...]:
    """Most probable component, log density and, if wanted, responsibilities, in one pass."""
    n_rows = rows.shape[0]
    labels, log_density = np.empty(n_rows, dtype=np.int32), np.empty(n_rows, dtype=np.float32)
    proba = np.empty((n_rows if return_proba else 0, len(model["coefficients"].weights)), dtype=np.float32)
    for scores in score_blocks(rows, **model):
        labels[scores.where] = scores.labels()
        # Further down than that is all the same; infinity would be none of a cell that is there.
        log_density[scores.where] = np.maximum(scores.normalise(), np.finfo(np.float32).min)
        if return_proba:
            proba[scores.where] = scores.responsibilities()
    return (labels, log_density, proba) if return_proba else (labels, log_density)


def _log_likelihood(rows: Any, model: Model) -> float:
    """Sum of the log densities."""
    return sum(float(scores.normalise().sum()) for scores in score_blocks(rows, **model))
