"""Three branches trust partners as far as they follow their rows."""

from __future__ import annotations

import numpy as np
import pytest

from repatient.views import Encoder

QUICK = {"dim": 4, "width": 16, "projection": 8, "n_steps": 2, "evaluate_every": 2, "device": "cpu", "progress": False}


def made(kind, n=200):
    """Rows, and partners that they say about half of."""
    rng = np.random.default_rng(0)
    if kind == "images":
        partners = np.kron(rng.standard_normal((n, 1, 4, 4)), np.ones((2, 2)))
        rows = partners + rng.standard_normal((n, 2, 8, 8))
    else:
        rows = rng.standard_normal((n, 6))
        partners = rows[:, :3] + rng.standard_normal((n, 3))
    return rows.astype(np.float32), partners.astype(np.float32)


def trust(rows, partners, **settings):
    return Encoder(**QUICK | {"branches": 3} | settings).fit(rows, partners).trust_


@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_partners_weigh_as_much_as_rows_say_of_them(kind):
    rows, partners = made(kind)
    order = np.random.default_rng(1).permutation(len(rows))
    assert trust(rows, partners) > 0.5
    assert trust(rows, partners[order]) < 0.1


def test_the_weight_is_the_correlation_with_the_best_prediction():
    # Rows explain half of the variance of their partners, so that the correlation is the root of a half.
    rows, partners = made("vectors", 4000)
    assert trust(rows, partners, validation_fraction=0.0) == pytest.approx(np.sqrt(0.5), abs=0.03)


def test_two_branches_and_very_few_rows_trust_their_partner():
    rows, partners = made("vectors")
    order = np.random.default_rng(1).permutation(len(rows))
    assert trust(rows, partners[order], branches=2) == 1.0
    assert trust(rows[:8], partners[:8], validation_fraction=0.0) == 1.0


def test_partners_of_one_feature_are_weighed_as_others():
    rows, partners = made("vectors", 4000)
    assert trust(rows, partners[:, :1], validation_fraction=0.0) == pytest.approx(np.sqrt(0.5), abs=0.04)
