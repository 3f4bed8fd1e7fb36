"""Multiple-instance regression of patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin

from repatient._docs import shared_docs
from repatient.mil import _inputs
from repatient.mil._model import BagModel
from repatient.mil._outcomes import ContinuousOutcome
from repatient.mil._split import Strata, ranges_of_values

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._inputs import Cohort
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
    ) -> Self:
        """Train on real and, if given, generated bags.

        Parameters
        ----------
        bags, groups, generated, source_groups
            As for :meth:`MILClassifier.fit`.
        y, generated_y
            Value of each bag, a finite number.
        augment
            What makes the bags of every step. Every value counts as a class of its own, and a bag that is of several in
            some proportion has their mean as its value. Not those that need several bags of a class.

        Returns
        -------
        The fitted model.

        Raises
        ------
        TypeError, ValueError
            As for :meth:`MILClassifier.fit`; if values are no finite numbers or all training bags have the same, or
            ``augment`` needs classes.
        FloatingPointError
            If the loss does not stay finite.
        """
        _inputs.check_parameters(self.get_params())
        _inputs.check_augmenter(augment, generated)
        if getattr(augment, "needs_classes", False):
            msg = f"augment: {augment!r} mixes bags of one class, and values have none; PseMix, for one, mixes values."
            raise ValueError(msg)
        values = _check_values(y, "y")
        drawn = None if generated_y is None else _check_values(generated_y, "generated_y")
        cohort = _inputs.read_cohort(bags, values, groups, generated, drawn, source_groups)
        strata = Strata(np.zeros_like(cohort.y), ["all"])
        if self.validation_fraction > 0.0:
            strata = ranges_of_values(values, cohort.groups, self.validation_fraction)
        return self._fit(cohort, strata, augment, balanced=False)

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

    def _in_unit(self, outputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = self.target_mean_ + self.target_scale_ * outputs[..., 0]
        return mean, self.target_scale_ * self.temperature_ * np.exp(0.5 * outputs[..., 1])

    def _outcome_to_train(self, cohort: Cohort, held_out: NDArray[np.int64]) -> Outcome:
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
        self.target_mean_, self.target_scale_ = (float(content["target"][name]) for name in ("mean", "scale"))


def _check_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    try:
        numbers = array.astype(np.float64) if array.dtype.kind in "iufO" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or not np.isfinite(numbers).all():
        msg = f"{name} must be finite numbers, found {array.dtype} with {_examples(array)}."
        raise ValueError(msg)
    if name == "y" and len(numbers) and np.ptp(numbers) == 0.0:
        msg = f"y: all bags have the value {numbers.flat[0]:g}; there is nothing to learn."
        raise ValueError(msg)
    return numbers


def _examples(array: NDArray[Any]) -> str:
    """Some entries that are no finite numbers."""
    wrong = [value for value in array.ravel().tolist() if not isinstance(value, int | float) or not np.isfinite(value)]
    return ", ".join(repr(value) for value in wrong[:3])
