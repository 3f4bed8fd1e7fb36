"""Multiple-instance classifier of patients by ordered grades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from repatient._docs import shared_docs
from repatient.mil._classifier import MILClassifier
from repatient.mil._outcomes import OrdinalOutcome, probabilities_of_grades

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._inputs import TrainingBags
    from repatient.mil._outcomes import Outcome


@shared_docs
class MILOrdinalClassifier(MILClassifier):
    r"""Gated attention over the cells of a patient, which predicts an ordered grade.

    One score s of the patient and rising thresholds give the probability to be of grade k or below,
    :math:`P(y \le k) = 1 / (1 + \exp((s - \theta_k) / T))` with the temperature T, so that the probabilities of the
    grades are not negative and sum to 1. The loss is the negative logarithm of the probability of the grade.

    Parameters
    ----------
    %(mil_parameters)s

    Attributes
    ----------
    classes_
        Grades, the lowest first; the columns of all probabilities.
    %(mil_attributes)s
    history_
        Lists ``epoch``, ``train_loss``, ``validation_loss`` and ``validation_mean_absolute_error`` (of the most probable
        grade, in grades), one entry an epoch; NaN without a validation set.
    temperature_
        Divisor of score and thresholds in all probabilities, between 0.25 and 4, fitted on the validation bags; 1 with
        fewer than 10 of them.

    Notes
    -----
    Thresholds start where a score of 0 predicts the shares that the grades have in the loss, and weight decay leads
    them back there. As there is one score, grades are told apart along one direction: what is characteristic of a
    middle grade alone is for :class:`MILClassifier` to find.

    References
    ----------
    McCullagh (1980), Regression Models for Ordinal Data. Vargas, Gutiérrez and Hervás-Martínez (2020), Cumulative link
    models for deep ordinal classification.
    """

    outcome: ClassVar[str] = "ordinal"
    kind: ClassVar[str] = "network of grades"

    def restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of :meth:`state`; thresholds that do not rise are no model's."""
        super().restore(content, arrays)
        if not (np.diff(self.thresholds_) > 0).all():
            msg = f"'thresholds' rise from grade to grade, not {self.thresholds_}."
            raise ValueError(msg)

    def expected_grade(self, bags: Bags) -> NDArray[np.float64]:
        """Mean of the probabilities over the grades, which count from 0 for the lowest, shape (B,)."""
        return self.predict_proba(bags) @ np.arange(len(self.classes_))

    @property
    def thresholds_(self) -> NDArray[np.float64]:
        """Rising thresholds of the score between the grades, shape (grades - 1,)."""
        outcome = cast("OrdinalOutcome", self._network.outcome)
        return outcome.thresholds().detach().cpu().numpy().astype(np.float64)

    def _probabilities(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return probabilities_of_grades(outputs / self.temperature_)

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K)."""
        lifted = (self.thresholds_ - self.thresholds_[0]) / self.temperature_
        return probabilities_of_grades(lifted - scores)

    def _as_scores(self, outputs: Any) -> Any:
        # The lowest threshold is at 0.
        return -outputs[..., :1] / self.temperature_

    def _outcome_to_train(self, cohort: TrainingBags, held_out: NDArray[np.int64]) -> Outcome:
        counts = np.ones(len(cohort.classes))
        if self.class_weight is None:
            # One more of each, as a grade may have no bag of its own.
            _, y = cohort.training_bags(held_out)
            counts += np.bincount(y, minlength=len(counts))
        return OrdinalOutcome(counts / counts.sum())

    def _outcome_to_load(self) -> Outcome:
        return OrdinalOutcome(np.full(len(self.classes_), 1 / len(self.classes_)))
