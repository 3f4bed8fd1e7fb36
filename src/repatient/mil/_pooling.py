"""Prediction of many bags: a cell is encoded once, however many bags hold it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from repatient._files._scratch import filled, is_in_file
from repatient.mil._bags import used_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._network import GatedAttentionNetwork, Masks

# Cells encoded at a time: what stays in the cache of a CPU, and what keeps another device busy.
CHUNK_ON_CPU, CHUNK_ELSEWHERE = 4096, 65_536
# Entries a cell from which on cells are encoded once for all bags instead of once for each.
SHARING = 1.25
# Pairs of a bag and a pass classified at a time.
CLASSIFIED_AT_ONCE = 65_536


def embed_bags(
    network: GatedAttentionNetwork,
    bags: Bags,
    standardize: Callable[[NDArray[Any]], NDArray[np.float32]],
    *,
    chunk_size: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bag embeddings, and the attention behind them.

    Parameters
    ----------
    network
        The network, on any device.
    bags
        Bags, none of them empty.
    standardize
        What turns rows of ``bags.X`` into what the network was trained on.
    chunk_size
        Cells encoded at a time; None for what suits the device.

    Returns
    -------
    embeddings
        Shape (number of bags, hidden).
    attention
        Weight of each entry of ``bags.rows`` in its bag, shape (m,).
    """
    if chunk_size is None:
        chunk_size = CHUNK_ON_CPU if network.head.weight.device.type == "cpu" else CHUNK_ELSEWHERE
    used, place = used_rows(bags)
    encode = partial(_encode, network, bags.X, standardize=standardize, chunk_size=chunk_size)
    if len(bags.rows) >= SHARING * len(used):
        hidden, scores = encode(used, in_file=is_in_file(bags.X))
        return _pool(hidden, scores, place[bags.rows], bags.indptr)
    # Few cells are in several bags: encode bag after bag and keep no cell's embedding.
    groups = [
        _pool(*encode(bags.rows[bounds[0] : bounds[-1]]), np.arange(bounds[-1] - bounds[0]), bounds - bounds[0])
        for bounds in _groups_of_bags(bags.indptr, chunk_size)
    ]
    embeddings, attention = zip(*groups, strict=True)
    return np.concatenate(embeddings), np.concatenate(attention)


def encode_entries(
    network: GatedAttentionNetwork, bags: Bags, standardize: Callable[[NDArray[Any]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Embedding of the cell of each entry of ``bags.rows``, (m, hidden)."""
    used, place = used_rows(bags)
    return _encode(network, bags.X, used, standardize, CHUNK_ON_CPU)[0][place[bags.rows]]


def _groups_of_bags(indptr: NDArray[np.int64], max_rows: int) -> Iterator[NDArray[np.int64]]:
    """Bounds of the bags in groups of consecutive ones, at most so many rows together or a single bag."""
    first = 0
    while first < len(indptr) - 1:
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + max_rows, side="right")) - 1)
        yield indptr[first : last + 1]
        first = last


def _pool(
    hidden: NDArray[np.float32], scores: NDArray[np.float32], entry: NDArray[np.int64], indptr: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings and attention of bags, given what is known of each cell and the cell of each entry."""
    attention = softmax_within(scores[entry], indptr)
    pooled = F.embedding_bag(
        torch.from_numpy(entry),
        torch.from_numpy(hidden),
        torch.from_numpy(indptr[:-1]),
        mode="sum",
        per_sample_weights=torch.from_numpy(attention),
    )
    return pooled.numpy(), attention


def softmax_within(scores: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """Softmax of the scores inside each bag; the highest score of the bag is taken off first, so none overflows."""
    sizes, starts = np.diff(indptr), indptr[:-1]
    weights = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), sizes))
    return weights / np.repeat(np.add.reduceat(weights, starts), sizes)


@torch.no_grad()
def predict_logits(network: GatedAttentionNetwork, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits of bag embeddings, in double precision, shape (number of bags, classes)."""
    on_device = torch.from_numpy(embeddings).to(network.head.weight.device)
    return network.classify(on_device).cpu().numpy().astype(np.float64)


@torch.no_grad()
def predict_logits_of_passes(
    network: GatedAttentionNetwork, embeddings: NDArray[np.float32], masks: Masks
) -> NDArray[np.float64]:
    """The same under each pair of masks (passes, hidden), shape (passes, number of bags, classes)."""
    on_device = torch.from_numpy(embeddings).to(network.head.weight.device)
    at_once = max(1, CLASSIFIED_AT_ONCE // max(1, len(embeddings)))
    some_passes = zip(*(mask[:, None].split(at_once) for mask in masks), strict=True)
    logits = [network.classify(on_device, some).cpu().numpy() for some in some_passes]
    return np.concatenate(logits).astype(np.float64)


@torch.no_grad()
def _encode(
    network: GatedAttentionNetwork,
    X: NDArray[Any],
    rows: NDArray[np.int64],
    standardize: Callable[[NDArray[Any]], NDArray[np.float32]],
    chunk_size: int,
    *,
    in_file: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings, in memory or a temporary file, and scores of some rows, chunk by chunk."""
    scores = np.empty(len(rows), dtype=np.float32)
    device = network.head.weight.device

    def encode_chunk(part: slice) -> NDArray[np.float32]:
        encoded, scored = network.encode(torch.from_numpy(standardize(_read(X, rows[part]))).to(device))
        scores[part] = scored.cpu().numpy()
        return encoded.cpu().numpy()

    shape = (len(rows), network.head.in_features)
    hidden = filled(encode_chunk, shape, np.float32, in_file=in_file, rows_of_a_block=chunk_size)
    return hidden, scores


def _read(X: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows, without a copy if they follow each other."""
    first = rows[0]
    in_order = rows[-1] - first == len(rows) - 1 and np.all(rows[1:] - rows[:-1] == 1)
    return X[first : first + len(rows)] if in_order else X[rows]
