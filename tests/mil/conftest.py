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


def grade(seed: int, n_bags: int = 80, size: int = 40) -> tuple[Bags, np.ndarray, np.ndarray]:
    """Bags of noise with a share of cells of a kind of their own; that share, and its grade from 0 to 3."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_bags * size, 6)).astype(np.float32)
    codes = np.repeat(np.arange(n_bags), size)
    key = rng.random(len(X)) < rng.uniform(0.1, 0.7, n_bags)[codes]
    X[key, :2] += 3.0
    share = np.bincount(codes, key) / size
    return Bags.from_codes(X, codes, n_bags), share, np.searchsorted([0.25, 0.4, 0.55], share)


@pytest.fixture(scope="session")
def graded() -> tuple[Bags, np.ndarray, np.ndarray]:
    return grade(0)


@pytest.fixture(scope="session")
def graded_test() -> tuple[Bags, np.ndarray, np.ndarray]:
    return grade(1, n_bags=200)
