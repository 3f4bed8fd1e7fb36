from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient.mil._embedding import PieceEmbedding, SegmentEmbedding, embedding_of
from repatient.mil._network import GatedAttentionNetwork
from repatient.mil._pieces import cut

SIZES = np.array([1, 70, 2, 300, 1, 25, 64, 65])
INDPTR = np.r_[0, np.cumsum(SIZES)]


def make_network(n_layers: int) -> GatedAttentionNetwork:
    generator = torch.Generator().manual_seed(3)
    network = GatedAttentionNetwork(
        5, 3, hidden=16, attention_hidden=8, n_layers=n_layers, dropout=0.5, generator=generator
    ).double()
    with torch.no_grad():
        # Scores that differ, as after training; untrained ones are all equal.
        network.score.weight.normal_(generator=generator)
    return network


@pytest.fixture
def cells() -> torch.Tensor:
    return torch.randn(900, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(params=["in order", "drawn"])
def rows(request) -> np.ndarray:
    """Cells that stand beside each other, as those of real bags do, and any, as those of generated ones."""
    return np.arange(100, 100 + SIZES.sum()) if request.param == "in order" else rng().integers(0, 900, SIZES.sum())


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def by_the_book(network: GatedAttentionNetwork, x: torch.Tensor) -> torch.Tensor:
    """Embedding of a single bag after Ilse et al. (2018), equations 7 and 9."""
    h = x
    for layer in network.encoder:
        h = torch.relu(h @ layer.weight.T + layer.bias)
    v, u = (h @ network.gates.weight.T + network.gates.bias).split(8, dim=1)
    return torch.softmax((torch.tanh(v) * torch.sigmoid(u)) @ network.score.weight[0], dim=0) @ h


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("max_rows", [7, 64, 10_000])
def test_embeddings_and_gradients_are_those_of_autograd(cells, rows, n_layers, max_rows):
    network = make_network(n_layers)
    parts = [cells[torch.from_numpy(rows[a:b])] for a, b in zip(INDPTR[:-1], INDPTR[1:], strict=True)]
    expected = torch.stack([by_the_book(network, part) for part in parts])
    found = PieceEmbedding(network, cells, max_rows=max_rows)(rows, INDPTR)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    upstream = torch.from_numpy(rng().normal(size=found.shape))
    used = [parameter for module in (network.encoder, network.gates) for parameter in module.parameters()]
    used.append(network.score.weight)
    gradients = torch.autograd.grad((found * upstream).sum(), used)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * upstream).sum(), used), strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_segments_give_the_same(cells, rows):
    network = make_network(2)
    pieces, segments = PieceEmbedding(network, cells)(rows, INDPTR), SegmentEmbedding(network, cells)(rows, INDPTR)
    torch.testing.assert_close(pieces, segments, rtol=1e-12, atol=1e-13)


def test_memory_is_shared_by_batches_of_any_size(cells):
    network, rows = make_network(1), rng().integers(0, 900, SIZES.sum())
    shared = embedding_of(network, cells)
    assert isinstance(shared, PieceEmbedding)
    for start, stop in ((2, 3), (0, 8), (4, 6), (1, 7)):
        batch = rows[INDPTR[start] : INDPTR[stop]], INDPTR[start : stop + 1] - INDPTR[start]
        found, expected = shared(*batch), SegmentEmbedding(network, cells)(*batch)
        torch.testing.assert_close(found, expected)
        (ours,) = torch.autograd.grad(found.square().sum(), network.gates.weight)
        (theirs,) = torch.autograd.grad(expected.square().sum(), network.gates.weight)
        torch.testing.assert_close(ours, theirs)


def test_cells_beside_each_other_are_not_copied(cells):
    embedding = PieceEmbedding(make_network(1), cells)
    view = embedding.read(embedding.locate(np.arange(30, 50)))
    assert view.data_ptr() == cells[30].data_ptr()
    # The first and last row alone would not tell.
    swapped = np.array([30, 32, 31, 33])
    torch.testing.assert_close(embedding.read(embedding.locate(swapped)), cells[torch.from_numpy(swapped)])


def test_the_gradient_of_an_overwritten_batch_is_refused(cells):
    embedding = PieceEmbedding(make_network(1), cells)
    first = embedding(np.arange(9), np.array([0, 4, 9]))
    embedding(np.arange(5), np.array([0, 5]))
    with pytest.raises(RuntimeError):
        first.sum().backward()


def test_extreme_scores_neither_overflow_nor_vanish(cells):
    network = make_network(1)
    with torch.no_grad():
        network.score.weight.mul_(1e5)
    found = PieceEmbedding(network, cells)(np.arange(SIZES.sum()), INDPTR)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(network.gates.weight.grad).all()


@pytest.mark.parametrize(("max_rows", "max_bags"), [(1, 1), (30, 3), (70, 2), (1000, 100)])
def test_pieces_cover_every_row_once_within_their_limits(max_rows, max_bags):
    pieces = cut(INDPTR, max_rows=max_rows, max_bags=max_bags)
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == SIZES.sum()
    for piece in pieces:
        assert 1 <= piece.n_rows <= max_rows
        assert piece.bags.stop - piece.bags.start <= max_bags
        # All of its bags, or a part of its only one.
        assert INDPTR[piece.bags.start] <= piece.start < piece.stop <= INDPTR[piece.bags.stop]
        if piece.bags.stop - piece.bags.start > 1:
            assert (piece.start, piece.stop) == (INDPTR[piece.bags.start], INDPTR[piece.bags.stop])


def test_large_bags_are_cut_evenly():
    assert [piece.n_rows for piece in cut(np.array([0, 100]), max_rows=30)] == [25, 25, 25, 25]
