from __future__ import annotations

import builtins

import numpy as np
import pytest

from repatient.evaluation import energy_distance
from repatient.sampling import AffineMap, transport_map

IDENTITY = AffineMap(np.eye(2), np.zeros(2))


def bent(x):
    """A shift that no affine map undoes."""
    return np.column_stack([x[:, 0], x[:, 1] + 0.6 * x[:, 0] ** 2])


def test_without_pot_the_error_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ot":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"repatient\[ot\].*moments"):
        transport_map(np.zeros((3, 2)), np.zeros((3, 2)), IDENTITY)


def test_equal_cohorts_stay_where_they_are():
    pytest.importorskip("ot")
    cells = np.random.default_rng(0).normal(size=(150, 2))
    move = transport_map(cells, cells, IDENTITY)
    np.testing.assert_allclose(move(cells), cells, atol=1e-3)


def test_a_nonlinear_shift_is_taken_off():
    pytest.importorskip("ot")
    rng = np.random.default_rng(1)
    source, target, unseen = bent(rng.normal(size=(400, 2))), rng.normal(size=(400, 2)), rng.normal(size=(400, 2))
    move = transport_map(source, target, IDENTITY)
    fresh = rng.normal(size=(400, 2))
    assert energy_distance(move(bent(unseen)), fresh) < 0.5 * energy_distance(bent(unseen), fresh)


def test_affine_first():
    pytest.importorskip("ot")
    rng = np.random.default_rng(2)
    target = rng.normal(size=(200, 2))
    move = transport_map(target * 2 + 5, target, AffineMap(np.eye(2) / 2, np.full(2, -2.5)))
    np.testing.assert_allclose(move(target * 2 + 5), target, atol=1e-3)


def test_cells_far_off_are_displaced_and_not_pulled_in():
    pytest.importorskip("ot")
    rng = np.random.default_rng(3)
    target = rng.normal(size=(300, 2))
    move = transport_map(target + 1, target, IDENTITY)
    far = np.array([[8.0, 8.0], [9.0, 7.0]])
    np.testing.assert_allclose(move(far), far - 1, atol=0.5)


def test_an_outlier_is_no_reason_to_fail():
    pytest.importorskip("ot")
    rng = np.random.default_rng(4)
    source, target = rng.normal(size=(2, 100, 2))
    source[0], target[1] = 1000, -800
    assert np.isfinite(transport_map(source, target, IDENTITY)(source)).all()
