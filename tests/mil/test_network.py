from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient.mil import Bags, _pooling
from repatient.mil._network import GatedAttentionNetwork, pool_segments
from repatient.mil._pooling import embed_bags, predict_logits, softmax_within


def make_network(dropout: float = 0.5) -> GatedAttentionNetwork:
    generator = torch.Generator().manual_seed(3)
    network = GatedAttentionNetwork(
        5, 3, hidden=16, attention_hidden=8, n_layers=2, dropout=dropout, generator=generator
    )
    with torch.no_grad():
        # Scores that differ, as after training; untrained ones are all equal.
        network.score.weight.normal_(generator=generator)
    return network


@pytest.fixture
def bags() -> Bags:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    sizes = np.array([1, 70, 2, 300, 1, 25])
    return Bags(X, rng.integers(0, 200, sizes.sum()), np.r_[0, np.cumsum(sizes)])


def one_bag_by_the_book(network: GatedAttentionNetwork, x: torch.Tensor) -> torch.Tensor:
    """Ilse et al. (2018), equations 7 and 9, for a single bag."""
    h = x
    for layer in network.encoder:
        h = torch.relu(h @ layer.weight.T + layer.bias)
    v, u = (h @ network.gates.weight.T + network.gates.bias).split(8, dim=1)
    a = torch.softmax((torch.tanh(v) * torch.sigmoid(u)) @ network.score.weight[0] + network.score.bias, dim=0)
    return network.classify((a @ h)[None])[0]


def test_bags_of_any_size_are_scored_as_each_would_be_alone(bags):
    network = make_network()
    together = network(torch.from_numpy(bags.X[bags.rows]), torch.from_numpy(bags.sizes))
    alone = [one_bag_by_the_book(network, torch.from_numpy(bags.X[bags.take([b]).rows])) for b in range(len(bags))]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sharing", [0.0, np.inf])
@pytest.mark.parametrize("chunk_size", [7, 65_536])
def test_prediction_pools_as_the_segments_of_training_do(bags, chunk_size, sharing, monkeypatch):
    # Both ways: cells encoded once for all bags, or once for each.
    monkeypatch.setattr(_pooling, "SHARING", sharing)
    network = make_network()
    embeddings, attention = embed_bags(network, bags, np.asarray, chunk_size=chunk_size)
    np.testing.assert_allclose(np.add.reduceat(attention, bags.indptr[:-1]), 1.0, rtol=1e-5)
    expected = network(torch.from_numpy(bags.X[bags.rows]), torch.from_numpy(bags.sizes)).detach().numpy()
    np.testing.assert_allclose(predict_logits(network, embeddings), expected, atol=1e-5)


def test_pooling_starts_as_the_mean():
    generator = torch.Generator().manual_seed(3)
    network = GatedAttentionNetwork(5, 3, hidden=8, attention_hidden=4, n_layers=1, dropout=0.0, generator=generator)
    embeddings, scores = network.encode(torch.randn(9, 5, generator=generator))
    torch.testing.assert_close(pool_segments(embeddings, scores, torch.tensor([9]))[0], embeddings.mean(dim=0))


def test_extreme_scores_neither_overflow_nor_vanish():
    scores = np.array([1000.0, 999.0, -1000.0, -1001.0], dtype=np.float32)
    e = np.exp(1.0)
    expected = np.array([e / (1 + e), 1 / (1 + e)])
    np.testing.assert_allclose(softmax_within(scores, np.array([0, 2, 4])), np.tile(expected, 2), rtol=1e-6)
    pooled = pool_segments(torch.eye(4), torch.from_numpy(scores), torch.tensor([2, 2]))
    np.testing.assert_allclose(pooled.sum(dim=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(pooled[1, 2:], expected, rtol=1e-6)


def test_gradients_flow_through_the_pooling():
    embeddings = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    scores = torch.randn(9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, s: pool_segments(h, s, torch.tensor([1, 5, 3])), (embeddings, scores))


def test_dropout_masks_keep_the_mean_and_come_from_the_generator_alone():
    network = make_network(dropout=0.25)
    state = torch.get_rng_state()
    first, second = network.draw_masks(2000, torch.Generator().manual_seed(0))
    assert torch.equal(state, torch.get_rng_state())
    assert first.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert first.mean() == pytest.approx(1.0, abs=0.02)
    assert not torch.equal(first, second)
    assert make_network(dropout=0.0).draw_masks(5, torch.Generator()) is None
