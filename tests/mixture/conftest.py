from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class Planted(NamedTuple):
    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@pytest.fixture
def plant() -> Callable[..., Planted]:
    """Rows of a mixture with known parameters, heaviest component first."""

    def draw(n_rows: int, n_components: int, n_dims: int, *, separation: float = 4.0, seed: int = 0) -> Planted:
        rng = np.random.default_rng(seed)
        weights = np.arange(n_components, 0, -1) + n_components
        weights = weights / weights.sum()
        means = rng.normal(size=(n_components, n_dims)) * separation
        factors = rng.normal(size=(n_components, n_dims, n_dims)) * 0.4 + np.eye(n_dims)
        labels = rng.choice(n_components, size=n_rows, p=weights)
        noise = rng.normal(size=(n_rows, n_dims))
        rows = means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)
        return Planted(rows, labels, weights, means, factors @ np.swapaxes(factors, 1, 2))

    return draw
