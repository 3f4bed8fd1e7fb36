"""What all models of bags have in common: parameters, training, attention, and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from repatient._device import find_device
from repatient.mil import _inputs, _persistence
from repatient.mil._augment import Augmented
from repatient.mil._missing import shift_missing
from repatient.mil._network import GatedAttentionNetwork, torch_generator
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._pooling import embed_bags, predict_logits, predict_logits_of_passes
from repatient.mil._preparation import hold_out, prepare
from repatient.mil._train import Plan, fit_temperature, single_thread, train

if TYPE_CHECKING:
    from os import PathLike

    import torch
    from numpy.typing import NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._batches import LabelledBags, Training
    from repatient.mil._inputs import Cohort
    from repatient.mil._outcomes import Outcome
    from repatient.mil._split import Strata

BAGS_FOR_TEMPERATURE = 10


class BagModel(BaseEstimator, ABC):
    """Gated attention over the cells of a patient, whatever is predicted.

    Parameters and attributes are those of :class:`repatient.mil.MILClassifier`.
    """

    outcome: ClassVar[str]

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
        max_epochs: int = 50,
        steps_per_epoch: int | None = None,
        patience: int = 15,
        validation_fraction: float = 0.2,
        class_weight: Literal["balanced"] | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        device: str = "auto",
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.hidden = hidden
        self.attention_hidden = attention_hidden
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_passes = n_passes
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def attention(self, bags: Bags) -> NDArray[np.float32]:
        """Share of each entry of ``bags.rows`` in the attention of its bag, shape (m,), sum 1 in every bag."""
        return self._embed(bags)[1]

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the fitted model to a folder of ``model.json`` and ``weights.npz``, without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved model, which is replaced.

        Raises
        ------
        ValueError
            If the folder exists and holds no model.
        """
        check_is_fitted(self)
        _persistence.save(self, folder)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> Self:
        """Read a model that :meth:`save` wrote to a folder, onto a device.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If what is there is no model, of a newer format, or damaged, or torch does not have the device.
        """
        return _persistence.load([cls], folder, device)

    @abstractmethod
    def _outcome_to_train(self, cohort: Cohort, held_out: NDArray[np.int64]) -> Outcome:
        """What the network ends in, given the targets of training."""

    @abstractmethod
    def _outcome_to_load(self) -> Outcome:
        """The same for weights that come from a file."""

    @abstractmethod
    def _targets(self) -> dict[str, Any]:
        """What a file has to say of the targets."""

    @abstractmethod
    def _read_targets(self, content: dict[str, Any]) -> None:
        """The inverse."""

    def _fit(self, cohort: Cohort, strata: Strata, augment: Augmenter | None, *, balanced: bool) -> Self:
        """Train on a cohort that was checked, and hold out a share of each stratum."""
        rng = np.random.default_rng(self.random_state)
        held_out = hold_out(strata, cohort.groups, self.validation_fraction, self.max_epochs, rng)
        outcome = self._outcome_to_train(cohort, held_out)
        self.n_features_in_ = cohort.real.X.shape[1]
        self._mean, self._scale = _inputs.fit_scaler(cohort.training_real(held_out), standardize=self.standardize)
        training, validation = prepare(cohort, held_out, self._standardize, augment, balanced=balanced, rng=rng)
        self._train(training, validation, outcome, rng)
        self.validation_bags_ = held_out
        return self

    def _train(
        self, training: Training, validation: LabelledBags | None, outcome: Outcome, rng: np.random.Generator
    ) -> None:
        """Build and train the network, and set the temperature."""
        generator = torch_generator(rng)
        self._network = self._build_network(outcome, generator)
        plan = Plan(**{setting.name: getattr(self, setting.name) for setting in fields(Plan)})
        self.temperature_ = 1.0
        with single_thread():
            record = train(self._network, training, validation, plan, generator)
            if isinstance(outcome, ClassOutcome) and isinstance(training, Augmented):
                shift_missing(self._network, training, generator)
            if validation is not None and len(validation.y) >= BAGS_FOR_TEMPERATURE:
                embeddings, _ = embed_bags(self._network, validation.bags, np.asarray)
                outputs = predict_logits(self._network, embeddings)
                self.temperature_ = fit_temperature(outcome, outputs, validation.y)
        self.history_, self.best_epoch_, self.early_stopped_ = record.history, record.best_epoch, record.early_stopped
        self.n_epochs_ = len(record.history["epoch"])

    def _build_network(self, outcome: Outcome, generator: torch.Generator) -> GatedAttentionNetwork:
        shape = {name: getattr(self, name) for name in ("hidden", "attention_hidden", "n_layers", "dropout")}
        network = GatedAttentionNetwork(
            self.n_features_in_, outcome.n_outputs, **shape, generator=generator, outcome=outcome
        )
        return network.to(find_device(self.device))

    def _standardize(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return _inputs.apply_scaler(X, self._mean, self._scale, clip=self.standardize)

    def _embed(self, bags: Bags) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embedding of each bag and attention of each of its entries."""
        check_is_fitted(self)
        bags = _inputs.check_bags(bags, "bags", n_features=self.n_features_in_)
        with single_thread():
            return embed_bags(self._network, bags, self._standardize)

    def _outputs(self, bags: Bags) -> NDArray[np.float64]:
        """Outputs of the network without dropout, (bags, outputs)."""
        embeddings, _ = self._embed(bags)
        with single_thread():
            return predict_logits(self._network, embeddings)

    def _outputs_of_passes(self, bags: Bags, n_passes: int | None, random_state: int | None) -> NDArray[np.float64]:
        """Outputs of Monte-Carlo dropout passes, (passes, bags, outputs); cells are encoded once for all of them."""
        embeddings, _ = self._embed(bags)
        n_passes = self.n_passes if n_passes is None else n_passes
        _inputs.check_count("n_passes", n_passes)
        generator = torch_generator(np.random.default_rng(self.random_state if random_state is None else random_state))
        masks = self._network.draw_masks(n_passes, generator)
        with single_thread():
            if masks is None:
                return np.tile(predict_logits(self._network, embeddings), (n_passes, 1, 1))
            return predict_logits_of_passes(self._network, embeddings, masks)
