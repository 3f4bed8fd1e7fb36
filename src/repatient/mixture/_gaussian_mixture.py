"""The estimator: Gaussian mixtures with the face of scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from repatient._checks import check_integer, check_number, check_option
from repatient._progress import progress_bar
from repatient._threads import one_thread
from repatient.mixture._chunks import as_rows, compute_dtype, group_codes, read_small
from repatient.mixture._density import USUAL_ERRORS, MixtureDensity
from repatient.mixture._devices import torch_device
from repatient.mixture._em import EMTrace, RegCovar, Sample, Settings, remaining_gain, run_em
from repatient.mixture._features import feature_map_of
from repatient.mixture._parameters import COVARIANCE_TYPES, Parameters, check_size, checked_parameters
from repatient.mixture._prior import Strength
from repatient.mixture._seeding import seed_parameters
from repatient.mixture._whitening import Whitening, moments_of_rows, robust_moments, spreads

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

# Rows a component over which the errors of single precision average out; with fewer, double precision has the last word.
# From there on a pass also costs more than what it gains once EM has converged; its likelihood is that of the parameters
# where whitening is well-conditioned.
_ROWS_AVERAGED = 2_000


class GaussianMixture(MixtureDensity):
    """Gaussian mixture fitted by expectation-maximisation in single passes over blocks of rows.

    The log density of a Gaussian is linear in the features 1, x and x xᵀ, so that one matrix product per block scores
    all rows under all components and another one sums the sufficient statistics. Full covariances of 96 features and more
    (of 64 with up to 16 components) are scored by a triangular product for each component instead, and sums are of the
    rows that it has a share in. Rows are centred and whitened on the way, which is what allows single precision. Where it
    would not do (needle-shaped components, extreme rows), and in the last pass where there are fewer than 2,000 rows a
    component, blocks are computed in double precision. float64 rows are computed in double precision throughout, all
    others as described. Memory beyond the data is a few blocks and the subsamples.

    Of more than ``init_max_samples`` rows a subsample is searched for a good optimum: the most likely of short runs goes
    on, and as long as that raises the likelihood, two components are merged and another one is split. Then EM goes on
    with four times as many rows, and at last with all.

    Parameters
    ----------
    n_components
        Number of components K.
    covariance_type
        ``"full"``: one covariance matrix a component; ``"tied"``: one for all components; ``"diag"``: one variance a
        component and feature.
    tol
        EM has converged when a pass gains less than this in mean log-likelihood (nats per row). Single precision
        resolves about 1e-5; pass float64 rows to go below.
    reg_covar
        Added to the variances of every component, as a share of the variance of each feature (without the few rows that
        lie far beyond all others), so that the unit of the input does not matter. With ``prior="auto"`` it is the least
        one: where rows held out ask for more, up to half of each feature's or of the features' mean variance is added, and
        rather more of it than less where that hardly costs.
        Raised tenfold, at most six times, while a covariance is not positive definite.
    prior
        How many rows the prior of each full covariance is worth while the component has fewer rows than its covariance
        has parameters; with three times as many it is gone. It shrinks towards what components have in common:
        their mean correlations between the component's own variances, or their mean covariance. ``"auto"`` lets the
        evidence decide, for tied and diagonal covariances, too. 0 is maximum likelihood.
    max_iter
        Largest number of passes over the data.
    n_init
        Number of starts, of which the most likely goes on: on all rows, or on a quarter of the subsample.
    init_max_samples
        Largest number of rows of the subsample.
    random_state
        Seed, or numpy Generator. The same seed gives the same bits, whatever the number of threads.
    device
        Where passes are computed: ``"cpu"`` with numpy; the name of a CUDA device of torch, such as ``"cuda"``, on it;
        ``"auto"`` on such a device if there is one. Rows travel to it block by block, in every pass.
    progress
        Show a progress bar; ``None`` shows it where a person can see it.
    weights_init, means_init, covariances_init
        Parameters to start from, in the input space. ``means_init`` alone starts with equal weights and the covariance
        of all rows; without ``means_init`` starts are searched for.

    Attributes
    ----------
    weights_
        Weights (K,), in decreasing order.
    means_
        Means (K, d).
    covariances_
        Covariances (K, d, d) for ``"full"``, (d, d) for ``"tied"``, (K, d) for ``"diag"``.
    converged_
        Whether a pass gained less than ``tol``.
    n_iter_
        Number of passes over the data.
    log_likelihood_
        Mean log-likelihood (nats per row) of the fitted parameters.
    log_likelihoods_
        Mean log-likelihood at the start of every pass.
    gap_
        Estimate of what further passes would gain in mean log-likelihood (Aitken's extrapolation of the last gains, which
        tends to be low while they still change their pace): 0 at a maximum, infinite while gains grow, NaN after a
        single pass.
    n_reseeded_
        How often a component without rows was moved to a badly explained row.
    reg_covar_
        The regularisation in use at the end, as a share; ``"auto"`` and singular covariances raise it.
    prior_rows_
        How many rows the prior of each full covariance was worth, 0 where all components have many rows; None for other
        covariances under ``"auto"``.
    n_features_in_
        Number of features d.

    References
    ----------
    Fraley & Raftery (2007), Bayesian regularization for normal mixture estimation and model-based clustering, J. Classif.
    24.
    Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm, J. R. Stat. Soc. B 39.
    Ueda, Nakano, Ghahramani & Hinton (2000), SMEM algorithm for mixture models, Neural Computation 12.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-4,
        reg_covar: float = 1e-6,
        prior: float | str = "auto",
        max_iter: int = 200,
        n_init: int = 4,
        init_max_samples: int = 20_000,
        random_state: int | np.random.Generator | None = 0,
        device: str = "cpu",
        progress: bool | None = None,
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        covariances_init: ArrayLike | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.prior = prior
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_max_samples = init_max_samples
        self.random_state = random_state
        self.device = device
        self.progress = progress
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str = "full",
        *,
        device: str = "cpu",
    ) -> Self:
        """Rebuild a fitted mixture from stored parameters; the order of the components is kept.

        Parameters
        ----------
        weights
            Weights (K,), non-negative, summing to 1.
        means
            Means (K, d).
        covariances
            Covariances (K, d, d) for ``"full"``, (d, d) for ``"tied"``, (K, d) for ``"diag"``.
        covariance_type
            How ``covariances`` is to be read.
        device
            Where rows are scored, as in the constructor.

        Returns
        -------
        A mixture that can score, predict and sample; what only a fit knows (such as ``log_likelihood_``) is absent.

        Raises
        ------
        ValueError
            If the shapes do not fit, the weights do not sum to 1, a covariance is not positive definite, or torch does
            not have the device.
        """
        parameters = checked_parameters(weights, means, covariances, covariance_type)
        mixture = cls(len(parameters.weights), covariance_type=covariance_type, device=device)
        mixture._store(parameters)
        mixture._density_model()
        return mixture

    def fit(self, X: Any, y: None = None, *, groups: ArrayLike | None = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X
            Rows (n, d): an array, a tensor in main memory, or what is not in memory: a dask array, a zarr array, an
            HDF5 dataset, anything else with a shape, a dtype and row slices. Those are read in pieces, one pass after
            the other, and never held as a whole; passes over a dask array run on the scheduler that dask is set to,
            one task for about 65,000 rows. Never modified.
        y
            Ignored.
        groups
            Group (patient) of every row, (n,). With ``prior="auto"`` whole groups are held out to choose the
            regularisation; without, blocks of neighbouring rows are.

        Returns
        -------
        The mixture itself.

        Raises
        ------
        TypeError
            If ``X`` is sparse or not numeric.
        ValueError
            If ``X`` has NaN or infinite values, is not two-dimensional, is constant or has fewer rows than components,
            if ``groups`` has not one value a row, an argument is out of its range, torch does not have the device, or if no covariance can be made positive
            definite.
        """
        return self._fit(X, groups)

    def _fit(self, X: Any, groups: ArrayLike | None, given: tuple[RegCovar, Strength] | None = None) -> Self:
        """Fit with the regularisation and the prior of another mixture, where they are ``given``."""
        self._check_arguments()
        rows = as_rows(X)
        check_size(rows.shape, self.n_components, self.covariance_type)
        codes = None if groups is None else group_codes(groups, rows.shape[0])
        # No more than the starts would read anyway.
        rows = read_small(rows, max(self.init_max_samples, self.n_components))
        with one_thread(), USUAL_ERRORS():
            trace, whitening = self._run(rows, codes, given)
            self._store(whitening.unwhiten(trace.parameters).ordered())
            told = trace.log_likelihood
            self.log_likelihood_ = self.score(rows) if told is None else told
        self.converged_ = trace.converged
        self.n_iter_ = len(trace.log_likelihoods)
        self.log_likelihoods_ = np.array(trace.log_likelihoods)
        after = [] if told is not None else [self.log_likelihood_]
        self.gap_ = remaining_gain(np.append(self.log_likelihoods_, after))
        self.n_reseeded_ = trace.n_reseeded
        self.reg_covar_ = trace.reg_covar.share
        self.prior_rows_ = trace.strength.rows
        if not trace.converged:
            msg = (
                f"EM did not converge in max_iter={self.max_iter} passes (tol={self.tol:g}): raise max_iter or tol, "
                "or use fewer components."
            )
            warnings.warn(msg, ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: None = None, *, groups: ArrayLike | None = None) -> NDArray[np.int32]:
        """Fit the mixture and return the most probable component of every row."""
        return self.fit(X, groups=groups).predict(X)

    def _run(
        self, rows: Any, groups: NDArray[np.intp] | None, given: tuple[RegCovar, Strength] | None
    ) -> tuple[EMTrace, Whitening]:
        """Start, then iterate over all rows."""
        diagonal = self.covariance_type == "diag"
        moments = moments_of_rows(rows, diagonal=diagonal)
        usual = robust_moments(rows, moments)
        own = spreads(usual)
        whitening = Whitening.from_moments(usual, diagonal=diagonal, ridge=self.reg_covar * own**2)
        in_single, rounded = compute_dtype(rows) == np.float32, whitening.rounded()
        if in_single:
            whitening = rounded
        sample = Sample.of(rows, whitening, moments, torch_device(self.device), usual, groups)
        feature_map = feature_map_of(self.covariance_type, rows.shape[1], self.n_components, sample.device)
        many = rows.shape[0] >= _ROWS_AVERAGED * self.n_components
        settings = Settings(
            RegCovar(float(self.reg_covar)),
            self.tol,
            self.max_iter,
            in_single and not many,
            many and rounded.suits_float32,
            Strength(None if self.prior == "auto" else float(self.prior)),
            choose=self.prior == "auto" and given is None,
        )
        if given is not None:
            settings = replace(settings, reg_covar=given[0], strength=given[1])
        with progress_bar(desc="EM passes", total=self.max_iter, enabled=self.progress) as bar:
            start = self._given_start(sample)
            if start is None:
                start, settings = seed_parameters(
                    sample,
                    feature_map,
                    self.n_components,
                    self.covariance_type,
                    np.random.default_rng(self.random_state),
                    n_init=self.n_init,
                    max_samples=self.init_max_samples,
                    settings=settings,
                )
            self._chosen = settings.reg_covar, settings.strength
            return run_em(sample, feature_map, start, settings, bar), whitening

    def _given_start(self, sample: Sample) -> Parameters | None:
        """Initial parameters given by the user, in the whitened space."""
        if self.means_init is None:
            return None
        n_components, expected = self.n_components, (self.n_components, sample.rows.shape[1])
        if np.shape(self.means_init) != expected:
            msg = f"`means_init` has shape {expected} (n_components, d), not {np.shape(self.means_init)}."
            raise ValueError(msg)
        weights = np.full(n_components, 1 / n_components) if self.weights_init is None else self.weights_init
        covariances = self.covariances_init
        if covariances is None:
            reference = Parameters(self.covariance_type, np.ones(1), np.zeros((1, len(sample.scatter))), sample.scatter)
            covariances = sample.whitening.unwhiten(reference).covariances
            if self.covariance_type != "tied":
                covariances = np.stack([covariances] * n_components)
        given = checked_parameters(weights, self.means_init, covariances, self.covariance_type, names="{}_init")
        return sample.whitening.whiten(given)

    def _check_arguments(self) -> None:
        """Refuse arguments that are out of their range."""
        check_option(self.covariance_type, "covariance_type", COVARIANCE_TYPES)
        torch_device(self.device)
        for name in ("n_components", "max_iter", "n_init", "init_max_samples"):
            check_integer(getattr(self, name), name)
        for name in ("tol", "reg_covar", *([] if self.prior == "auto" else ["prior"])):
            check_number(getattr(self, name), name, minimum=0)
        if self.means_init is None and not (self.weights_init is None and self.covariances_init is None):
            msg = (
                "`weights_init` and `covariances_init` need `means_init`: without means there is nothing to start from."
            )
            raise ValueError(msg)
