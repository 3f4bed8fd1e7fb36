from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from repatient.views._objectives import OBJECTIVES, barlow, infonce, vicreg


@pytest.fixture
def projections():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((12, 5))
    return first, first + 0.7 * rng.standard_normal((12, 5))


def tensors(arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_infonce_is_the_cross_entropy_of_finding_the_partner(projections):
    first, second = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in projections)
    cosines = first @ second.T / 0.5
    forth = logsumexp(cosines, axis=1) - np.diag(cosines)
    back = logsumexp(cosines, axis=0) - np.diag(cosines)
    assert infonce(*tensors(projections)).item() == pytest.approx((forth.mean() + back.mean()) / 2)


def test_infonce_of_indistinguishable_rows_is_the_logarithm_of_their_number():
    same = torch.ones(7, 3)
    assert infonce(same, same).item() == pytest.approx(np.log(7))


def test_vicreg_term_by_term(projections):
    first, second = projections
    close = np.mean((first - second) ** 2)
    spread = [np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-5)).mean() for z in projections]
    apart = 0.0
    for z in projections:
        covariance = np.cov(z, rowvar=False)
        apart += sum(covariance[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 5
    expected = 25 * close + 25 * sum(spread) / 2 + apart
    assert vicreg(*tensors(projections)).item() == pytest.approx(expected)


def test_vicreg_punishes_collapse():
    collapsed = torch.zeros(8, 4)
    assert vicreg(collapsed, collapsed).item() == pytest.approx(25 * (1 - np.sqrt(1e-5)))


def test_barlow_is_the_distance_of_the_correlation_from_the_identity(projections):
    first, second = projections
    correlation = np.corrcoef(first, second, rowvar=False)[:5, 5:]
    diagonal = np.diag(correlation)
    expected = ((1 - diagonal) ** 2).sum() + 5e-3 * ((correlation**2).sum() - (diagonal**2).sum())
    assert barlow(*tensors(projections)).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_partners_score_better_than_strangers_and_gradients_reach_both(name):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(64, 4, generator=generator, requires_grad=True)
    second = (first.detach() + 0.1 * torch.randn(64, 4, generator=generator)).requires_grad_()
    loss = OBJECTIVES[name](first, second)
    assert loss < OBJECTIVES[name](first, second.roll(1, 0))
    loss.backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0
