"""Training of the attention network."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch.nn import functional as F

from repatient._progress import progress_bar
from repatient.mil._adamw import FlatAdamW
from repatient.mil._embedding import embedding_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.mil._bags import Bags
    from repatient.mil._embedding import Embedding
    from repatient.mil._network import GatedAttentionNetwork

TEMPERATURE_BOUNDS = (0.25, 4.0)
PRIOR_SD = 0.5
BAGS_AT_A_TIME = 16


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    progress: bool | None


@dataclass
class Record:
    """What happened in each epoch, and which epoch was kept."""

    history: dict[str, list[float]] = field(
        default_factory=lambda: {
            "epoch": [],
            "train_loss": [],
            "validation_loss": [],
            "validation_balanced_accuracy": [],
        }
    )
    best_epoch: int = 0
    early_stopped: bool = False

    def add(self, epoch: int, train_loss: float, validation_loss: float, accuracy: float) -> None:
        for name, value in zip(self.history, (epoch, train_loss, validation_loss, accuracy), strict=True):
            self.history[name].append(value)


@dataclass(frozen=True)
class LabelledBags:
    """Bags over standardised cells with their classes (codes) and their weights in the loss."""

    bags: Bags
    y: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, bags: Bags, y: NDArray[np.int64], *, n_classes: int, balanced: bool) -> Self:
        """With ``balanced`` a bag weighs inversely to the number of bags of its class; the mean weight is 1."""
        counts = np.bincount(y, minlength=n_classes)
        weights = len(y) / (np.count_nonzero(counts) * counts[y]) if balanced else np.ones(len(y))
        return cls(bags, y, weights.astype(np.float32))


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
    training: LabelledBags,
    validation: LabelledBags | None,
    plan: Plan,
    generator: torch.Generator,
) -> Record:
    """Train in place; with a validation set, stop when its loss has not fallen for a while and keep the best weights."""
    device = network.head.weight.device
    embed = embedding_of(network, torch.from_numpy(training.bags.X).to(device))
    optimiser = FlatAdamW(network, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
    record, best_loss, best_weights = Record(), np.inf, None
    with progress_bar(desc="training", total=plan.max_epochs, enabled=plan.progress, unit="epoch") as bar:
        for epoch in range(1, plan.max_epochs + 1):
            loss = _train_epoch(network, optimiser, embed, training, plan.batch_size, generator)
            validation_loss, accuracy = (np.nan, np.nan) if validation is None else evaluate(network, embed, validation)
            if not np.isfinite(loss):
                msg = f"The loss became {loss} in epoch {epoch}; a lower learning_rate than {plan.learning_rate} helps."
                raise FloatingPointError(msg)
            record.add(epoch, loss, validation_loss, accuracy)
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
    network: GatedAttentionNetwork,
    optimiser: FlatAdamW,
    embed: Embedding,
    training: LabelledBags,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """One pass over all bags in random order; returns the mean loss."""
    n_bags = len(training.bags)
    order = torch.randperm(n_bags, generator=generator).numpy()
    bags = training.bags.take(order)
    y, weights = _on_device(network, training, order)
    # Batches of nearly equal size: a last batch of one bag would make a full step on one patient.
    bounds = np.linspace(0, n_bags, -(-n_bags // batch_size) + 1).round().astype(int)
    total = 0.0
    for start, stop in pairwise(bounds.tolist()):
        masks = network.draw_masks(stop - start, generator)
        logits = network.classify(_embed_some(embed, bags, start, stop), masks)
        losses = weights[start:stop] * F.cross_entropy(logits, y[start:stop], reduction="none")
        optimiser.step(losses.mean())
        total += float(losses.detach().sum())
    return total / n_bags


@torch.no_grad()
def evaluate(network: GatedAttentionNetwork, embed: Embedding, labelled: LabelledBags) -> tuple[float, float]:
    """Weighted mean loss and balanced accuracy, without dropout."""
    bags, n_bags = labelled.bags, len(labelled.bags)
    y, weights = _on_device(network, labelled, np.arange(n_bags))
    # A few bags at a time, so that the memory of training is large enough.
    starts = range(0, n_bags, BAGS_AT_A_TIME)
    embeddings = [_embed_some(embed, bags, start, min(start + BAGS_AT_A_TIME, n_bags)) for start in starts]
    logits = network.classify(torch.cat(embeddings))
    loss = (weights * F.cross_entropy(logits, y, reduction="none")).mean()
    correct = (logits.argmax(dim=1) == y).cpu().numpy()
    return float(loss), float(np.mean([correct[labelled.y == c].mean() for c in np.unique(labelled.y)]))


def fit_temperature(logits: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Temperature within ``TEMPERATURE_BOUNDS`` under which the labels are most probable (Guo et al. 2017).

    A normal prior of log T around 0 decides little with a hundred bags, but keeps ten bags that all happen to be right
    from asking for the lowest temperature.
    """

    def objective(log_temperature: float) -> float:
        log_likelihood = log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(y)), y].sum()
        return 0.5 * (log_temperature / PRIOR_SD) ** 2 - float(log_likelihood)

    low, high = np.log(TEMPERATURE_BOUNDS)
    return float(np.exp(minimize_scalar(objective, bounds=(low, high), method="bounded").x))


def _embed_some(embed: Embedding, bags: Bags, start: int, stop: int) -> Tensor:
    """Embeddings of some consecutive bags."""
    indptr = bags.indptr[start : stop + 1]
    return embed(bags.rows[indptr[0] : indptr[-1]], indptr - indptr[0])


def _on_device(
    network: GatedAttentionNetwork, labelled: LabelledBags, order: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Classes and weights of the bags in some order, beside the network."""
    device = network.head.weight.device
    return torch.from_numpy(labelled.y[order]).to(device), torch.from_numpy(labelled.weights[order]).to(device)
