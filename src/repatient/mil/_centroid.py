"""Nearest centroid among kernel mean embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from repatient._checks import check_integer, check_number
from repatient.mil._heads import MOST_DIRECTIONS, UNKNOWN, Head, fit_head
from repatient.mil._linear import FeaturePredictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.mil._training_set import TrainingSet

    Array = NDArray[Any]

# How far, in logarithms, a few patients may move the steepness of the probabilities.
STEEPNESS_SD = 1.0


class Centroid(FeaturePredictor):
    """Which class's mean patient is nearest, in the space of kernel mean embeddings: for classes of one or two patients.

    The logit of a class is minus its squared distance, freed of what the noise of a mean of few patients adds, times a
    steepness that makes patients most probable whose donor is left out of the means. Grades and values are read off the
    direction in which embeddings go with them.

    Parameters
    ----------
    bandwidth
        Width of the Gaussian kernel, in medians of the distance between two training cells.
    n_frequencies
        Random Fourier features.
    standardize
        Whether cells are standardised by the training cells.
    n_passes
        Draws of the centroids behind the uncertainty.
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed. The same seed gives the same bits.

    Attributes
    ----------
    steepness_
        Factor of the squared distances; of classes only.

    References
    ----------
    Muandet et al. (2017), Kernel Mean Embedding of Distributions. Tibshirani et al. (2002), Diagnosis of Multiple Cancer
    Types by Shrunken Centroids.
    """

    kind: ClassVar[str] = "centroid"
    n_components: ClassVar[int] = 0

    def __init__(
        self,
        *,
        bandwidth: float = 0.5,
        n_frequencies: int = 500,
        standardize: bool = True,
        n_passes: int = 50,
        outcome: str = "class",
        random_state: int | None = 0,
    ) -> None:
        self.bandwidth = bandwidth
        self.n_frequencies = n_frequencies
        self.standardize = standardize
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    def _feature_names(self) -> Sequence[str]:
        return ["kernel_mean"]

    def _check(self) -> None:
        super()._check()
        check_number(self.bandwidth, "bandwidth", above=0.0)
        check_integer(self.n_frequencies, "n_frequencies")

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        features = self._learn_features(training, rng)
        mass = training.mass()
        self._centre = mass.sum(axis=1) @ features / mass.sum()
        self._inverse = np.ones(features.shape[1])
        fit = self._fit_classes if self.outcome == "class" else self._fit_direction
        self._set_head(Head(self.outcome, fit(features - self._centre, mass, training)))

    def _fit_classes(self, F: Array, mass: Array, training: TrainingSet) -> dict[str, Array]:
        total = mass.sum(axis=0)
        known = total > 0
        centroids = np.divide(mass.T @ F, total[:, None], out=np.zeros((len(total), F.shape[1])), where=known[:, None])
        n_real, y = len(training.real), training.y
        real, counts = F[:n_real], np.bincount(y, minlength=len(total))
        spread = _within(real, y)
        noise = np.divide((spread**2).sum(), counts, out=np.zeros(len(counts)), where=counts > 0)
        sizes = (centroids**2).sum(axis=1) - noise
        self.steepness_ = _steepness(real, y, training.groups, centroids, noise, float((spread**2).sum()))
        intercept = np.where(known, -self.steepness_ * sizes, UNKNOWN)
        per_class = 2 * self.steepness_ / np.sqrt(np.maximum(counts, 1))
        return {
            "coef": 2 * self.steepness_ * centroids.T,
            "intercept": intercept - intercept[known].mean(),
            "directions": (per_class[:, None, None] * spread).astype(np.float32),
            "signs": np.eye(len(total)),
        }

    def _fit_direction(self, F: Array, mass: Array, training: TrainingSet) -> dict[str, Array]:
        values = np.arange(len(training.classes)) if self.outcome == "ordinal" else training.classes
        weight = mass.sum(axis=1)
        v = mass @ values / weight
        # Bags that were drawn have no donor of their own: they count for whoever is left out.
        donors = np.unique(training.groups, return_inverse=True)[1]
        donors = np.concatenate([donors, np.arange(len(F) - len(donors)) + len(donors)])
        others = (donors[:, None] != donors) * weight
        without = others @ v / others.sum(axis=1)
        left_out = ((others * (v - without[:, None])) * (F @ F.T)).sum(axis=1)
        scale = float(left_out.std()) or 1.0
        head = fit_head(self.outcome, left_out[:, None] / scale, mass, values.astype(np.float64), C=1.0).arrays
        # A direction that goes the wrong way with patients left out says nothing.
        slope = max(float(head["coef"][0, 0]), 0.0) / scale
        pull = weight * (v - weight @ v / weight.sum())
        spread = _within(F[: len(training.real)], training.y) if self.outcome == "ordinal" else F[: len(training.real)]
        directions = slope * np.sqrt((pull**2).sum()) * spread[:MOST_DIRECTIONS] / np.sqrt(max(len(spread), 1))
        arrays = {name: array for name, array in head.items() if name in ("intercept", "thresholds", "noise", "signs")}
        return arrays | {"coef": slope * (pull @ F)[:, None], "directions": directions[None].astype(np.float32)}


def _within(F: Array, y: NDArray[np.int64]) -> Array:
    """Directions (r, p), whose squares sum to the covariance of patients inside their classes."""
    counts = np.bincount(y)
    degrees = len(y) - int(np.count_nonzero(counts))
    if degrees == 0:
        # No class has two patients: that classes differ is then as likely as that patients do.
        rest, degrees = F - F.mean(axis=0), max(len(y) - 1, 1)
    else:
        means = np.zeros((len(counts), F.shape[1]))
        np.add.at(means, y, F)
        rest = F - (means / np.maximum(counts, 1)[:, None])[y]
    _, size, axes = np.linalg.svd(rest, full_matrices=False)
    return (size[:, None] * axes / np.sqrt(degrees))[:MOST_DIRECTIONS]


def _steepness(F: Array, y: NDArray[np.int64], groups: Array, centroids: Array, noise: Array, variance: float) -> float:
    """Factor of the distances under which patients are most probable whose donor is left out."""
    donors = np.unique(groups, return_inverse=True)[1]
    n_classes = len(centroids)
    counts = np.zeros((donors.max() + 1, n_classes))
    np.add.at(counts, (donors, y), 1.0)
    sums = np.zeros((*counts.shape, F.shape[1]))
    np.add.at(sums, (donors, y), F)
    left = counts.sum(axis=0) - counts
    means = np.divide(sums.sum(axis=0) - sums, left[..., None], out=np.zeros_like(sums), where=left[..., None] > 0)
    # A class that nobody else is of stands where generated patients put it.
    nobody = counts.sum(axis=0) == 0
    means[:, nobody] = centroids[nobody]
    distances = ((F[:, None] - means[donors]) ** 2).sum(axis=2)
    distances -= np.divide(
        noise * counts.sum(axis=0), left[donors], out=np.zeros_like(distances), where=left[donors] > 0
    )
    told = (left[donors, y] > 0) & ((left[donors] > 0) | nobody).all(axis=1)
    start = -np.log(max(variance, 1e-12))
    if not told.any():
        return float(np.exp(start))
    weights = 1.0 / np.bincount(y, minlength=n_classes)[y[told]]
    weights *= told.sum() / weights.sum()

    def loss(log_steepness: float) -> float:
        logs = log_softmax(-np.exp(log_steepness) * distances[told], axis=1)
        likelihood = weights @ logs[np.arange(told.sum()), y[told]]
        return 0.5 * ((log_steepness - start) / STEEPNESS_SD) ** 2 - likelihood

    return float(np.exp(minimize_scalar(loss, bounds=(start - 5, start + 5), method="bounded").x))
