"""Linear models of what is computed of a patient's cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from repatient._checks import check_integer, check_number, check_option, listed
from repatient.mil import _inputs
from repatient.mil._bags import Bags
from repatient.mil._cell_reader import CellReader
from repatient.mil._features import FEATURES, PatientFeatures
from repatient.mil._heads import Head, fit_head, stored_head
from repatient.mil._persistence import array_of, under
from repatient.mil._predictor import BasePredictor
from repatient.mil._shared import once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._training_set import TrainingSet

    Array = NDArray[Any]

# Relative to the feature: a smaller spread is rounding.
SMALLEST_SPREAD = 1e-6


class FeaturePredictor(BasePredictor):
    """Scores that are linear in features of a patient.

    Needs the parameters ``standardize``, ``bandwidth``, ``n_frequencies`` and ``n_components``.
    """

    feature_kinds: ClassVar[Mapping[str, type[PatientFeatures]]] = FEATURES
    standardize: bool
    moderation: float = 0.0
    _kinds: list[PatientFeatures]
    _widths: list[int]
    _centre: NDArray[np.float64]
    _inverse: NDArray[np.float64]
    _head: Head

    def _feature_names(self) -> Sequence[str]:
        raise NotImplementedError

    def _learn_features(self, training: TrainingSet, rng: np.random.Generator) -> NDArray[np.float64]:
        """Fit the features to the real bags and compute those of all bags, (bags, p)."""
        self._fit_features(training, rng)
        return self._transform_all(training)

    def _fit_features(self, training: TrainingSet, rng: np.random.Generator) -> None:
        self._mean, self._scale = _inputs.fit_scaler(training.real, standardize=self.standardize)
        settings = {name: getattr(self, name) for name in ("bandwidth", "n_frequencies", "n_components")}
        real = self._read(training.real)
        self._kinds = [self._fit_kind(self.feature_kinds[name], real, rng, settings) for name in self._feature_names()]

    @staticmethod
    def _fit_kind(
        kind: type[PatientFeatures], cells: CellReader, rng: np.random.Generator, settings: dict[str, Any]
    ) -> PatientFeatures:
        parts = (kind, *cells.parts, settings, rng)
        return kind(once("features", parts, lambda: kind().fit(cells, rng, settings).arrays))

    @staticmethod
    def _transform(kind: PatientFeatures, cells: CellReader) -> NDArray[np.float64]:
        return once("patients", (type(kind), kind.arrays, *cells.parts), lambda: kind.transform(cells))

    def _transform_all(self, training: TrainingSet) -> NDArray[np.float64]:
        features = [[self._transform(kind, self._read(part)) for kind in self._kinds] for part in training.parts]
        self._widths = [some.shape[1] for some in features[0]]
        return np.concatenate([np.concatenate(some, axis=1) for some in features])

    def _read(self, bags: Bags) -> CellReader:
        return CellReader(bags, self._mean, self._scale)

    def _features(self, bags: Bags) -> NDArray[np.float64]:
        cells = self._read(bags)
        return np.concatenate([self._transform(kind, cells) for kind in self._kinds], axis=1)

    def _standardized(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return (features - self._centre) * self._inverse

    def _scores(self, bags: Bags) -> NDArray[np.float64]:
        return self._head.scores(self._standardized(self._features(bags)))

    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        return self._head.scores_of_passes(self._standardized(self._features(bags)), n_passes, rng)

    def _contributions(self, bags: Bags) -> NDArray[np.float64]:
        weights, cells, first = self._head.arrays["coef"] * self._inverse[:, None], self._read(bags), 0
        result = np.zeros((len(bags.rows), weights.shape[1]))
        for kind, width in zip(self._kinds, self._widths, strict=True):
            part = slice(first, first + width)
            result += kind.attribute(cells, weights[part], self._centre[part])
            first += width
        return result

    def _fit_head(self, training: TrainingSet, features: NDArray[np.float64], *, C: float, balanced: bool) -> None:
        """Standardise features over the real bags, and solve the linear model of them."""
        self._standardise_by(features[: len(training.real)])
        values = training.classes if self.outcome == "continuous" else np.arange(len(training.classes))
        mass = training.mass(balanced=balanced)
        self._set_head(fit_head(self.outcome, self._standardized(features), mass, values, C=C))

    def _standardise_by(self, features: Array) -> None:
        self._centre, spread = features.mean(axis=0), features.std(axis=0)
        varies = spread > SMALLEST_SPREAD * (np.abs(self._centre) + SMALLEST_SPREAD)
        if self.moderation and varies.any():
            # A spread of two patients says as much of a feature as a coin; all features together know theirs better.
            share = self.moderation / (self.moderation + len(features) - 1)
            spread = np.sqrt((1 - share) * spread**2 + share * (spread[varies] ** 2).mean())
        self._inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)

    def _set_head(self, head: Head) -> None:
        self._head = head
        self.intercept_ = np.asarray(head.arrays["intercept"])
        if "thresholds" in head.arrays:
            self.thresholds_ = head.arrays["thresholds"]
        if "noise" in head.arrays:
            self.noise_ = float(head.arrays["noise"])

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = {f"head.{name}": np.asarray(array) for name, array in self._head.arrays.items()}
        arrays |= {"mean": self._mean, "scale": self._scale, "centre": self._centre, "inverse": self._inverse}
        for kind in self._kinds:
            arrays |= {f"features.{kind.name}.{name}": array for name, array in kind.arrays.items()}
        return {"widths": self._widths}, arrays

    def _restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self._mean, self._scale = _inputs.stored_scaler(arrays, self.n_features_in_)
        self._kinds = [self.feature_kinds[name](under(arrays, f"features.{name}.")) for name in self._feature_names()]
        for kind in self._kinds:
            kind.check(self.n_features_in_)
        self._widths = [check_integer(width, "widths") for width in content["widths"]]
        nobody = self._read(Bags(np.zeros((1, self.n_features_in_), np.float32), np.array([0]), np.array([0, 1])))
        if self._widths != [kind.transform(nobody).shape[1] for kind in self._kinds]:
            msg = f"`widths` are those of the features {list(self._feature_names())}, not {self._widths}."
            raise ValueError(msg)
        n = sum(self._widths)
        self._centre, self._inverse = (array_of(arrays, name, n) for name in ("centre", "inverse"))
        n_classes = 1 if self.outcome == "continuous" else len(self.classes_)
        self._set_head(stored_head(self.outcome, under(arrays, "head."), n, n_classes))


class Linear(FeaturePredictor):
    """L2 logistic, cumulative logit or ridge regression of features of a patient.

    Features are computed of cells that are standardised by the training cells, and are standardised themselves over the
    real training patients.

    Parameters
    ----------
    features
        One or several of ``"mean"`` (the mean cell), ``"moments"`` (mean and standard deviation), ``"extremes"`` (lowest
        and highest value of each feature), ``"quantiles"`` (.1 to .9 of each feature), ``"composition"`` (square roots of
        the shares of the components of a mixture of the training cells), ``"prototypes"`` (share, mean and variance of a
        patient's cells in each of these components) and ``"kernel_mean"`` (the mean of random Fourier features of a
        Gaussian kernel).
    C
        Inverse strength of the L2 penalty, as in scikit-learn: the weights of all bags sum to the number of real bags.
        Values find the strength by leaving patients out.
    bandwidth
        Width of the kernel of ``"kernel_mean"``, in medians of the distance between two training cells.
    n_frequencies
        Random Fourier features of ``"kernel_mean"``.
    n_components
        Components of the mixture of ``"composition"`` and ``"prototypes"``; fewer where cells are few.
    moderation
        Patients that the mean spread of all features counts as in the spread that a feature is standardised by (moderated
        variances); 0 takes each feature's own, which one or two patients a class hardly tell.
    class_weight
        ``"balanced"`` gives all classes or grades the same weight; values have none.
    standardize
        Whether cells are standardised.
    n_passes
        Models drawn from the posterior behind the uncertainty (Laplace's approximation in the directions in which the
        training patients vary).
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed. The same seed gives the same bits.

    References
    ----------
    Muandet et al. (2017), Kernel Mean Embedding of Distributions. Rahimi and Recht (2007), Random Features for Large-Scale
    Kernel Machines. McCullagh (1980), Regression Models for Ordinal Data. Smyth (2004), Linear Models and Empirical Bayes
    Methods for Assessing Differential Expression.
    """

    kind: ClassVar[str] = "linear"

    def __init__(
        self,
        features: str | Sequence[str] = ("mean",),
        *,
        C: float = 1.0,
        bandwidth: float = 0.5,
        n_frequencies: int = 500,
        n_components: int = 20,
        moderation: float = 0.0,
        class_weight: str | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        outcome: str = "class",
        random_state: int | None = 0,
    ) -> None:
        self.features = features
        self.C = C
        self.bandwidth = bandwidth
        self.n_frequencies = n_frequencies
        self.n_components = n_components
        self.moderation = moderation
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    @classmethod
    def of_moments(
        cls,
        means: Array,
        covariances: Array,
        n_patients: Sequence[int],
        *,
        classes: ArrayLike,
        centre: Array,
        scale: Array,
        C: float = 1.0,
        random_state: int | None = 0,
    ) -> Self:
        """The regression on mean cells of patients of whom no more is known than the moments of their mean cells.

        Fitted are points, as many a class as it had patients, that have these moments.

        Parameters
        ----------
        means, covariances
            Of the patients' mean cells in each class, (classes, d) and (classes, d, d), unbiased.
        n_patients
            How many there were of each class.
        classes
            Names of the classes, rising.
        centre, scale
            Cells x are read as ``(x - centre) / scale``.
        C
            As in the constructor.
        random_state
            Seed of the points.
        """
        model = cls(("mean",), C=C, random_state=random_state)
        rng = np.random.default_rng(random_state)
        points = [
            _points((m - centre) / scale, S / np.outer(scale, scale), n, rng)
            for m, S, n in zip(means, covariances, n_patients, strict=True)
        ]
        F, y = np.concatenate(points), np.repeat(np.arange(len(points)), [len(part) for part in points])
        model.classes_, model.n_features_in_ = np.asarray(classes), len(centre)
        model._mean, model._scale = centre, scale
        model._kinds, model._widths = [FEATURES["mean"]()], [len(centre)]
        model._standardise_by(F)
        mass = np.eye(len(points))[y]
        mass *= len(F) / len(points) / mass.sum(axis=0)
        model._set_head(fit_head("class", model._standardized(F), mass, np.arange(len(points)), C=C))
        return model

    @property
    def linear_in_mean(self) -> bool:
        """Whether scores are linear in the mean cell, of which a few patients bear any number of features."""
        return self._feature_names() == ["mean"]

    def _feature_names(self) -> Sequence[str]:
        return [self.features] if isinstance(self.features, str) else list(self.features)

    def _check(self) -> None:
        super()._check()
        names = self._feature_names()
        if not names or len(set(names)) < len(names):
            msg = f"`features` is one or several of {listed(FEATURES)}, each once, not {self.features!r}."
            raise ValueError(msg)
        for name in names:
            check_option(name, "features", FEATURES)
        for argument in ("C", "bandwidth"):
            check_number(getattr(self, argument), argument, above=0.0)
        check_number(self.moderation, "moderation", minimum=0.0)
        check_integer(self.n_frequencies, "n_frequencies")
        check_integer(self.n_components, "n_components", minimum=2)
        _inputs.check_class_weight(self.class_weight)

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        features = self._learn_features(training, rng)
        self._fit_head(training, features, C=self.C, balanced=self.class_weight == "balanced")


def _points(mean: Array, covariance: Array, n: int, rng: np.random.Generator) -> Array:
    """Points (n, d) of this mean and, where they are enough to have its rank, of this unbiased covariance."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = min(n - 1, len(values))
    if rank < 1:
        return np.tile(mean, (max(n, 1), 1))
    directions = rng.standard_normal((n, rank))
    axes, _ = np.linalg.qr(directions - directions.mean(axis=0))
    spread = np.sqrt(np.clip(values[:rank], 0, None) * (n - 1))
    return mean + (axes * spread) @ vectors[:, :rank].T
