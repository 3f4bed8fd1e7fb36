"""Gated attention as one of the predictors."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_option
from repatient._docs import shared_docs
from repatient.mil._classifier import MILClassifier
from repatient.mil._estimator import NetworkEstimator
from repatient.mil._inputs import Given, check_parameters
from repatient.mil._ordinal import MILOrdinalClassifier
from repatient.mil._persistence import above, packed, under, unpacked
from repatient.mil._regressor import MILRegressor
from repatient.mil._shared import fit_once
from repatient.mil._stacking import DONORS_FOR_TEMPERATURE, folds_of_donors, left_out
from repatient.mil._train import fit_temperature
from repatient.mil._training_set import OUTCOMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._inputs import TrainingBags

_NETWORKS: dict[str, type[MILClassifier] | type[MILRegressor]] = {
    "class": MILClassifier,
    "ordinal": MILOrdinalClassifier,
    "continuous": MILRegressor,
}

# Of networks that are trained to the end on few patients, which are far too sure.
USUAL_TEMPERATURE = 3.0


@shared_docs
class Attention(NetworkEstimator):
    """Gated attention over the cells of a patient, for any outcome.

    Pooled embeddings are standardised over the training bags before the head reads them, because the mean of many cells
    hardly varies between patients.

    Parameters
    ----------
    %(mil_parameters)s
    outcome
        What is predicted: ``"class"`` (:class:`MILClassifier`), ``"ordinal"`` (:class:`MILOrdinalClassifier`) or
        ``"continuous"`` (:class:`MILRegressor`).
    calibrate
        Whether probabilities get a temperature, fitted to training donors that three further trainings left out; with fewer
        than 24 donors, or a single donor of a class, there is none, and with ``validation_fraction`` it is that of the
        patients held out.

    Attributes
    ----------
    network_
        The fitted one of these three, whose attributes, such as ``history_`` and ``classes_``, are those of the predictor.

    References
    ----------
    Ilse, Tomczak and Welling (2018), Attention-based Deep Multiple Instance Learning.
    """

    kind: ClassVar[str] = "attention"

    # Written out, as scikit-learn reads the parameters of an estimator from here.
    def __init__(
        self,
        *,
        hidden: int = 64,
        attention_hidden: int = 32,
        n_layers: int = 1,
        dropout: float = 0.5,
        learning_rate: float = 1e-3,
        weight_decay: float = 1.0,
        batch_size: int = 16,
        n_steps: int = 200,
        max_epochs: int | None = None,
        cells_per_step: int | None = 128,
        patience: int = 10,
        validation_fraction: float = 0.0,
        class_weight: Literal["balanced"] | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        device: str = "auto",
        outcome: str = "class",
        calibrate: bool = True,
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        super().__init__(
            hidden=hidden,
            attention_hidden=attention_hidden,
            n_layers=n_layers,
            dropout=dropout,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            n_steps=n_steps,
            max_epochs=max_epochs,
            cells_per_step=cells_per_step,
            patience=patience,
            validation_fraction=validation_fraction,
            class_weight=class_weight,
            standardize=standardize,
            n_passes=n_passes,
            device=device,
            random_state=random_state,
            progress=progress,
        )
        self.outcome = outcome
        self.calibrate = calibrate

    def _fit_given(self, given: Given) -> Self:
        cohort, folds = None, None
        if self.calibrate and self.outcome != "continuous" and self.validation_fraction == 0:
            cohort = given.checked(self.outcome)
            folds = self._folds(cohort)
        if cohort is None or folds is None:
            self.network_ = self._unfitted()._fit_given(given)
            return self
        labels, everyone = cohort.classes[cohort.y], np.arange(len(cohort.y))

        def fitted(to: NDArray[np.int64]) -> Any:
            # Without a temperature, as an average may have fitted it in the same folds.
            plain = clone(self).set_params(calibrate=False)
            return fit_once(
                plain, cohort.real.take(to), labels[to], groups=cohort.groups[to], classes=cohort.classes
            ).network_

        plain = given.augment is None and given.generated is None
        self.network_ = copy(fitted(everyone)) if plain else self._unfitted()._fit_given(given)
        outputs = left_out(folds, lambda kept, left: fitted(kept)._outputs(cohort.real.take(left)))
        # The temperature at which training donors that were left out are most probable (Guo et al. 2017).
        outcome = self.network_._outcome_to_load()
        self.network_.temperature_ = fit_temperature(outcome, outputs, cohort.y, usual=USUAL_TEMPERATURE)
        return self

    def _unfitted(self) -> MILClassifier | MILRegressor:
        own = ("outcome", "calibrate")
        return _NETWORKS[self.outcome](**{name: value for name, value in self.get_params().items() if name not in own})

    def _folds(self, cohort: TrainingBags) -> NDArray[np.int64] | None:
        donors = np.unique(cohort.groups, return_inverse=True)[1]
        if donors.max() + 1 < DONORS_FOR_TEMPERATURE:
            return None
        return folds_of_donors(cohort, donors, self.outcome, self.random_state)

    def __getattr__(self, name: str) -> Any:
        # What is learnt, and how it predicts, is the network's.
        if name.startswith("__") or "network_" not in self.__dict__:
            msg = f"{type(self).__name__} has no attribute {name!r} (before it is fitted)."
            raise AttributeError(msg)
        return getattr(self.network_, name)

    def predict(self, bags: Bags) -> NDArray[Any]:
        """Most probable class or grade, or the value, of each bag, (B,)."""
        return self._fitted.predict(bags)

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Probabilities (B, classes) without dropout; of values, the values (B,)."""
        return self._fitted.predict_proba(bags)

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Those of Monte-Carlo dropout passes, (passes, B, classes) or, of values, (passes, B)."""
        return self._fitted.predict_proba_mc(bags, n_passes=n_passes, random_state=random_state)

    def decision_function(self, bags: Bags) -> NDArray[np.float64]:
        """Scores (B, K), which contributions and ``intercept_`` sum to."""
        return self._fitted.decision_function(bags)

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K); of values, the values (...)."""
        return self._fitted.link(scores)

    def contributions(self, bags: Bags) -> NDArray[np.float64]:
        """What each entry of ``bags.rows`` contributes to each score of its bag, (m, K)."""
        return self._fitted.contributions(bags)

    def attention(self, bags: Bags) -> NDArray[np.float32]:
        """Share of each entry of ``bags.rows`` in the attention of its bag, (m,)."""
        return self._fitted.attention(bags)

    def check_params(self) -> None:
        """Raise on a parameter that is out of its range."""
        check_option(self.outcome, "outcome", OUTCOMES)
        check_parameters(self._unfitted().get_params())

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold beside the parameters: a description for JSON, and arrays."""
        content, arrays = packed(self.network_)
        return {"network": content}, above(arrays, "network.")

    def restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of :meth:`state`, for an estimator with the parameters that were saved."""
        network = unpacked(content["network"], under(arrays, "network."), self.device)
        if type(network) is not _NETWORKS[self.outcome]:
            msg = f"`network` is of kind {network.kind!r}, which does not predict {self.outcome!r}."
            raise ValueError(msg)
        self.network_ = network

    @property
    def _fitted(self) -> MILClassifier | MILRegressor:
        check_is_fitted(self, "network_")
        return self.network_
