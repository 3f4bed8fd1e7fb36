"""A recipe kind, a rival and a method of somebody else's serve wherever ours do, as CONTRIBUTING.md promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import repatient as rp
from repatient.evaluation import register_method, unregister_method
from repatient.mil import PREDICTORS, Bags, Linear, register_predictor
from repatient.mixing import register_augmenter, unregister_augmenter

KEYS = {"patient_key": "patient", "label_key": "label"}


@pytest.fixture
def cohort():
    adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=50)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :5].copy()
    return adata


@dataclass(frozen=True)
class Half:
    """Bags of a random half of the cells of the real ones."""

    share: float = 0.5

    def bind(self, bags, y, classes, groups):
        return HalfSampler(bags, y, len(classes), self.share)


@dataclass
class HalfSampler:
    bags: Bags
    y: np.ndarray
    n_classes: int
    share: float

    @property
    def class_shares(self):
        return np.bincount(self.y, minlength=self.n_classes) / len(self.y)

    def __call__(self, chosen, rng, score):
        own = self.bags.take(chosen)
        kept = rng.random(len(own.rows)) < self.share
        kept[own.indptr[:-1]] = True
        indptr = np.concatenate([[0], np.cumsum(kept)])[own.indptr]
        return Bags(own.X, own.rows[kept], indptr), np.eye(self.n_classes, dtype=np.float32)[self.y[chosen]]


class Coin:
    """All classes are equally likely."""

    scenarios: ClassVar[tuple[str, ...]] = ("full",)

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias

    @classmethod
    def settings(cls):
        return ["bias"]

    def predict(self, fold):
        probabilities = np.full((len(fold.fold.test), fold.n_classes), 1 / fold.n_classes)
        probabilities[:, 0] += self.bias
        return probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.fixture
def registered():
    register_augmenter("half", Half)
    register_method("coin", Coin)
    register_predictor("toy", lambda **settings: Linear(features=("mean",), C=0.5, **settings))
    yield
    unregister_augmenter("half")
    unregister_method("coin")
    del PREDICTORS["toy"]


def test_a_rival_a_predictor_and_a_method(cohort, registered, tmp_path):
    methods = ["attention+half", "toy", "toy+half", "mean", {"method": "coin", "name": "biased", "bias": 0.2}]
    frame = rp.tl.evaluate(cohort, **KEYS, methods=methods, n_splits=2, n_steps=10, progress=False)
    assert list(dict.fromkeys(frame["method"])) == ["attention+half", "toy", "toy+half", "mean", "biased"]
    coin = frame[(frame["method"] == "biased") & (frame["metric"] == "auroc")]
    assert (coin["value"] == 0.5).all()
    model = rp.tl.mil(cohort, **KEYS, model="toy", augment="half")
    before = model.predict(cohort)
    model.save(tmp_path / "model")
    after = rp.tl.load_model(tmp_path / "model").predict(cohort)
    np.testing.assert_array_equal(before["probability_disease"], after["probability_disease"])
    with pytest.raises(ValueError, match="`name`"):
        register_method("mean", Coin)
    with pytest.raises(ValueError, match="`name`"):
        register_augmenter("half", Half)
