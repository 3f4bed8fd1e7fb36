"""Multiple-instance classifier of patients."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from repatient.mil import _inputs, _persistence
from repatient.mil._network import GatedAttentionNetwork, find_device, torch_generator
from repatient.mil._pooling import embed_bags, predict_logits, predict_logits_of_passes
from repatient.mil._preparation import hold_out, prepare
from repatient.mil._train import Plan, fit_temperature, single_thread, train

if TYPE_CHECKING:
    from os import PathLike

    import torch
    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._batches import LabelledBags, Training

BAGS_FOR_TEMPERATURE = 10


class MILClassifier(ClassifierMixin, BaseEstimator):
    """Gated attention over the cells of a patient, with patient-level validation and calibrated probabilities.

    Parameters
    ----------
    hidden
        Width of the cell encoder and of the head.
    attention_hidden
        Width of the attention branch.
    n_layers
        Layers of the cell encoder.
    dropout
        Share of units dropped from the bag embedding and inside the head, in training and in Monte-Carlo passes.
    learning_rate, weight_decay
        Of AdamW.
    batch_size
        Bags a gradient step.
    max_epochs
        Passes over all training bags, real and generated together; exactly as many without a validation set.
    steps_per_epoch
        Gradient steps an epoch, each of ``batch_size`` bags (all, where there are fewer), so that methods with different
        numbers of bags take equally many steps. None: what it takes to see every bag once.
    patience
        Epochs without a lower validation loss after which training stops.
    validation_fraction
        Share of the real bags held out, by whole groups and in proportion to the classes; 0 for none.
    class_weight
        ``"balanced"`` weighs bags inversely to the frequency of their class among the training bags.
    standardize
        Whether to give each feature mean 0 and variance 1 over the cells of the real training bags. Values more than 10
        standard deviations away are then clipped, so that a feature that hardly varies in training cannot decide alone.
    n_passes
        Monte-Carlo dropout passes of :meth:`predict_proba_mc`.
    device
        Name of a torch device; ``"auto"`` takes CUDA, then MPS, then the CPU.
    random_state
        Seed. On the CPU the same seed gives the same bits. None draws another one at every call.
    progress
        Whether to show a progress bar; None shows it where a person can see it.

    Attributes
    ----------
    classes_
        Labels, sorted; the columns of all probabilities.
    n_features_in_
        Features of a cell.
    history_
        Lists ``epoch``, ``train_loss``, ``validation_loss`` and ``validation_balanced_accuracy``, one entry an epoch;
        NaN without a validation set.
    validation_bags_
        Indices of the real bags that were held out; empty if there were none.
    n_epochs_
        Epochs run.
    best_epoch_
        Epoch (from 1) whose weights were kept.
    early_stopped_
        Whether the patience ran out.
    temperature_
        Divisor of the logits in all probabilities, between 0.25 and 4, fitted on the validation bags; 1 with fewer than
        10 of them.

    References
    ----------
    Ilse, Tomczak and Welling (2018), Attention-based Deep Multiple Instance Learning. Guo et al. (2017), On Calibration
    of Modern Neural Networks. Gal and Ghahramani (2016), Dropout as a Bayesian Approximation.
    """

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
        bags
            Real bags, none empty.
        y
            Label of each real bag: strings, integers, booleans or floats.
        groups
            Donor of each real bag, the unit of the validation split; by default each bag is its own.
        generated
            Generated bags over the same ``X``: trained on, never validated on.
        generated_y
            Their labels, of which some may be of no real bag.
        source_groups
            Donor of each row of ``X``, in the words of ``groups``. Rows of validation donors are removed from the
            generated bags, and bags that this empties are dropped. Rows of validation bags are removed in any case.
        augment
            What makes the bags of every step out of the real training bags, see :mod:`repatient.mixing`; not together
            with ``generated``. Its labels may be soft: the loss is the cross-entropy with them.
        classes
            Labels to tell apart, where no real or generated bag has one that ``augment`` makes bags of.

        Returns
        -------
        The fitted classifier.

        Raises
        ------
        TypeError, ValueError
            If bags and labels do not fit together, a bag is empty, a value is not finite, there are fewer than two
            bags or only one class, a parameter is out of its range, or ``augment`` uses cells of other bags.
        FloatingPointError
            If the loss does not stay finite.
        """
        _inputs.check_parameters(self.get_params())
        _inputs.check_augmenter(augment, generated)
        cohort = _inputs.read_cohort(bags, y, groups, generated, generated_y, source_groups, classes)
        rng = np.random.default_rng(self.random_state)
        held_out = hold_out(cohort, self.validation_fraction, self.max_epochs, rng)
        self.classes_, self.n_features_in_ = cohort.classes, cohort.real.X.shape[1]
        self._mean, self._scale = _inputs.fit_scaler(cohort.training_real(held_out), standardize=self.standardize)
        balanced = self.class_weight == "balanced"
        training, validation = prepare(cohort, held_out, self._standardize, augment, balanced=balanced, rng=rng)
        self._train(training, validation, rng)
        self.validation_bags_ = held_out
        return self

    def predict(self, bags: Bags) -> NDArray[Any]:
        """Most probable label of each bag, shape (B,)."""
        return self.classes_[self.predict_proba(bags).argmax(axis=1)]

    def predict_proba(self, bags: Bags) -> NDArray[np.float64]:
        """Class probabilities at ``temperature_``, without dropout, shape (B, classes)."""
        embeddings, _ = self._embed(bags)
        with single_thread():
            return self._calibrate(predict_logits(self._network, embeddings))

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
        embeddings, _ = self._embed(bags)
        n_passes = self.n_passes if n_passes is None else n_passes
        _inputs.check_count("n_passes", n_passes)
        generator = torch_generator(np.random.default_rng(self.random_state if random_state is None else random_state))
        masks = self._network.draw_masks(n_passes, generator)
        with single_thread():
            if masks is None:
                return np.tile(self._calibrate(predict_logits(self._network, embeddings)), (n_passes, 1, 1))
            return self._calibrate(predict_logits_of_passes(self._network, embeddings, masks))

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
            If what is there is no model, of a newer format, or damaged.
        """
        return _persistence.load(cls, folder, device)

    def _train(self, training: Training, validation: LabelledBags | None, rng: np.random.Generator) -> None:
        """Build and train the network, and set the temperature."""
        generator = torch_generator(rng)
        self._network = self._build_network(generator)
        plan = Plan(**{setting.name: getattr(self, setting.name) for setting in fields(Plan)})
        self.temperature_ = 1.0
        with single_thread():
            record = train(self._network, training, validation, plan, generator)
            if validation is not None and len(validation.y) >= BAGS_FOR_TEMPERATURE:
                embeddings, _ = embed_bags(self._network, validation.bags, np.asarray)
                self.temperature_ = fit_temperature(predict_logits(self._network, embeddings), validation.y)
        self.history_, self.best_epoch_, self.early_stopped_ = record.history, record.best_epoch, record.early_stopped
        self.n_epochs_ = len(record.history["epoch"])

    def _build_network(self, generator: torch.Generator) -> GatedAttentionNetwork:
        shape = {name: getattr(self, name) for name in ("hidden", "attention_hidden", "n_layers", "dropout")}
        network = GatedAttentionNetwork(self.n_features_in_, len(self.classes_), **shape, generator=generator)
        return network.to(find_device(self.device))

    def _standardize(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return _inputs.apply_scaler(X, self._mean, self._scale, clip=self.standardize)

    def _embed(self, bags: Bags) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embedding of each bag and attention of each of its entries."""
        check_is_fitted(self)
        bags = _inputs.check_bags(bags, "bags", n_features=self.n_features_in_)
        with single_thread():
            return embed_bags(self._network, bags, self._standardize)

    def _calibrate(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return softmax(logits / self.temperature_, axis=-1)
