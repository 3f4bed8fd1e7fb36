"""AdamW over one flat vector of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class FlatAdamW:
    """Adam with decoupled weight decay, the update of ``torch.optim.AdamW``.

    Parameters and gradients of the module become views of two vectors, so that a step costs a few operations however
    many layers there are. The first optimiser of ``torch.optim`` in a process also imports the compiler of torch, which
    takes longer than fitting a small cohort.

    Parameters
    ----------
    module
        The module to train; all of its parameters must be of one type and on one device.
    learning_rate
        Step size.
    weight_decay
        Share of a parameter, times the learning rate, that each step takes off.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization, algorithm 2.
    """

    def __init__(self, module: nn.Module, *, learning_rate: float, weight_decay: float) -> None:
        parameters = list(module.parameters())
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradients = torch.zeros_like(self.values)
        sizes = [p.numel() for p in parameters]
        for p, value, gradient in zip(parameters, self.values.split(sizes), self.gradients.split(sizes), strict=True):
            p.data, p.grad = value.view_as(p), gradient.view_as(p)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.mean, self.square, self.n_steps = torch.zeros_like(self.values), torch.zeros_like(self.values), 0

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a loss."""
        self.gradients.zero_()
        loss.backward()
        self.n_steps += 1
        self.mean.lerp_(self.gradients, 1.0 - BETA_1)
        self.square.mul_(BETA_2).addcmul_(self.gradients, self.gradients, value=1.0 - BETA_2)
        spread = self.square.sqrt().div_((1.0 - BETA_2**self.n_steps) ** 0.5).add_(EPSILON)
        self.values.mul_(1.0 - self.learning_rate * self.weight_decay)
        self.values.addcdiv_(self.mean, spread, value=-self.learning_rate / (1.0 - BETA_1**self.n_steps))
