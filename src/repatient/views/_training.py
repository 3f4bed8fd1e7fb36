"""Training of an encoder against another view of its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional as F

from repatient._progress import progress_bar
from repatient.views._augmentations import in_pose
from repatient.views._encoder_networks import pooled
from repatient.views._objectives import OBJECTIVES

if TYPE_CHECKING:
    from torch import Tensor

    from repatient.views._encoder_networks import ViewNetwork
    from repatient.views._preparation import Preparation

WARM_UP = 0.05


@dataclass(frozen=True)
class EncoderSchedule:
    """What to train for, how long and how fast."""

    objective: str
    branches: int
    distill: float
    n_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    evaluate_every: int
    patience: int
    progress: bool | None


@dataclass(frozen=True)
class Material:
    """Rows of the primary view, their partners and what the head is to predict of them, on the device.

    ``typical`` is the mean of partners that are images, as an encoder reads it, (1, C, H, W); ``trust`` the weight of all
    that partners teach, and ``teacher`` whether ``taught`` comes from a teacher instead.
    """

    rows: Tensor
    primary: Preparation
    partners: Tensor | None = None
    privileged: Preparation | None = None
    taught: Tensor | None = None
    typical: Tensor | None = None
    trust: float = 1.0
    teacher: bool = False


@dataclass
class State:
    """What training has come to: all that it needs to go on."""

    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    waited: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: dict[str, list[float]] = field(
        default_factory=lambda: {"step": [], "train_loss": [], "validation_loss": []}
    )


class Keeper(Protocol):
    """Where training is kept as it goes on."""

    def write(self, training: Training) -> None:
        """Keep it."""

    def restore(self, training: Training) -> None:
        """Bring it to where it was."""


class Training:
    """A network, its optimiser and its state on the way through a plan.

    Parameters
    ----------
    network
        What is trained, on its device.
    material
        Rows to train on.
    held_out
        Rows whose loss decides which weights are kept; None keeps the last.
    plan
        What to train for.
    generator
        Source of batches and augmentations, on the CPU.
    """

    def __init__(
        self,
        network: ViewNetwork,
        material: Material,
        held_out: Material | None,
        plan: EncoderSchedule,
        generator: torch.Generator,
    ) -> None:
        self.network, self.material, self.held_out = network, material, held_out
        self.plan, self.generator, self.state = plan, generator, State()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )

    @property
    def finished(self) -> bool:
        """Whether all steps were taken or the patience has run out."""
        return self.state.step >= self.plan.n_steps or self.early_stopped

    @property
    def early_stopped(self) -> bool:
        """Whether the patience has run out."""
        return self.state.waited >= self.plan.patience

    def run(self, checkpoint: Keeper | None) -> State:
        """Train to the end, from where the checkpoint is, and leave the network with the weights that were kept."""
        if checkpoint is not None:
            checkpoint.restore(self)
        with progress_bar(desc="encoder", total=self.plan.n_steps, enabled=self.plan.progress, unit="step") as bar:
            bar.update(self.state.step)
            while not self.finished:
                loss = self._advance()
                self._judge(loss)
                bar.update(self.state.step - bar.n)
                if checkpoint is not None:
                    checkpoint.write(self)
        if self.state.best:
            self.network.load_state_dict(self.state.best)
        self.network.eval()
        return self.state

    def _advance(self) -> float:
        """Steps up to the next evaluation; returns their mean loss."""
        self.network.train()
        end = min(self.state.step + self.plan.evaluate_every, self.plan.n_steps)
        total, n_steps = 0.0, end - self.state.step
        batch_size = min(self.plan.batch_size, len(self.material.rows))
        while self.state.step < end:
            self._set_learning_rate()
            # A fresh draw at each step needs no place in an epoch to be resumed from.
            batch = torch.randperm(len(self.material.rows), generator=self.generator)[:batch_size]
            loss = batch_loss(self.network, self.material, batch, self.plan, self.generator)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += float(loss.detach())
            self.state.step += 1
        if not math.isfinite(total):
            msg = f"The loss became {total} before step {end}; a lower learning_rate than {self.plan.learning_rate} helps."
            raise FloatingPointError(msg)
        return total / n_steps

    def _set_learning_rate(self) -> None:
        """Linear warm-up, then half a cosine down to zero."""
        done = self.state.step / self.plan.n_steps
        factor = min((done + 1 / self.plan.n_steps) / WARM_UP, 1.0) * 0.5 * (1.0 + math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * factor

    def _judge(self, train_loss: float) -> None:
        """Note the losses, and keep the weights if they are the best so far."""
        state = self.state
        validation = math.nan if self.held_out is None else held_out_loss(self.network, self.held_out, self.plan)
        for name, value in (("step", state.step), ("train_loss", train_loss), ("validation_loss", validation)):
            state.history[name].append(value)
        if self.held_out is None:
            state.best_step = state.step
        elif validation < state.best_loss:
            state.best_loss, state.best_step, state.waited = validation, state.step, 0
            state.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        else:
            state.waited += 1


def batch_loss(
    network: ViewNetwork, material: Material, batch: Tensor, plan: EncoderSchedule, generator: torch.Generator
) -> Tensor:
    """Mean disagreement of all pairs of branches, and the errors of the heads; partners count as far as they are trusted."""
    batch = batch.to(material.rows.device)
    rows = material.rows[batch]
    pose = material.primary.draw_pose(len(rows), generator)
    trunk = network.encoder[0](material.primary.augmented(rows, pose, generator))
    embedding = network.encoder[1](trunk)
    branches, weights = [network.projector(embedding)], [1.0]
    if network.privileged is None or plan.branches == 3:
        other = material.primary.draw_pose(len(rows), generator)
        branches.append(network.projector(network.encoder(material.primary.augmented(rows, other, generator))))
        weights.append(1.0)
    partners = None if material.partners is None else material.partners[batch]
    if partners is not None and network.privileged is not None and material.privileged is not None:
        # In a pose of its own: of one pose, views would agree whatever they show.
        own = material.privileged.draw_pose(len(rows), generator)
        branches.append(network.privileged(material.privileged.augmented(partners, own, generator)))
        weights.append(material.trust)
    agree = OBJECTIVES[plan.objective]
    pairs = [(i, j) for i in range(len(branches)) for j in range(i + 1, len(branches))]
    shares = torch.tensor([weights[i] * weights[j] for i, j in pairs], device=rows.device)
    losses = torch.stack([agree(branches[i], branches[j]) for i, j in pairs])
    loss = (shares * losses).sum() / shares.sum()
    if network.head is None:
        return loss
    taught = None if material.taught is None else material.taught[batch]
    return loss + plan.distill * _distillation(network, material, trunk, embedding, partners, taught, pose)


def _distillation(
    network: ViewNetwork,
    material: Material,
    trunk: Tensor,
    embedding: Tensor,
    partners: Tensor | None,
    taught: Tensor | None,
    pose: Tensor | None,
) -> Tensor:
    """Errors of the heads that predict the partner, or a teacher's features, from the embedding and from the trunk."""
    errors = []
    seen = None
    if partners is not None and material.privileged is not None and material.typical is not None:
        # What a mean partner shows in that pose says nothing of the row.
        typical = material.typical.expand(len(partners), -1, -1, -1)
        seen = in_pose(material.privileged.plain(partners) - typical, pose)
    if network.head is not None:
        target = taught if taught is not None or seen is None else pooled(seen)
        if target is not None:
            weight = 1.0 if material.teacher else material.trust
            errors.append(weight * F.mse_loss(network.head(embedding), target))
    if network.dense is not None and seen is not None:
        height, width = seen.shape[2:]
        errors.append(material.trust * F.mse_loss(network.dense(trunk)[:, :, :height, :width], seen))
    return torch.stack(errors).sum()


@torch.no_grad()
def held_out_loss(network: ViewNetwork, held_out: Material, plan: EncoderSchedule) -> float:
    """Loss of held-out rows in batches of about equal size, under the same augmentations every time."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    n_rows = len(held_out.rows)
    n_batches = math.ceil(n_rows / plan.batch_size)
    batches = torch.arange(n_rows).tensor_split(n_batches)
    losses = [float(batch_loss(network, held_out, batch, plan, generator)) for batch in batches]
    return sum(losses) / n_batches


def optimiser_arrays(training: Training) -> dict[str, Tensor]:
    """Moments and step counts of the optimiser by parameter."""
    state: dict[int, dict[str, Any]] = training.optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, moments in state.items() for name, value in moments.items()}


def restore_optimiser(training: Training, arrays: dict[str, Tensor]) -> None:
    """Put back what :func:`optimiser_arrays` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in arrays.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    training.optimiser.load_state_dict(training.optimiser.state_dict() | {"state": state})
