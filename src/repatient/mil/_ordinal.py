"""Multiple-instance classifier of patients by ordered grades."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from repatient._docs import shared_docs
from repatient.mil import _inputs
from repatient.mil._classifier import MILClassifier
from repatient.mil._outcomes import OrdinalOutcome, probabilities_of_grades
from repatient.mil._split import Strata

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._inputs import Cohort
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
        """Train on real and, if given, generated bags.

        Parameters
        ----------
        bags, groups, generated, source_groups, augment
            As for :meth:`MILClassifier.fit`.
        y, generated_y
            Grade of each bag.
        classes
            All grades, the lowest first. ``None``: those of the bags in rising order, where they are numbers.

        Returns
        -------
        The fitted classifier.

        Raises
        ------
        TypeError, ValueError
            As for :meth:`MILClassifier.fit`; if the order of grades that are no numbers is not given, or a bag has a grade
            that is not among them.
        FloatingPointError
            If the loss does not stay finite.
        """
        _inputs.check_parameters(self.get_params())
        _inputs.check_augmenter(augment, generated)
        grades = _read_grades(classes, y, generated_y)
        codes = _codes(y, grades, "y")
        generated_codes = None if generated_y is None else _codes(generated_y, grades, "generated_y")
        numbers = np.arange(len(grades))
        cohort = _inputs.read_cohort(bags, codes, groups, generated, generated_codes, source_groups, numbers)
        # Augmenters know recipes of grades by their names.
        cohort = replace(cohort, classes=grades)
        self.classes_ = grades
        balanced = self.class_weight == "balanced"
        return self._fit(cohort, Strata(cohort.y, grades, "grade"), augment, balanced=balanced)

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

    def _outcome_to_train(self, cohort: Cohort, held_out: NDArray[np.int64]) -> Outcome:
        counts = np.ones(len(cohort.classes))
        if self.class_weight is None:
            # One more of each, as a grade may have no bag of its own.
            _, y = cohort.training_bags(held_out)
            counts += np.bincount(y, minlength=len(counts))
        return OrdinalOutcome(counts / counts.sum())

    def _outcome_to_load(self) -> Outcome:
        return OrdinalOutcome(np.full(len(self.classes_), 1 / len(self.classes_)))


def _read_grades(classes: ArrayLike | None, *labels: ArrayLike | None) -> NDArray[Any]:
    """All grades in their order."""
    if classes is not None:
        grades = _inputs.check_labels(classes, np.size(classes), "classes")
        if len(np.unique(grades)) != len(grades):
            msg = f"classes must be all grades, each once and the lowest first, found {classes}."
            raise ValueError(msg)
        return grades
    checked = [_inputs.check_labels(some, np.size(some), "y") for some in labels if some is not None]
    found = np.unique(np.concatenate(checked))
    if found.dtype.kind not in "biuf":
        msg = (
            f"classes must give the order of the grades, the lowest first, as names have none of their own; found the "
            f"labels {found}."
        )
        raise ValueError(msg)
    return found


def _codes(labels: ArrayLike, grades: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Place of each label among the grades."""
    values = _inputs.check_labels(labels, np.size(labels), name)
    unknown = ~np.isin(values, grades)
    if unknown.any():
        msg = (
            f"{name} has labels that are not among the grades {grades.tolist()}: {np.unique(values[unknown]).tolist()}."
        )
        raise ValueError(msg)
    order = np.argsort(grades, kind="stable")
    return order[np.searchsorted(grades[order], values)]
