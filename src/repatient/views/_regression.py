"""Maps learnt from rows whose targets are known."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch.nn import functional as F

from repatient._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from repatient.views._vector_networks import VectorMap

_PENALTIES = tuple(np.logspace(-2, 5, 15))
_HELD_OUT = 0.2
_FEWEST_HELD_OUT = 10
_EVALUATE_EVERY = 50
_SHIFT = 2
_WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Budget:
    """How long and how fast to train."""

    n_steps: int
    batch_size: int
    learning_rate: float
    progress: bool | None


History = dict[str, list[float]]


def fit_vectors(
    network: VectorMap,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    budget: Budget,
    generator: torch.Generator,
    *,
    margin: float = 0.0,
) -> History:
    """Ridge regression for the linear part, then steps on the correction; the step best on held-out rows is kept.

    Weights of the linear part are set by the closed form with the penalty that leave-one-out prefers, and stay. The
    correction is left out unless it lowers the loss of held-out rows by more than ``margin``, a share of it.
    """
    ridge = RidgeCV(alphas=_PENALTIES).fit(x.astype(np.float64), y.astype(np.float64))
    device = network.linear.weight.device
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(np.atleast_2d(ridge.coef_).astype(np.float32)))
        network.linear.bias.copy_(torch.from_numpy(np.atleast_1d(ridge.intercept_).astype(np.float32)))
    network.linear.requires_grad_(requires_grad=False)
    training, held_out = _split(len(x), generator)
    xs, ys = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def loss_of(batch: Tensor) -> Tensor:
        chosen = training[batch].to(device)
        return F.mse_loss(network.forward_dropped(xs[chosen], generator), ys[chosen])

    def validate() -> float:
        return float(F.mse_loss(network(xs[held_out.to(device)]), ys[held_out.to(device)]))

    return _train(network, len(training), loss_of, validate if len(held_out) else None, budget, generator, margin)


def fit_images(
    network: nn.Module, x: NDArray[np.float32], y: NDArray[np.float32], budget: Budget, generator: torch.Generator
) -> History:
    """Steps on the absolute error of pairs that are flipped and shifted together."""
    device = next(network.parameters()).device
    training, held_out = _split(len(x), generator)
    xs, ys = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)

    def loss_of(batch: Tensor) -> Tensor:
        chosen = training[batch].to(device)
        seen, wanted = _moved_together(xs[chosen], ys[chosen], generator)
        return F.l1_loss(network(seen), wanted)

    def validate() -> float:
        return float(F.l1_loss(network(xs[held_out.to(device)]), ys[held_out.to(device)]))

    return _train(network, len(training), loss_of, validate if len(held_out) else None, budget, generator)


def _train(
    network: nn.Module,
    n_rows: int,
    loss_of: Callable[[Tensor], Tensor],
    validate: Callable[[], float] | None,
    budget: Budget,
    generator: torch.Generator,
    margin: float = 0.0,
) -> History:
    """Steps under a rate that falls to zero; with ``validate`` the best weights so far, the first ones too, are kept."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=budget.learning_rate, weight_decay=_WEIGHT_DECAY)
    history: History = {"step": [], "train_loss": [], "validation_loss": []}
    best_loss, best = (1.0 - margin) * _judged(network, validate), copy.deepcopy(network.state_dict())
    since, total = 0, 0.0
    with progress_bar(desc="translator", total=budget.n_steps, enabled=budget.progress, unit="step") as bar:
        for step in range(1, budget.n_steps + 1):
            optimiser.param_groups[0]["lr"] = budget.learning_rate * (1 - (step - 1) / budget.n_steps)
            batch = torch.randperm(n_rows, generator=generator)[: budget.batch_size]
            loss = loss_of(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total, since = total + float(loss.detach()), since + 1
            bar.update()
            if step % _EVALUATE_EVERY and step < budget.n_steps:
                continue
            mean_loss = check_finite(total / since, step, budget.learning_rate)
            validation = _judged(network, validate)
            for name, value in zip(history, (step, mean_loss, validation), strict=True):
                history[name].append(value)
            if validation < best_loss:
                best_loss, best = validation, copy.deepcopy(network.state_dict())
            since, total = 0, 0.0
    if validate is not None:
        network.load_state_dict(best)
    return history


@torch.no_grad()
def _judged(network: nn.Module, validate: Callable[[], float] | None) -> float:
    if validate is None:
        return np.nan
    network.eval()
    loss = validate()
    network.train()
    return loss


def check_finite(loss: float, step: int, learning_rate: float) -> float:
    """Pass on a loss that is a number."""
    if not np.isfinite(loss):
        msg = f"The loss became {loss} before step {step}; a lower learning_rate than {learning_rate} helps."
        raise FloatingPointError(msg)
    return loss


def _moved_together(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip half of the pairs, and shift all of the batch by up to two pixels."""
    flipped = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)[:, None, None, None]
    down, right = (int(torch.randint(-_SHIFT, _SHIFT + 1, (1,), generator=generator)) for _ in range(2))
    moved = []
    for images in (x, y):
        shifted = torch.roll(images, (down, right), dims=(2, 3))
        moved.append(torch.where(flipped, shifted.flip(3), shifted))
    return moved[0], moved[1]


def _split(n_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows to judge by; none of the latter where there are too few."""
    order = torch.randperm(n_rows, generator=generator)
    n_held_out = int(_HELD_OUT * n_rows)
    n_held_out = n_held_out if n_held_out >= _FEWEST_HELD_OUT else 0
    return order[n_held_out:], order[:n_held_out]
