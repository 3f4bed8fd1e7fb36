"""Multiple-instance classifier of patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from scipy.special import softmax
from sklearn.base import ClassifierMixin

from repatient._docs import shared_docs
from repatient.mil._model import BagModel
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._persistence import classes_of, described_classes
from repatient.mil._split import Strata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._inputs import Given, TrainingBags
    from repatient.mil._outcomes import Outcome


@shared_docs
class MILClassifier(ClassifierMixin, BagModel):
    """Gated attention over the cells of a patient, with patient-level validation and calibrated probabilities.

    Parameters
    ----------
    %(mil_parameters)s

    Attributes
    ----------
    classes_
        Labels, sorted; the columns of all probabilities.
    %(mil_attributes)s
    history_
        Lists ``epoch``, ``train_loss``, ``validation_loss`` and ``validation_balanced_accuracy``, one entry an epoch;
        NaN without a validation set.
    temperature_
        Divisor of the logits in all probabilities, between 0.25 and 4, fitted on the validation bags; 1 with fewer than
        10 of them.

    References
    ----------
    Ilse, Tomczak and Welling (2018), Attention-based Deep Multiple Instance Learning. Guo et al. (2017), On Calibration
    of Modern Neural Networks. Gal and Ghahramani (2016), Dropout as a Bayesian Approximation.
    """

    outcome: ClassVar[str] = "class"
    kind: ClassVar[str] = "network of classes"

    def _fit_given(self, given: Given) -> Self:
        cohort = given.checked(self.outcome)
        self.classes_ = cohort.classes
        strata = Strata(cohort.y, cohort.classes, "grade" if self.outcome == "ordinal" else "class")
        return self._fit(cohort, strata, given.augment, balanced=self.class_weight == "balanced")

    def predict(self, bags: Bags) -> NDArray[Any]:
        """Most probable label of each bag, shape (B,)."""
        return self.classes_[self.predict_proba(bags).argmax(axis=1)]

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Class probabilities at ``temperature_``, without dropout, shape (B, classes)."""
        return self._probabilities(self._outputs(bags))

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of Monte-Carlo dropout passes; cells are encoded once for all of them.

        Parameters
        ----------
        bags
            Bags to predict.
        n_passes
            Number of passes, by default the parameter of the model.
        random_state
            Seed of the dropped units, by default that of the model. One pass drops the same units for all bags, so
            what a bag gets does not depend on its company.

        Returns
        -------
        Shape (passes, B, classes).
        """
        return self._probabilities(self._outputs_of_passes(bags, n_passes, random_state))

    def _probabilities(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return softmax(outputs / self.temperature_, axis=-1)

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K)."""
        return softmax(scores, axis=-1)

    def _as_scores(self, outputs: Any) -> Any:
        return outputs / self.temperature_

    def _outcome_to_train(self, cohort: TrainingBags, held_out: NDArray[np.int64]) -> Outcome:
        del cohort, held_out
        return self._outcome_to_load()

    def _outcome_to_load(self) -> Outcome:
        return ClassOutcome(len(self.classes_))

    def _targets(self) -> dict[str, Any]:
        return {"classes": described_classes(self.classes_)}

    def _read_targets(self, content: dict[str, Any]) -> None:
        self.classes_ = classes_of(content)
