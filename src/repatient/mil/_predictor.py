"""What every predictor of patients can do, and what those that take no gradient steps share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_integer, check_option
from repatient.mil import _inputs
from repatient.mil._estimator import BagEstimator
from repatient.mil._heads import probabilities
from repatient.mil._persistence import array_of, classes_of, described_classes
from repatient.mil._training_set import OUTCOMES, TrainingSet

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._inputs import Given


@runtime_checkable
class Predictor(Protocol):
    """What maps a bag of cells to an outcome: the protocol of everything that :func:`make_predictor` returns.

    Predictors are estimators in the way of scikit-learn: the constructor only stores parameters, ``get_params`` and
    ``sklearn.base.clone`` work, and what is learnt ends in an underscore.

    Attributes
    ----------
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    classes_
        Classes, or grades with the lowest first: the columns of all probabilities. Predictors of values have none.
    intercept_
        Score of a bag whose cells contribute nothing, (K,).
    """

    outcome: str

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Parameters of the constructor."""

    def set_params(self, **params: Any) -> Self:
        """Set some of them."""

    def fit(
        self,
        bags: Bags,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        generated: Bags | None = None,
        generated_y: ArrayLike | None = None,
        source_groups: ArrayLike | None = None,
        augment: Augmenter | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn from real and, if given, generated bags; see :meth:`repatient.mil.BasePredictor.fit`."""

    def predict(self, bags: Bags) -> NDArray[Any]:
        """Most probable class or grade, or the value, of each bag, (B,)."""

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Probabilities (B, classes); of values, the values (B,)."""

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """The same under models drawn from what the training patients leave open, (passes, B, …)."""

    def decision_function(self, bags: Bags) -> NDArray[np.float64]:
        """Scores (B, K), which contributions and ``intercept_`` sum to.

        Logits or probabilities of the classes, probabilities of the grades or one score of them, or the value.
        """

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K); of values, the values (...)."""

    def contributions(self, bags: Bags) -> NDArray[np.float64]:
        """What each entry of ``bags.rows`` contributes to each score of its bag, (m, K)."""

    def save(self, folder: str | PathLike[str]) -> None:
        """Write to a folder, without pickle; :func:`repatient.mil.load_model` reads it."""


class BasePredictor(BagEstimator):
    """A predictor with checks, prediction and files in place.

    A predictor of one's own sets ``kind``, a name that saved models carry, and writes ``_fit``, ``_scores``,
    ``_scores_of_passes``, ``_contributions``, ``_state`` and ``_restore``. It needs the parameters ``outcome``,
    ``random_state`` and ``n_passes``.

    Attributes
    ----------
    kind
        Name of the kind in saved models.
    probabilities_as_scores
        Whether scores are probabilities (expected grades, values) and not logits.
    """

    probabilities_as_scores: ClassVar[bool] = False

    outcome: str
    random_state: int | None
    n_passes: int
    classes_: NDArray[Any]
    intercept_: NDArray[np.float64]
    thresholds_: NDArray[np.float64]
    noise_: float

    def _fit_given(self, given: Given) -> Self:
        rng = np.random.default_rng(self.random_state)
        return self._learn(TrainingSet.of(self.outcome, given, rng), rng)

    def _learn(self, training: TrainingSet, rng: np.random.Generator) -> Self:
        if self.outcome != "continuous":
            self.classes_ = training.classes
        self.n_features_in_ = training.real.X.shape[1]
        self._fit(training, rng)
        return self

    def predict(self, bags: Bags) -> NDArray[Any]:
        """Most probable class or grade, or the value, of each bag, (B,)."""
        p = self.predict_proba(bags)
        return p if self.outcome == "continuous" else self.classes_[p.argmax(axis=1)]

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Probabilities (B, classes); of values, the values (B,)."""
        return self.link(self.decision_function(bags))

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Probabilities, or values, under models drawn from what the training patients leave open.

        Parameters
        ----------
        bags
            Bags to predict.
        n_passes
            Number of draws, by default the parameter of the predictor.
        random_state
            Seed, by default that of the predictor. A pass is one model for all bags.

        Returns
        -------
        Shape (passes, B, classes), or (passes, B) of values.
        """
        checked = self._checked(bags)
        n = check_integer(self.n_passes if n_passes is None else n_passes, "n_passes")
        rng = np.random.default_rng(self.random_state if random_state is None else random_state)
        return self.link(self._scores_of_passes(checked, n, rng))

    def predict_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and standard deviations of values in each pass, (passes, B) each, see :func:`predictive_sd`."""
        self._check_values_only()
        means = self.predict_proba_mc(bags, n_passes=n_passes, random_state=random_state)
        return means, np.full_like(means, self.noise_)

    def _check_values_only(self) -> None:
        if self.outcome != "continuous":
            msg = f"predict_mc is for values (`outcome='continuous'`); this predictor's outcome is {self.outcome!r}."
            raise ValueError(msg)

    def expected_grade(self, bags: Bags) -> NDArray[np.float64]:
        """Mean of the probabilities over the grades, which count from 0 for the lowest, (B,)."""
        return self.predict_proba(bags) @ np.arange(len(self.classes_))

    def decision_function(self, bags: Bags) -> NDArray[np.float64]:
        """Scores (B, K), which contributions and ``intercept_`` sum to."""
        return self._scores(self._checked(bags))

    def contributions(self, bags: Bags) -> NDArray[np.float64]:
        """What each entry of ``bags.rows`` contributes to each score of its bag.

        Returns
        -------
        Shape (m, K). Those of a bag sum with ``intercept_`` to its :meth:`decision_function`.
        """
        return self._contributions(self._checked(bags))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold beside the parameters: a description for JSON, and arrays."""
        content, arrays = self._state()
        content = {"n_features_in": self.n_features_in_} | content
        if self.outcome != "continuous":
            content["classes"] = described_classes(self.classes_)
        return content, {"intercept": np.asarray(self.intercept_)} | arrays

    def restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of :meth:`state`, for an estimator with the parameters that were saved."""
        self.n_features_in_ = check_integer(content["n_features_in"], "n_features_in")
        if self.outcome != "continuous":
            self.classes_ = classes_of(content)
        self.intercept_ = array_of(arrays, "intercept", len(self.classes_) if self.outcome == "class" else None)
        self._restore(content, arrays)

    def check_params(self) -> None:
        """Raise on a parameter that is out of its range."""
        self._check()

    @abstractmethod
    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        """Learn, and set ``intercept_`` (and, for values, ``noise_``, the sd around a prediction)."""

    @abstractmethod
    def _scores(self, bags: Bags) -> NDArray[np.float64]:
        """Scores of checked bags, (B, K)."""

    @abstractmethod
    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Scores (passes, B, K)."""

    @abstractmethod
    def _contributions(self, bags: Bags) -> NDArray[np.float64]:
        """Contributions (m, K) that sum with ``intercept_`` to the scores."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What is learnt, as a description and arrays."""

    @abstractmethod
    def _restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse."""

    def _check(self) -> None:
        """Raise on a parameter that is out of its range."""
        check_option(self.outcome, "outcome", OUTCOMES)
        check_integer(self.n_passes, "n_passes")

    def _checked(self, bags: Bags) -> Bags:
        check_is_fitted(self)
        return _inputs.check_bags(bags, "bags", n_features=self.n_features_in_)

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K); of values, the values (...)."""
        if self.probabilities_as_scores and self.outcome != "continuous":
            return scores
        return probabilities(self.outcome, scores, getattr(self, "thresholds_", None))
