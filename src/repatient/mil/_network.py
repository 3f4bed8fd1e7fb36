"""Attention network over bags of any size."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

from repatient.mil._outcomes import ClassOutcome

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from repatient.mil._outcomes import Outcome

Masks: TypeAlias = "tuple[Tensor, Tensor]"


class GatedAttentionNetwork(nn.Module):
    """Shared instance encoder, gated attention pooling, and a head that predicts the outcome.

    Parameters
    ----------
    n_features
        Features of an instance.
    n_outputs
        Outputs of the last layer: as many as classes to tell apart.
    hidden
        Width of the encoder and of the head.
    attention_hidden
        Width of the attention branch.
    n_layers
        Layers of the encoder.
    dropout
        Share of units dropped, of the bag embedding and inside the head. The encoder has no dropout, so that instances
        are encoded once for any number of Monte-Carlo passes.
    generator
        Source of the initial weights.
    outcome
        What the outputs say, and the loss; None for classes.

    References
    ----------
    Ilse, Tomczak and Welling (2018), Attention-based Deep Multiple Instance Learning, equations 7 and 9.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden: int,
        attention_hidden: int,
        n_layers: int,
        dropout: float,
        generator: torch.Generator,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        widths = [n_features, *[hidden] * n_layers]
        self.encoder = nn.ModuleList(_linear(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
        self.gates = _linear(hidden, 2 * attention_hidden, generator)
        self.score = _linear(attention_hidden, 1, generator)
        # Pooling starts as the plain mean: attention moves away from it only as far as the bags ask for.
        nn.init.zeros_(self.score.weight)
        self.head = _linear(hidden, hidden, generator)
        self.classifier = _linear(hidden, n_outputs, generator)
        self.outcome = ClassOutcome(n_outputs) if outcome is None else outcome
        # Pooled embeddings are standardised over the training bags: the mean of many cells hardly varies between patients.
        self.centre: Tensor
        self.inverse: Tensor
        self.register_buffer("centre", torch.zeros(hidden, dtype=torch.float32))
        self.register_buffer("inverse", torch.ones(hidden, dtype=torch.float32))

    def encode(self, instances: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (n, hidden) and attention scores before the softmax (n,) of instances (n, d)."""
        for layer in self.encoder:
            instances = layer(instances).relu_()
        # tanh(v) = 2 sigmoid(2 v) - 1: torch's sigmoid is several times faster than its tanh on CPU.
        double = per_half(self.gates.bias, 2.0, 1.0)
        gates = F.linear(instances, self.gates.weight * double[:, None], self.gates.bias * double).sigmoid_()
        value, gate = gates.chunk(2, dim=1)
        gated = (value * gate).mul_(2.0).sub_(gate)
        return instances, self.score(gated).squeeze(1)

    def classify(self, embeddings: Tensor, masks: Masks | None = None) -> Tensor:
        """Outputs, such as logits (..., classes), of bag embeddings (..., hidden), without the units that ``masks`` drops."""
        return self.read((embeddings - self.centre) * self.inverse, masks)

    def read(self, standardized: Tensor, masks: Masks | None = None) -> Tensor:
        """Outputs of bag embeddings that are standardised already."""
        if masks is None:
            return self.outcome(self.classifier(torch.relu(self.head(standardized))))
        return self.outcome(self.classifier(torch.relu(self.head(standardized * masks[0])) * masks[1]))

    def embed(self, instances: Tensor, sizes: Tensor) -> Tensor:
        """Embeddings (B, hidden) of bags whose instances stand one bag after the other, ``sizes`` (B,) in each."""
        return pool_segments(*self.encode(instances), sizes)

    def forward(self, instances: Tensor, sizes: Tensor, masks: Masks | None = None) -> Tensor:
        """Outputs (B, outputs) for such bags."""
        return self.classify(self.embed(instances, sizes), masks)

    def draw_masks(self, n: int, generator: torch.Generator) -> Masks | None:
        """Two dropout masks (n, hidden), scaled to keep the mean; None without dropout."""
        if self.dropout == 0.0:
            return None
        keep = 1.0 - self.dropout
        # Drawn on the CPU wherever the network is, so that a seed means the same everywhere.
        drawn = torch.rand((2, n, self.head.in_features), generator=generator, dtype=torch.float32) < keep
        first, second = drawn.to(device=self.head.weight.device, dtype=torch.float32) / keep
        return first, second


# Of an embedding's spread over the training bags: a feature that varies less is left as small as it is.
LEAST_SPREAD = 1e-3


def spread_of(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and inverse standard deviation, of embeddings over bags, (hidden,) each."""
    centre = embeddings.mean(dim=0)
    variance = (embeddings - centre).square().mean(dim=0)
    return centre, (variance + LEAST_SPREAD**2).rsqrt()


def pool_segments(embeddings: Tensor, scores: Tensor, sizes: Tensor) -> Tensor:
    """Mean of each bag's embeddings under the softmax of its scores, shape (B, hidden); no bag may be empty."""
    n_bags = len(sizes)
    bag = torch.repeat_interleave(torch.arange(n_bags, device=sizes.device), sizes, output_size=len(scores))
    highest = scores.new_full((n_bags,), -torch.inf).scatter_reduce(0, bag, scores.detach(), "amax")
    weights = torch.exp(scores - highest[bag])
    total = weights.new_zeros(n_bags).index_add(0, bag, weights)
    pooled = embeddings.new_zeros((n_bags, embeddings.shape[1])).index_add(0, bag, weights[:, None] * embeddings)
    return pooled / total[:, None]


def per_half(gates_bias: Tensor, value: float, gate: float) -> Tensor:
    """One factor for the value half of the gates, then another for the gate half, shape (2 attention_hidden,)."""
    return gates_bias.new_tensor([value, gate]).repeat_interleave(len(gates_bias) // 2)


class _EmptyLinear(nn.Linear):
    """A layer as ``nn.utils.skip_init`` makes it, without the computer algebra that it imports where it is called first."""

    def reset_parameters(self) -> None:
        """Leave the weights to whoever makes the layer."""


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Linear layer with torch's usual initial weights, without its global random state."""
    # Single precision whatever torch's default is elsewhere in the session.
    layer = _EmptyLinear(n_in, n_out, dtype=torch.float32)
    bound = n_in**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A generator of its own, seeded by another one."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))
