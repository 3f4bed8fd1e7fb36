from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from repatient.mil import Bags


@dataclass
class Cohort:
    """Bags whose cells carry the number of their row, in three classes; the last bags are not to be used."""

    everyone: Bags
    bags: Bags
    y: np.ndarray
    groups: np.ndarray
    classes: np.ndarray
    components: np.ndarray

    def bind(self, augmenter):
        return augmenter.bind(self.bags, self.y, self.classes, self.groups)

    def step(self, augmenter, chosen=None, seed=0):
        chosen = np.arange(len(self.y)) if chosen is None else np.asarray(chosen)
        return self.bind(augmenter)(chosen, np.random.default_rng(seed), self.score)

    def score(self, bags):
        """The higher the row, the higher its score."""
        return bags.X[bags.rows, 0].astype(np.float32)

    def sources(self, bags):
        """Bag of the cohort that each entry comes from; -1 for one that is not to be used."""
        assert bags.X is self.bags.X
        owner = np.full(len(bags.X), -1)
        owner[self.bags.rows] = np.repeat(np.arange(len(self.bags)), self.bags.sizes)
        return owner[bags.rows]


@pytest.fixture
def cohort() -> Cohort:
    rng = np.random.default_rng(0)
    sizes = rng.integers(40, 121, size=26)
    codes = rng.permutation(np.repeat(np.arange(26), sizes))
    X = np.column_stack([np.arange(len(codes)), rng.normal(size=(len(codes), 4))])
    everyone = Bags.from_codes(X, codes, 26)
    y = np.r_[np.zeros(11, int), np.ones(6, int), np.full(3, 2)]
    components = np.where(rng.random(len(codes)) < 0.5, np.append(y, [0] * 6)[codes], rng.integers(0, 5, len(codes)))
    return Cohort(everyone, everyone.take(np.arange(20)), y, np.arange(20) // 2, np.array(["a", "b", "c"]), components)
