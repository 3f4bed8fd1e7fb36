"""Multiple-instance regression of patients."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin

from repatient._checks import check_number
from repatient._docs import shared_docs
from repatient._files._read import check_values
from repatient.mil._model import BagModel
from repatient.mil._outcomes import ContinuousOutcome
from repatient.mil._split import Strata, ranges_of_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._inputs import Given, TrainingBags
    from repatient.mil._outcomes import Outcome


@shared_docs
class MILRegressor(RegressorMixin, BagModel):
    """Gated attention over the cells of a patient, which predicts the mean and the spread of a value.

    The value of a patient is Gaussian with a mean and a standard deviation that both depend on the patient; the loss is
    the negative logarithm of its density. Values are standardised by the real training bags alone, and predicted in
    their own unit.

    Parameters
    ----------
    %(mil_parameters)s

    Attributes
    ----------
    target_mean_, target_scale_
        Mean and standard deviation of the values of the real training bags.
    %(mil_attributes)s
    history_
        Lists ``epoch``, ``train_loss``, ``validation_loss`` (of the standardised values, which may be below 0) and
        ``validation_mean_absolute_error`` (in the unit of the values), one entry an epoch; NaN without a validation set.
    temperature_
        Factor of the standard deviation of the head, between 0.25 and 4, fitted on the validation bags; 1 with fewer
        than 10 of them.

    References
    ----------
    Nix and Weigend (1994), Estimating the Mean and Variance of the Target Probability Distribution. Kendall and Gal
    (2017), What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision. Levi et al. (2022), Evaluating
    and Calibrating Uncertainty Prediction in Regression Tasks.
    """

    outcome: ClassVar[str] = "continuous"
    kind: ClassVar[str] = "network of values"

    def _fit_given(self, given: Given) -> Self:
        cohort = given.checked(self.outcome)
        strata = Strata(np.zeros_like(cohort.y), ["all"])
        if self.validation_fraction > 0.0:
            strata = ranges_of_values(cohort.classes[cohort.y], cohort.groups, self.validation_fraction)
        return self._fit(cohort, strata, given.augment, balanced=False)

    def predict(self, bags: Bags, *, return_std: bool = False) -> Any:
        """Mean of each bag, without dropout.

        Parameters
        ----------
        bags
            Bags to predict.
        return_std
            Whether to give the standard deviation that the head predicts, too.

        Returns
        -------
        Shape (B,), or two of these, in the unit of the values.
        """
        mean, sd = self._in_unit(self._outputs(bags))
        return (mean, sd) if return_std else mean

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """The values, as :meth:`predict`: every predictor has this method."""
        return self.predict(bags)

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Means of Monte-Carlo dropout passes, (passes, B), as the first of :meth:`predict_mc`."""
        return self.predict_mc(bags, n_passes=n_passes, random_state=random_state)[0]

    def predict_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and standard deviations of Monte-Carlo dropout passes; cells are encoded once for all of them.

        Parameters
        ----------
        bags
            Bags to predict.
        n_passes
            Number of passes, by default the parameter of the model.
        random_state
            Seed of the dropped units, by default that of the model. One pass drops the same units for all bags.

        Returns
        -------
        Two arrays of shape (passes, B), see :func:`repatient.mil.predictive_sd`.
        """
        return self._in_unit(self._outputs_of_passes(bags, n_passes, random_state))

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (...) of scores (..., K)."""
        return scores[..., 0]

    def _as_scores(self, outputs: Any) -> Any:
        return self.target_mean_ + self.target_scale_ * outputs[..., :1]

    def _in_unit(self, outputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = self.target_mean_ + self.target_scale_ * outputs[..., 0]
        return mean, self.target_scale_ * self.temperature_ * np.exp(0.5 * outputs[..., 1])

    def _outcome_to_train(self, cohort: TrainingBags, held_out: NDArray[np.int64]) -> Outcome:
        values = cohort.classes[np.delete(cohort.y, held_out)]
        if np.ptp(values) == 0.0:
            msg = f"y: all training bags have the value {values[0]:g}; there is nothing to learn."
            raise ValueError(msg)
        self.target_mean_, self.target_scale_ = float(values.mean()), float(values.std())
        return ContinuousOutcome((cohort.classes - self.target_mean_) / self.target_scale_, self.target_scale_)

    def _outcome_to_load(self) -> Outcome:
        return ContinuousOutcome([], self.target_scale_)

    def _targets(self) -> dict[str, Any]:
        return {"target": {"mean": self.target_mean_, "scale": self.target_scale_}}

    def _read_targets(self, content: dict[str, Any]) -> None:
        target = content["target"]
        check_values(target, {"mean": check_number, "scale": partial(check_number, above=0.0)}, "target")
        self.target_mean_, self.target_scale_ = float(target["mean"]), float(target["scale"])
