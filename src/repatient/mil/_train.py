"""Training of the attention network."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from repatient._progress import progress_bar
from repatient.mil._adamw import FlatAdamW
from repatient.mil._embedding import embedding_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from repatient.mil._batches import Batch, LabelledBags, Training
    from repatient.mil._embedding import Embedding
    from repatient.mil._network import GatedAttentionNetwork
    from repatient.mil._outcomes import Outcome

TEMPERATURE_BOUNDS = (0.25, 4.0)
PRIOR_SD = 0.5
BAGS_AT_A_TIME = 16


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    steps_per_epoch: int | None
    max_epochs: int
    patience: int
    progress: bool | None


@dataclass
class Record:
    """What happened in each epoch, and which epoch was kept."""

    history: dict[str, list[float]]
    best_epoch: int = 0
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
    training: Training,
    validation: LabelledBags | None,
    plan: Plan,
    generator: torch.Generator,
) -> Record:
    """Train in place; with a validation set, stop when its loss has not fallen for a while and keep the best weights."""
    device = network.head.weight.device
    embed = embedding_of(network, torch.from_numpy(training.cells).to(device))
    optimiser = FlatAdamW(network, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
    record, best_loss, best_weights = Record.of(network.outcome), np.inf, None
    with progress_bar(desc="training", total=plan.max_epochs, enabled=plan.progress, unit="epoch") as bar:
        for epoch in range(1, plan.max_epochs + 1):
            batches = training.batches(network, embed, plan.batch_size, plan.steps_per_epoch, generator)
            loss = _train_epoch(network, optimiser, batches, generator)
            validation_loss, score = (np.nan, np.nan) if validation is None else evaluate(network, embed, validation)
            if not np.isfinite(loss):
                msg = f"The loss became {loss} in epoch {epoch}; a lower learning_rate than {plan.learning_rate} helps."
                raise FloatingPointError(msg)
            record.add(epoch, loss, validation_loss, score)
            bar.update()
            if validation is None or validation_loss < best_loss:
                best_loss, record.best_epoch = validation_loss, epoch
                best_weights = {k: v.detach().clone() for k, v in network.state_dict().items()} if validation else None
            elif epoch - record.best_epoch >= plan.patience:
                record.early_stopped = True
                break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return record


def _train_epoch(
    network: GatedAttentionNetwork, optimiser: FlatAdamW, batches: Iterator[Batch], generator: torch.Generator
) -> float:
    """One step for each batch; returns the mean loss."""
    total, n_bags = 0.0, 0
    for batch in batches:
        masks = network.draw_masks(len(batch), generator)
        losses = batch.weights * network.outcome.losses(network.classify(batch.embeddings(), masks), batch.targets)
        optimiser.step(losses.mean())
        total += float(losses.detach().sum())
        n_bags += len(batch)
    return total / n_bags


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


def fit_temperature(outcome: Outcome, outputs: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Temperature within ``TEMPERATURE_BOUNDS`` under which the targets are most probable (Guo et al. 2017).

    A normal prior of log T around 0 decides little with a hundred bags, but keeps ten bags that all happen to be right
    from asking for the lowest temperature.
    """

    def objective(log_temperature: float) -> float:
        log_likelihood = outcome.log_likelihood(outputs, y, float(np.exp(log_temperature)))
        return 0.5 * (log_temperature / PRIOR_SD) ** 2 - log_likelihood

    low, high = np.log(TEMPERATURE_BOUNDS)
    return float(np.exp(minimize_scalar(objective, bounds=(low, high), method="bounded").x))
