"""What all models of bags have in common: parameters, training, attention, and files."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_integer
from repatient._device import find_device
from repatient._files._model_folder import with_nan, without_nan
from repatient._files._networks import network_of
from repatient._files._read import boolean, check_values, history
from repatient._files._scratch import blocks
from repatient._messages import warn
from repatient.mil import _inputs
from repatient.mil._augment import Augmented
from repatient.mil._estimator import NetworkEstimator
from repatient.mil._missing import Shift, shift_missing
from repatient.mil._network import GatedAttentionNetwork, torch_generator
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._persistence import array_of, under
from repatient.mil._pooling import embed_bags, encode_entries, predict_logits, predict_logits_of_passes
from repatient.mil._preparation import hold_out, prepare
from repatient.mil._train import UNLEARNT, Schedule, check_temperature, fit_temperature, single_thread, train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags
    from repatient.mil._batches import LabelledBags, TrainingBatches
    from repatient.mil._inputs import TrainingBags
    from repatient.mil._outcomes import Outcome
    from repatient.mil._split import Strata

BAGS_FOR_TEMPERATURE = 10
# Places between the mean embedding and that of a bag at which the head's slope is taken.
N_PLACES = 32
# What is learnt besides arrays, and what each value has to be where it comes from a file.
FITTED = {
    "n_epochs_": check_integer,
    "best_epoch_": check_integer,
    "early_stopped_": boolean,
    "temperature_": check_temperature,
    "n_features_in_": check_integer,
}


class BagModel(NetworkEstimator):
    """Gated attention over the cells of a patient, whatever is predicted.

    Parameters and attributes are those of :class:`repatient.mil.MILClassifier`.
    """

    outcome: ClassVar[str]

    def attention(self, bags: Bags) -> NDArray[np.float32]:
        """Share of each entry of ``bags.rows`` in the attention of its bag, shape (m,), sum 1 in every bag."""
        return self._embed(bags)[1]

    def contributions(self, bags: Bags) -> NDArray[np.float64]:
        """What each entry of ``bags.rows`` contributes to each score of its bag.

        The pooled embedding of a bag is a sum over its cells, and the head is followed on the straight way from the mean
        embedding of the training bags, which has the score ``intercept_``, to that of the bag.

        Returns
        -------
        Shape (m, K): a column a class, or a single one for the grade or the value. Those of a bag sum with
        ``intercept_`` to its :meth:`decision_function`.

        References
        ----------
        Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks.
        """
        embeddings, attention = self._embed(bags)
        with single_thread():
            slopes = self._slopes(embeddings)
            hidden = encode_entries(self._network, bags, self._standardize)
        bag = np.repeat(np.arange(len(bags)), bags.sizes)
        result = np.empty((len(bag), slopes.shape[1]))
        centre = self._network.centre.cpu().numpy()
        for part in blocks(len(bag)):
            result[part] = np.einsum("mh,mkh->mk", hidden[part] - centre, slopes[bag[part]])
        result *= attention[:, None]
        # What a sum over few places leaves of the way goes evenly to all cells.
        rest = (
            self._as_scores(self._outputs(bags)) - self.intercept_ - np.add.reduceat(result, bags.indptr[:-1], axis=0)
        )
        return result + (rest / bags.sizes[:, None])[bag]

    def decision_function(self, bags: Bags) -> NDArray[np.float64]:
        """Scores (B, K), which contributions and ``intercept_`` sum to: logits of classes at ``temperature_``."""
        return self._as_scores(self._outputs(bags))

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """Scores of a bag with the mean embedding of the training bags, (K,)."""
        check_is_fitted(self)
        return self._as_scores(predict_logits(self._network, self._network.centre.cpu().numpy()[None]))[0]

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold beside the parameters: a description for JSON, and arrays."""
        arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in self._network.state_dict().items()}
        arrays |= {"mean": self._mean, "scale": self._scale, "validation_bags": self.validation_bags_}
        fitted = {name: getattr(self, name) for name in FITTED} | {"history": without_nan(self.history_)}
        return {**self._targets(), "fitted": fitted}, arrays

    def restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of :meth:`state`, for a model with the parameters that were saved."""
        self._read_targets(content)
        fitted = content["fitted"]
        check_values(fitted, FITTED | {"history": history}, "fitted")
        self.history_ = with_nan(fitted["history"])
        for name in FITTED:
            setattr(self, name, fitted[name])
        self._mean, self._scale = _inputs.stored_scaler(arrays, self.n_features_in_)
        self.validation_bags_ = array_of(arrays, "validation_bags", None)
        weights = under(arrays, "network.")
        for name in weights:
            array_of(weights, name, *[None] * weights[name].ndim)
        network = network_of(lambda: self._make_network(self._outcome_to_load(), torch.Generator()), weights)
        self._network = network.to(find_device(self.device))

    def check_params(self) -> None:
        """Raise on a parameter that is out of its range."""
        _inputs.check_parameters(self.get_params())

    @abstractmethod
    def _outcome_to_train(self, cohort: TrainingBags, held_out: NDArray[np.int64]) -> Outcome:
        """What the network ends in, given the targets of training."""

    @abstractmethod
    def _outcome_to_load(self) -> Outcome:
        """The same for weights that come from a file."""

    @abstractmethod
    def _as_scores(self, outputs: Any) -> Any:
        """Scores (B, K), one of each class or one for a grade or a value, from outputs of the network (or tensors)."""

    @abstractmethod
    def _targets(self) -> dict[str, Any]:
        """What a file has to say of the targets."""

    @abstractmethod
    def _read_targets(self, content: dict[str, Any]) -> None:
        """The inverse."""

    def _fit(self, cohort: TrainingBags, strata: Strata, augment: Augmenter | None, *, balanced: bool) -> Self:
        """Train on a cohort that was checked, and hold out a share of each stratum."""
        rng = np.random.default_rng(self.random_state)
        held_out = hold_out(strata, cohort.groups, self.validation_fraction, self.n_steps, rng)
        outcome = self._outcome_to_train(cohort, held_out)
        self.n_features_in_ = cohort.real.X.shape[1]
        self._mean, self._scale = _inputs.fit_scaler(cohort.training_real(held_out), standardize=self.standardize)
        training, validation = prepare(cohort, held_out, self._standardize, augment, balanced=balanced, rng=rng)
        self._train(training, validation, outcome, rng)
        self.validation_bags_ = held_out
        return self

    def _train(
        self, training: TrainingBatches, validation: LabelledBags | None, outcome: Outcome, rng: np.random.Generator
    ) -> None:
        """Build and train the network, and set the temperature."""
        generator = torch_generator(rng)
        self._network = self._make_network(outcome, generator).to(find_device(self.device))
        plan = Schedule(**{setting.name: getattr(self, setting.name) for setting in fields(Schedule)})
        self.temperature_ = 1.0
        self.missing_shifts_: list[Shift] = []
        with single_thread():
            record = train(self._network, training, validation, plan, generator)
            if isinstance(outcome, ClassOutcome) and isinstance(training, Augmented):
                self.missing_shifts_ = shift_missing(self._network, training, generator)
            if validation is not None and len(validation.y) >= BAGS_FOR_TEMPERATURE:
                embeddings, _ = embed_bags(self._network, validation.bags, np.asarray)
                outputs = predict_logits(self._network, embeddings)
                self.temperature_ = fit_temperature(outcome, outputs, validation.y)
        self.history_, self.best_epoch_, self.early_stopped_ = record.history, record.best_epoch, record.early_stopped
        self.n_epochs_ = len(record.history["epoch"])
        loss = record.history["train_loss"][record.best_epoch - 1]
        if loss > record.guessing - UNLEARNT * abs(record.guessing):
            msg = (
                f"Training ended near guessing: its loss is {loss:.3f}, that of the same prediction for everybody "
                f"{record.guessing:.3f}. More gradient steps (n_steps={self.n_steps}), a lower dropout or less weight "
                "decay may help; or there is nothing to be learnt from these bags."
            )
            warn(msg)

    def _slopes(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean slope of each score between the mean training embedding and that of each bag, (B, K, hidden)."""
        network = self._network
        places, weights = np.polynomial.legendre.leggauss(N_PLACES)
        centre = network.centre
        end = torch.from_numpy(embeddings).to(centre.device)
        total = torch.zeros(())
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
            way = (centre + float(place) * (end - centre)).requires_grad_()
            scores = self._as_scores(network.classify(way))
            slopes = [torch.autograd.grad(column.sum(), way, retain_graph=True)[0] for column in scores.T]
            total = total + float(weight) * torch.stack(slopes, dim=1)
        return total.detach().cpu().numpy().astype(np.float64)

    def _make_network(self, outcome: Outcome, generator: torch.Generator) -> GatedAttentionNetwork:
        shape = {name: getattr(self, name) for name in ("hidden", "attention_hidden", "n_layers", "dropout")}
        return GatedAttentionNetwork(
            self.n_features_in_, outcome.n_outputs, **shape, generator=generator, outcome=outcome
        )

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
        check_integer(n_passes, "n_passes")
        generator = torch_generator(np.random.default_rng(self.random_state if random_state is None else random_state))
        masks = self._network.draw_masks(n_passes, generator)
        with single_thread():
            if masks is None:
                return np.tile(predict_logits(self._network, embeddings), (n_passes, 1, 1))
            return predict_logits_of_passes(self._network, embeddings, masks)
