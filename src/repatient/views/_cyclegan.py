"""Maps between views without partners, by adversaries and cycles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from repatient._progress import progress_bar
from repatient.views._image_pool import ImagePool
from repatient.views._regression import check_finite

if TYPE_CHECKING:
    from torch import Tensor

    from repatient.views._regression import Budget, History

_EMA = 0.995
_EVALUATE_EVERY = 50


@dataclass(frozen=True)
class Weights:
    """Weights of the losses beside the adversarial one.

    Parameters
    ----------
    source_cycle, target_cycle
        Of source → target → source and of target → source → target. The source has what the target lacks, so that the
        first way back is no more than a guess.
    identity
        Of a target that is left as it is by the generator.
    pairs, links
        Of known partners and of linked features.
    """

    source_cycle: float
    target_cycle: float
    identity: float
    pairs: float
    links: float


class CycleNetworks(nn.Module):
    """Generators and discriminators of both directions; the way back reads noise."""

    def __init__(self, forth: nn.Module, back: Any, judge_source: nn.Module, judge_target: nn.Module) -> None:
        super().__init__()
        self.forth, self.back = forth, back
        self.judge_source, self.judge_target = judge_source, judge_target

    def go_back(self, target: Tensor, generator: torch.Generator) -> Tensor:
        """Translate back, with noise drawn from a generator on the CPU."""
        noise = torch.randn(self.back.noise_shape(target.shape), generator=generator)
        return self.back(target, noise.to(target.device))

    def there_and_back(self, source: Tensor, noise: torch.Generator) -> Tensor:
        """Translate, and the translation back."""
        return self.go_back(self.forth(source), noise)


@dataclass(frozen=True)
class CycleRows:
    """What is trained on, on the device.

    Parameters
    ----------
    source, target
        Rows of both views.
    pairs
        Rows that belong together (n_pairs, 2).
    linked
        Standardised linked features of the source's rows (n, links).
    linked_columns
        The target's column of each.
    """

    source: Tensor
    target: Tensor
    pairs: Tensor
    linked: Tensor
    linked_columns: Tensor


def fit_cyclegan(
    networks: CycleNetworks, rows: CycleRows, weights: Weights, budget: Budget, generator: torch.Generator
) -> History:
    """Train in turns, and leave the exponential averages of the generators' weights in the networks.

    Least-squares adversarial losses (Mao et al. 2017), cycles (Zhu et al. 2017), a pool of earlier translations
    (Shrivastava et al. 2017), and a rate that falls linearly to zero over the second half.
    """
    generators = [*networks.forth.parameters(), *networks.back.parameters()]
    judges = [*networks.judge_source.parameters(), *networks.judge_target.parameters()]
    optimisers = [torch.optim.Adam(p, lr=budget.learning_rate, betas=(0.5, 0.999)) for p in (generators, judges)]
    pools = ImagePool(generator), ImagePool(generator)
    averages = [parameter.detach().clone() for parameter in generators]
    history: History = {"step": [], "generator_loss": [], "discriminator_loss": [], "cycle_loss": []}
    sums = torch.zeros(3)
    since = 0
    with progress_bar(desc="translator", total=budget.n_steps, enabled=budget.progress, unit="step") as bar:
        for step in range(1, budget.n_steps + 1):
            for optimiser in optimisers:
                optimiser.param_groups[0]["lr"] = budget.learning_rate * min(1.0, 2 * (1 - (step - 1) / budget.n_steps))
            sums += _step(networks, rows, weights, budget.batch_size, optimisers, pools, generator)
            decay = min(_EMA, step / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(averages, [p.detach() for p in generators], 1 - decay)
            since += 1
            bar.update()
            if step % _EVALUATE_EVERY == 0 or step == budget.n_steps:
                check_finite(float(sums.sum()), step, budget.learning_rate)
                for name, value in zip(history, (step, *(sums / since).tolist()), strict=True):
                    history[name].append(float(value))
                sums, since = torch.zeros(3), 0
    with torch.no_grad():
        for parameter, average in zip(generators, averages, strict=True):
            parameter.copy_(average)
    return history


def _step(
    networks: CycleNetworks,
    rows: CycleRows,
    weights: Weights,
    batch_size: int,
    optimisers: list[torch.optim.Adam],
    pools: tuple[ImagePool, ImagePool],
    generator: torch.Generator,
) -> Tensor:
    """One step of the generators and one of the judges; returns their losses and that of the cycles."""
    chosen = _draw(len(rows.source), batch_size, generator)
    source = rows.source[chosen.to(rows.source.device)]
    target = rows.target[_draw(len(rows.target), batch_size, generator).to(rows.target.device)]
    judges = (networks.judge_source, networks.judge_target)
    for judge in judges:
        judge.requires_grad_(requires_grad=False)
    forth, back = networks.forth(source), networks.go_back(target, generator)
    source_cycle = F.l1_loss(networks.go_back(forth, generator), source)
    target_cycle = F.l1_loss(networks.forth(back), target)
    loss = _as_if(networks.judge_target(forth), 1.0) + _as_if(networks.judge_source(back), 1.0)
    loss = loss + weights.source_cycle * source_cycle + weights.target_cycle * target_cycle
    if weights.identity > 0 and _fits(target, source):
        loss = loss + weights.identity * F.l1_loss(networks.forth(target.expand_as(source)), target)
    if len(rows.pairs):
        loss = loss + weights.pairs * _pair_loss(networks.forth, rows, batch_size, generator)
    if len(rows.linked_columns):
        linked = rows.linked[chosen.to(rows.linked.device)]
        loss = loss + weights.links * _link_loss(forth[:, rows.linked_columns], linked)
    optimisers[0].zero_grad()
    loss.backward()
    optimisers[0].step()

    for judge in judges:
        judge.requires_grad_(requires_grad=True)
    real = _as_if(networks.judge_source(source), 1.0) + _as_if(networks.judge_target(target), 1.0)
    made = _as_if(networks.judge_source(pools[0].exchange(back.detach())), 0.0)
    made = made + _as_if(networks.judge_target(pools[1].exchange(forth.detach())), 0.0)
    judge_loss = (real + made) / 2
    optimisers[1].zero_grad()
    judge_loss.backward()
    optimisers[1].step()
    return torch.stack([loss, judge_loss, source_cycle + target_cycle]).detach().cpu()


def _pair_loss(forth: nn.Module, rows: CycleRows, batch_size: int, generator: torch.Generator) -> Tensor:
    pairs = rows.pairs[_draw(len(rows.pairs), batch_size, generator)].to(rows.source.device)
    return F.l1_loss(forth(rows.source[pairs[:, 0]]), rows.target[pairs[:, 1]])


def _link_loss(translated: Tensor, linked: Tensor) -> Tensor:
    """One minus the correlation over the batch, mean over links."""
    a, b = (values - values.mean(dim=0) for values in (translated, linked))
    return 1 - F.cosine_similarity(a, b, dim=0).mean()


def _as_if(judged: Tensor, wanted: float) -> Tensor:
    return ((judged - wanted) ** 2).mean()


def _fits(target: Tensor, source: Tensor) -> bool:
    """Whether a target can be read as a source: images of as many channels, or of one that stands for all."""
    return target.ndim == 4 and target.shape[1] in (1, source.shape[1])


def _draw(n_rows: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Rows with replacement, so that views of any number of rows give batches of one size."""
    return torch.randint(n_rows, (batch_size,), generator=generator)
