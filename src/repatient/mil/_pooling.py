"""Prediction of many bags: every cell is encoded once, however many bags hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._network import GatedAttentionNetwork, Masks

CHUNK = 65_536


def embed_bags(
    network: GatedAttentionNetwork,
    bags: Bags,
    standardize: Callable[[NDArray], NDArray[np.float32]],
    *,
    chunk_size: int = CHUNK,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bag embeddings by sparse products, and the attention behind them.

    Parameters
    ----------
    network
        The network, on any device.
    bags
        Bags, none of them empty.
    standardize
        What turns rows of ``bags.X`` into what the network was trained on.
    chunk_size
        Cells encoded at a time.

    Returns
    -------
    embeddings
        Shape (number of bags, hidden).
    attention
        Weight of each entry of ``bags.rows`` in its bag, shape (m,).
    """
    used, entry = np.unique(bags.rows, return_inverse=True)
    hidden, scores = _encode(network, bags.X, used, standardize, chunk_size)
    attention = softmax_within(scores[entry], bags.indptr)
    weights = sparse.csr_array((attention, entry, bags.indptr), shape=(len(bags), len(used)))
    return weights @ hidden, attention


def softmax_within(scores: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """Softmax of the scores inside each bag; the highest score of the bag is taken off first, so none overflows."""
    sizes, starts = np.diff(indptr), indptr[:-1]
    weights = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), sizes))
    return weights / np.repeat(np.add.reduceat(weights, starts), sizes)


@torch.no_grad()
def predict_logits(
    network: GatedAttentionNetwork, embeddings: NDArray[np.float32], masks: Masks | None = None
) -> NDArray[np.float64]:
    """Logits of bag embeddings, in double precision, shape (number of bags, classes)."""
    on_device = torch.from_numpy(embeddings).to(network.head.weight.device)
    return network.classify(on_device, masks).cpu().numpy().astype(np.float64)


@torch.no_grad()
def _encode(
    network: GatedAttentionNetwork,
    X: NDArray,
    rows: NDArray[np.int64],
    standardize: Callable[[NDArray], NDArray[np.float32]],
    chunk_size: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings and scores of some rows, chunk by chunk."""
    hidden = np.empty((len(rows), network.head.in_features), dtype=np.float32)
    scores = np.empty(len(rows), dtype=np.float32)
    device = network.head.weight.device
    for start in range(0, len(rows), chunk_size):
        part = slice(start, start + chunk_size)
        encoded, scored = network.encode(torch.from_numpy(standardize(X[rows[part]])).to(device))
        hidden[part], scores[part] = encoded.cpu().numpy(), scored.cpu().numpy()
    return hidden, scores
