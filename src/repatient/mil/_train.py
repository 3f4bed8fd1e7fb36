"""Training of the attention network."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from repatient._checks import check_number
from repatient._progress import progress_bar
from repatient.mil._adamw import FlatAdamW
from repatient.mil._embedding import embedding_of
from repatient.mil._network import spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._batches import Batch, LabelledBags, TrainingBatches
    from repatient.mil._embedding import Embedding
    from repatient.mil._network import GatedAttentionNetwork
    from repatient.mil._outcomes import Outcome

TEMPERATURE_BOUNDS = (0.25, 4.0)
PRIOR_SD = 0.5
BAGS_AT_A_TIME = 16
# Gradient steps of an epoch, whatever the number of bags.
EPOCH = 10
# Share of the loss of guessing by which training has to fall below it, or nothing was learnt.
UNLEARNT = 0.05
# Batches that stand for those of training where real bags do not.
STEPS_TO_SETTLE = 16


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    cells_per_step: int | None
    n_steps: int
    max_epochs: int | None
    patience: int
    progress: bool | None

    @property
    def steps(self) -> list[int]:
        """Gradient steps of each epoch."""
        n = self.n_steps if self.max_epochs is None else min(self.n_steps, EPOCH * self.max_epochs)
        return [min(EPOCH, n - done) for done in range(0, n, EPOCH)]


@dataclass
class Record:
    """What happened in each epoch, which epoch was kept, and what loss guessing would have had in it."""

    history: dict[str, list[float]]
    best_epoch: int = 0
    guessing: float = np.nan
    early_stopped: bool = False

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Nothing yet; an outcome has a score of its own."""
        return cls({name: [] for name in ("epoch", "train_loss", "validation_loss", outcome.score_name)})

    def add(self, epoch: int, train_loss: float, validation_loss: float, score: float) -> None:
        for name, value in zip(self.history, (epoch, train_loss, validation_loss, score), strict=True):
            self.history[name].append(value)


@contextmanager
def single_thread() -> Iterator[None]:
    """Torch on one thread, so that sums run in one order; the number of threads is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    network: GatedAttentionNetwork,
    training: TrainingBatches,
    validation: LabelledBags | None,
    plan: Schedule,
    generator: torch.Generator,
) -> Record:
    """Train in place; with a validation set, stop when its loss has not fallen for a while and keep the best weights."""
    device = network.head.weight.device
    embed = embedding_of(network, torch.from_numpy(training.cells).to(device))
    optimiser = FlatAdamW(network, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
    record, best_loss, best_weights = Record.of(network.outcome), np.inf, None
    with progress_bar(desc="training", total=len(plan.steps), enabled=plan.progress, unit="epoch") as bar:
        for epoch, n_steps in enumerate(plan.steps, start=1):
            batches = training.batches(network, embed, plan.batch_size, n_steps, generator)
            loss, guessing = _train_epoch(network, optimiser, batches, plan.cells_per_step, generator)
            if not np.isfinite(loss):
                msg = f"The loss became {loss} in epoch {epoch}; a lower learning_rate than {plan.learning_rate} helps."
                raise FloatingPointError(msg)
            last = validation is None and epoch == len(plan.steps)
            if validation is not None or last:
                if training.lacks_class:
                    settle_as_trained(
                        network, training.batches(network, embed, plan.batch_size, STEPS_TO_SETTLE, generator)
                    )
                else:
                    settle(network, training.real_bags, embed)
            validation_loss, score = (np.nan, np.nan) if validation is None else evaluate(network, embed, validation)
            record.add(epoch, loss, validation_loss, score)
            bar.update()
            if validation is None or validation_loss < best_loss:
                best_loss, record.best_epoch, record.guessing = validation_loss, epoch, guessing
                best_weights = {k: v.detach().clone() for k, v in network.state_dict().items()} if validation else None
            elif epoch - record.best_epoch >= plan.patience:
                record.early_stopped = True
                break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return record


def _train_epoch(
    network: GatedAttentionNetwork,
    optimiser: FlatAdamW,
    batches: Iterator[Batch],
    cells_per_step: int | None,
    generator: torch.Generator,
) -> tuple[float, float]:
    """One step for each batch; returns the mean loss, and that of guessing."""
    total, weight, n_bags = 0.0, 0.0, 0
    masses: list[NDArray[np.float64]] = []
    for batch in batches:
        masks = network.draw_masks(len(batch), generator)
        embeddings = batch.thinned(cells_per_step, generator).embeddings()
        if len(batch) > 1:
            centre, inverse = spread_of(embeddings)
            outputs = network.read((embeddings - centre) * inverse, masks)
        else:
            outputs = network.classify(embeddings, masks)
        losses = batch.weights * network.outcome.losses(outputs, batch.targets)
        optimiser.step(losses.mean())
        total += float(losses.detach().sum())
        weight += float(batch.weights.sum())
        n_bags += len(batch)
        masses.append(batch.mass())
    return total / n_bags, weight / n_bags * network.outcome.loss_of_guessing(np.sum(masses, axis=0))


@torch.no_grad()
def settle(network: GatedAttentionNetwork, bags: Bags, embed: Embedding) -> None:
    """Standardise embeddings from now on as those of the training bags ask for."""
    bounds = [bags.indptr[start : start + BAGS_AT_A_TIME + 1] for start in range(0, len(bags), BAGS_AT_A_TIME)]
    embeddings = torch.cat([embed(bags.rows[part[0] : part[-1]], part - part[0]) for part in bounds])
    network.centre, network.inverse = spread_of(embeddings) if len(bags) > 1 else (network.centre, network.inverse)


@torch.no_grad()
def settle_as_trained(network: GatedAttentionNetwork, batches: Iterator[Batch]) -> None:
    """The same as batches ask for: real bags lie on one side of the others where a class has none of them."""
    network.centre, network.inverse = spread_of(torch.cat([batch.embeddings() for batch in batches]))


@torch.no_grad()
def evaluate(network: GatedAttentionNetwork, embed: Embedding, labelled: LabelledBags) -> tuple[float, float]:
    """Weighted mean loss, and the score of the outcome, without dropout."""
    n_bags = len(labelled.bags)
    everything = labelled.batch(np.arange(n_bags), embed, network.head.weight.device)
    # A few bags at a time, so that the memory of training is large enough.
    starts = range(0, n_bags, BAGS_AT_A_TIME)
    embeddings = [everything.embeddings(slice(start, start + BAGS_AT_A_TIME)) for start in starts]
    outputs = network.classify(torch.cat(embeddings))
    loss = (everything.weights * network.outcome.losses(outputs, everything.targets)).mean()
    return float(loss), network.outcome.score(outputs.cpu().numpy().astype(np.float64), labelled.y)


def check_temperature(value: Any, name: str) -> float:
    """Accept a temperature that :func:`fit_temperature` may have found."""
    low, high = TEMPERATURE_BOUNDS
    return check_number(value, name, minimum=low, maximum=high)


def fit_temperature(
    outcome: Outcome, outputs: NDArray[np.float64], y: NDArray[np.int64], *, usual: float = 1.0
) -> float:
    """Temperature within ``TEMPERATURE_BOUNDS`` under which the targets are most probable (Guo et al. 2017).

    A normal prior of log T around that of the ``usual`` temperature decides little with a hundred bags, but keeps ten bags
    that all happen to be right from asking for the lowest temperature.
    """
    centre = np.log(usual)

    def objective(log_temperature: float) -> float:
        log_likelihood = outcome.log_likelihood(outputs, y, float(np.exp(log_temperature)))
        return 0.5 * ((log_temperature - centre) / PRIOR_SD) ** 2 - log_likelihood

    low, high = np.log(TEMPERATURE_BOUNDS)
    return float(np.exp(minimize_scalar(objective, bounds=(low, high), method="bounded").x))
