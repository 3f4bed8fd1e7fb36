from __future__ import annotations

import numpy as np
import pytest

from repatient.mil import Bags


def plant(seed: int, n_bags: int = 60, size: int = 20) -> tuple[Bags, np.ndarray]:
    """Bags of noise; in those of class "case" a tenth of the cells are of a kind of their own."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_bags * size, 6)).astype(np.float32)
    codes = np.repeat(np.arange(n_bags), size)
    y = np.where(np.arange(n_bags) % 2, "case", "control")
    key = (np.arange(len(X)) % size < size // 10) & (y[codes] == "case")
    X[key, :2] += 3.0
    return Bags.from_codes(X, codes, n_bags), y


@pytest.fixture(scope="session")
def planted() -> tuple[Bags, np.ndarray]:
    return plant(0)


@pytest.fixture(scope="session")
def planted_test() -> tuple[Bags, np.ndarray]:
    return plant(1)
