"""Embeddings of bags for training: by pieces with a gradient written out on the CPU, by segments elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from repatient.mil._network import per_half
from repatient.mil._pieces import MAX_ROWS, Piece, cut
from repatient.mil._pooling import softmax_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.mil._network import GatedAttentionNetwork

    Embedding: TypeAlias = "Callable[[NDArray[np.int64], NDArray[np.int64]], Tensor]"


def embedding_of(network: GatedAttentionNetwork, cells: Tensor) -> Embedding:
    """What is fastest on the device of the network."""
    return (PieceEmbedding if cells.device.type == "cpu" else SegmentEmbedding)(network, cells)


class SegmentEmbedding:
    """A batch of bags as one matrix of cells, pooled by scattered sums: few, large operations."""

    def __init__(self, network: GatedAttentionNetwork, cells: Tensor) -> None:
        self.network, self.cells = network, cells

    def __call__(self, rows: NDArray[np.int64], indptr: NDArray[np.int64]) -> Tensor:
        """Embeddings (B, hidden) of the bags ``rows[indptr[b]:indptr[b + 1]]``, none of them empty."""
        device = self.cells.device
        instances = self.cells[torch.from_numpy(rows).to(device)]
        return self.network.embed(instances, torch.from_numpy(np.diff(indptr)).to(device))


class PieceEmbedding:
    """The same in pieces of rows that stay in the cache, in memory that all batches share.

    Everything of a piece is kept features by rows, so that each step is a plain matrix product or runs over contiguous
    memory, and cells that stand beside each other are read where they are.
    """

    def __init__(self, network: GatedAttentionNetwork, cells: Tensor, *, max_rows: int = MAX_ROWS) -> None:
        self.network, self.cells, self.max_rows = network, cells, max_rows
        self.n_calls = 0
        self._memory: dict[str, Tensor] = {}
        # The rows that were gathered last, which the way back asks for again.
        self._gathered: Tensor | None = None

    def __call__(self, rows: NDArray[np.int64], indptr: NDArray[np.int64]) -> Tensor:
        """Embeddings (B, hidden) of the bags ``rows[indptr[b]:indptr[b + 1]]``, none of them empty.

        The gradient can be had until the next call.
        """
        gates, score = self.network.gates, self.network.score
        encoder = [parameter for layer in self.network.encoder for parameter in (layer.weight, layer.bias)]
        # The bias of the score is left out: a softmax does not see it.
        apply: Callable[..., Tensor] = _Embed.apply
        return apply(self, rows, indptr, *encoder, gates.weight, gates.bias, score.weight)

    def matrix(self, name: str, n_rows: int, n_columns: int) -> Tensor:
        """A matrix of undefined content in memory that grows but is never given back."""
        held = self._memory.get(name)
        if held is None or len(held) < n_rows * n_columns:
            held = self._memory[name] = self.cells.new_empty(n_rows * n_columns)
        return held[: n_rows * n_columns].view(n_rows, n_columns)

    def locate(self, rows: NDArray[np.int64]) -> slice | Tensor:
        """Rows of a piece as a slice if they follow each other, else as they are."""
        first, last = int(rows[0]), int(rows[-1])
        if last - first == len(rows) - 1 and bool(np.all(rows[1:] - rows[:-1] == 1)):
            return slice(first, last + 1)
        return torch.from_numpy(rows)

    def read(self, where: slice | Tensor) -> Tensor:
        """Cells of a piece, (rows, d): a view of a slice, else gathered."""
        if isinstance(where, slice):
            return self.cells[where]
        gathered = self.matrix("cells", len(where), self.cells.shape[1])
        if where is not self._gathered:
            torch.index_select(self.cells, 0, where, out=gathered)
            self._gathered = where
        return gathered


class _Embed(torch.autograd.Function):
    """Encoder, gated attention and pooling of a batch (Ilse et al. 2018, equations 7 and 9)."""

    @staticmethod
    def forward(
        ctx: Any, embedding: PieceEmbedding, rows: NDArray[np.int64], indptr: NDArray[np.int64], *weights: Tensor
    ) -> Tensor:
        ctx.batch = _Batch(embedding, rows, indptr, weights)
        return ctx.batch.embed()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *ctx.batch.gradients(gradients[0]))


class _Batch:
    """One batch on its way forth and back."""

    def __init__(
        self,
        embedding: PieceEmbedding,
        rows: NDArray[np.int64],
        indptr: NDArray[np.int64],
        weights: tuple[Tensor, ...],
    ) -> None:
        embedding.n_calls += 1
        self.call, self.embedding, self.indptr = embedding.n_calls, embedding, indptr
        self.weights = weights
        *encoder, self.gates_weight, self.gates_bias, self.score_weight = weights
        self.layers = list(zip(encoder[::2], encoder[1::2], strict=True))
        self.pieces = cut(indptr, max_rows=embedding.max_rows)
        self.cells = [embedding.locate(rows[piece.start : piece.stop]) for piece in self.pieces]
        self.n_gates = self.score_weight.shape[1]
        self.gates = embedding.matrix("gates", 2 * self.n_gates, len(rows))
        self.hidden = [
            embedding.matrix(f"hidden {number}", len(bias), len(rows)) for number, (_, bias) in enumerate(self.layers)
        ]

    def embed(self) -> Tensor:
        """Encode all pieces, then pool them."""
        scores = self.gates.new_empty(self.gates.shape[1])
        # tanh(v) = 2 sigmoid(2 v) - 1: one sigmoid for both halves of the gates.
        double = per_half(self.gates_bias, 2.0, 1.0)[:, None]
        gates_weight, gates_bias = self.gates_weight * double, self.gates_bias[:, None] * double
        for piece, where in zip(self.pieces, self.cells, strict=True):
            below = self.embedding.read(where).T
            for (weight, bias), hidden in zip(self.layers, self.hidden, strict=True):
                below = torch.addmm(bias[:, None], weight, below, out=piece.view(hidden)).relu_()
            gates = torch.addmm(gates_bias, gates_weight, below, out=piece.view(self.gates)).sigmoid_()
            value, gate = gates.chunk(2)
            product = torch.mul(value, gate, out=self.embedding.matrix("gated", self.n_gates, piece.n_rows))
            gated = product.mul_(2.0).sub_(gate)
            torch.mv(gated.T, self.score_weight[0], out=scores[piece.start : piece.stop])
        return self._pool(torch.from_numpy(softmax_within(scores.numpy(), self.indptr)))

    def _pool(self, attention: Tensor) -> Tensor:
        self.attention = [piece.weights_of_bags(attention, self.indptr) for piece in self.pieces]
        last = self.hidden[-1]
        self.pooled = last.new_zeros((len(self.indptr) - 1, last.shape[0]))
        for piece, attention_of_piece in zip(self.pieces, self.attention, strict=True):
            self.pooled[piece.bags].addmm_(attention_of_piece, piece.view(last).T)
        return self.pooled.clone()

    def gradients(self, upstream: Tensor) -> list[Tensor]:
        """Gradients of the weights, given that of the embeddings; uses up what the way forth has left."""
        if self.embedding.n_calls != self.call:
            msg = "The gradient of an earlier batch was asked for; its memory belongs to a later one by now."
            raise RuntimeError(msg)
        # Another way back would find its memory used up.
        self.call = -1
        gradients = [torch.zeros_like(weight) for weight in self.weights]
        *encoder, gates_weight, gates_bias, score_weight = gradients
        # The factors that all rows share wait for the end: the score's weights, 4 of the derivative of 2 sigmoid(2 v).
        shared = (per_half(self.gates_bias, 4.0, 1.0) * self.score_weight[0].repeat(2))[:, None]
        gates_to_hidden = (self.gates_weight * shared).T.contiguous()
        # What the softmax takes off: the mean of upstream @ hidden over the bag.
        means = (self.pooled * upstream).sum(dim=1, keepdim=True)
        for piece, where, attention in zip(self.pieces, self.cells, self.attention, strict=True):
            hidden, up = piece.view(self.hidden[-1]), upstream[piece.bags]
            of_scores = torch.sum(attention * (up @ hidden - means[piece.bags]), dim=0)
            of_gates = self._of_gates(piece, of_scores, score_weight)
            gates_weight.addmm_(of_gates, hidden.T)
            gates_bias.add_(of_gates.sum(dim=1))
            of_hidden = torch.mm(
                gates_to_hidden, of_gates, out=self.embedding.matrix("of hidden", len(hidden), piece.n_rows)
            )
            self._of_encoder(piece, where, of_hidden.addmm_(up.T, attention), encoder)
        gates_weight.mul_(shared)
        gates_bias.mul_(shared[:, 0])
        return gradients

    def _of_gates(self, piece: Piece, of_scores: Tensor, score_weight: Tensor) -> Tensor:
        """Gradient of the gates before the sigmoid but for the shared factors; adds that of the score's weights."""
        value, gate = piece.view(self.gates).chunk(2)
        of_gates = self.embedding.matrix("of gates", 2 * self.n_gates, piece.n_rows)
        of_value, of_gate = of_gates.chunk(2)
        product = torch.mul(value, gate, out=of_value)
        gated = torch.sub(product, gate, alpha=0.5, out=of_gate).mul_(2.0)
        score_weight[0].addmv_(gated, of_scores)
        torch.addcmul(product, product, value, value=-1.0, out=of_value)
        torch.addcmul(gated, gated, gate, value=-1.0, out=of_gate)
        return of_gates.mul_(of_scores)

    def _of_encoder(self, piece: Piece, where: slice | Tensor, of_hidden: Tensor, encoder: list[Tensor]) -> None:
        """Add the gradients of the encoder's layers, last one first."""
        for number in reversed(range(len(self.layers))):
            # The sign of what the rectifier let through is 1, of what it stopped 0.
            of_hidden.mul_(piece.view(self.hidden[number]).sign_())
            below = piece.view(self.hidden[number - 1]).T if number else self.embedding.read(where)
            encoder[2 * number].addmm_(of_hidden, below)
            encoder[2 * number + 1].add_(of_hidden.sum(dim=1))
            if number:
                of_hidden = self.layers[number][0].T @ of_hidden
