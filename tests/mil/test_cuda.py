"""Models that are trained on a GPU are those of the CPU but for rounding, and read back anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient import mixing
from repatient.mil import Bags, MILClassifier, MILOrdinalClassifier, MILRegressor, load_model
from repatient.mixture import GaussianMixture

DEVICE = "cuda"
QUICK = {"max_epochs": 5, "hidden": 16, "attention_hidden": 8, "dropout": 0.0}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no CUDA device here")


def outputs(model, bags: Bags) -> np.ndarray:
    return model.predict(bags) if isinstance(model, MILRegressor) else model.predict_proba(bags)


@pytest.mark.parametrize("kind", [MILClassifier, MILOrdinalClassifier, MILRegressor])
def test_same_as_on_the_cpu(kind, graded, graded_test, tmp_path):
    y = {MILClassifier: graded[2] > 1, MILOrdinalClassifier: graded[2], MILRegressor: graded[1]}[kind]
    ours, other = (kind(device=device, **QUICK).fit(graded[0], y) for device in ("cpu", DEVICE))
    assert next(other._network.parameters()).device.type == DEVICE
    np.testing.assert_allclose(outputs(other, graded_test[0]), outputs(ours, graded_test[0]), atol=2e-3)
    other.save(tmp_path / "model")
    for device in ("cpu", DEVICE):
        again = load_model(tmp_path / "model", device=device)
        np.testing.assert_allclose(outputs(again, graded_test[0]), outputs(other, graded_test[0]), atol=1e-5)


def test_uncertainty_and_attention_come_back(planted, planted_test):
    ours, other = (MILClassifier(device=device, max_epochs=5).fit(*planted) for device in ("cpu", DEVICE))
    many = other.predict_proba_mc(planted_test[0])
    np.testing.assert_allclose(many, ours.predict_proba_mc(planted_test[0]), atol=5e-3)
    attention = other.attention(planted_test[0])
    np.testing.assert_allclose(attention, ours.attention(planted_test[0]), atol=2e-3)


def test_generated_bags_and_fresh_ones_at_every_step(planted, planted_test):
    bags, y = planted
    counts = np.random.default_rng(0).integers(0, 2, size=(len(bags.X), 10))
    generated = {"generated": Bags.from_counts(bags.X, counts), "generated_y": np.resize(["case", "control"], 10)}
    mixture = GaussianMixture(3).fit(bags.X)
    for extra in (generated, {"augment": mixing.RecipeMix(mixture.predict(bags.X))}):
        ours, other = (MILClassifier(device=device, **QUICK).fit(bags, y, **extra) for device in ("cpu", DEVICE))
        np.testing.assert_allclose(other.predict_proba(planted_test[0]), ours.predict_proba(planted_test[0]), atol=2e-3)
