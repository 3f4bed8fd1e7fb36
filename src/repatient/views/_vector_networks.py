"""Networks over vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

N_NOISE = 8


class VectorMap(nn.Module):
    """A linear map and a correction to it by one hidden layer, which begins as none.

    Parameters
    ----------
    n_in, n_out
        Features of a row.
    hidden
        Width of the hidden layers.
    dropout
        Share of hidden units dropped in training.
    """

    def __init__(self, n_in: int, n_out: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.enter = nn.Linear(n_in, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.leave = nn.Linear(hidden, n_out)
        self.dropout = dropout
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.middle(nn.functional.gelu(self.enter(x))))
        return self.linear(x) + self.leave(hidden)

    def forward_dropped(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Forward pass with dropout from a generator of its own, so that the global one stays as it is."""
        hidden = nn.functional.gelu(self.middle(nn.functional.gelu(self.enter(x))))
        kept = (torch.rand(hidden.shape, generator=generator) >= self.dropout).to(x.device)
        return self.linear(x) + self.leave(hidden * kept / (1 - self.dropout))


class NoisyVectorMap(nn.Module):
    """Vector map that reads noise beside its row: for the direction in which one row has many partners."""

    def __init__(self, n_in: int, n_out: int, hidden: int) -> None:
        super().__init__()
        self.map = VectorMap(n_in + N_NOISE, n_out, hidden)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.map(torch.cat([x, noise], dim=1))

    def noise_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the noise for rows of a shape."""
        return (shape[0], N_NOISE)


def vector_discriminator(n_in: int, hidden: int) -> nn.Module:
    """Real or translated, one number a row."""
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, 1),
    )
