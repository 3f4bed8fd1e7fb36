from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

import repatient as rp
from repatient.mil import Bags


def patients(adata):
    return adata.uns["generated"]["patients"]


def test_uncertainty_is_that_of_the_passes(trained):
    adata, model = trained
    bags = Bags.from_counts(adata.obsm["X_pca"], adata.obsm["generated"])
    passes = model.classifier.predict_proba_mc(bags, random_state=0)
    rp.tl.select(adata, model)
    np.testing.assert_allclose(patients(adata)["uncertainty"], entropy(passes.mean(axis=0), axis=1), rtol=1e-6)
    rp.tl.select(adata, model, by="epistemic")
    expected = entropy(passes.mean(axis=0), axis=1) - entropy(passes, axis=2).mean(axis=0)
    np.testing.assert_allclose(patients(adata)["uncertainty"], expected, atol=1e-7)


@pytest.mark.parametrize("keep", ["low", "high", "band"])
def test_selection_is_within_classes(trained, keep):
    adata, model = trained
    rp.tl.select(adata, model, keep=keep, fraction=3 / 7)
    for _, group in patients(adata).groupby("label", observed=True):
        ranks = group["uncertainty"].rank(method="first")[group["selected"]]
        expected = {"low": {1, 2, 3}, "high": {5, 6, 7}, "band": {3, 4, 5}}[keep]
        assert set(ranks.astype(int)) == expected


def test_correct_and_all_and_random(trained):
    adata, model = trained
    rp.tl.select(adata, model, keep="correct")
    table = patients(adata)
    np.testing.assert_array_equal(table["selected"], table["predicted"].astype(str) == table["label"].astype(str))
    rp.tl.select(adata, model, keep="all")
    assert patients(adata)["selected"].all()
    rp.tl.select(adata, model, by="random", random_state=1)
    first = patients(adata)["selected"]
    rp.tl.select(adata, model, by="random", random_state=2)
    assert (patients(adata)["selected"] != first).any()
    assert adata.uns["generated"]["selection"]["by"] == "random"


def test_ensemble(trained, plain, keys):
    adata, model = trained
    second = rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), random_state=1)
    rp.tl.select(adata, [model, second], by="epistemic")
    both = patients(adata)["uncertainty"].mean()
    rp.tl.select(adata, model, by="epistemic")
    assert both > patients(adata)["uncertainty"].mean()


def test_generated_and_augmented_take_the_selected(trained):
    adata, model = trained
    rp.tl.select(adata, model, fraction=0.3)
    kept = patients(adata).index[patients(adata)["selected"]]
    assert set(rp.get.generated(adata).obs["patient"]) == set(kept)
    assert rp.get.generated(adata, selected=False).obs["patient"].nunique() == 14
    assert rp.get.augmented(adata, selected=True).obs["patient"].nunique() == 16 + 4


def test_copy_and_errors(trained, untouched):
    adata, model = trained
    with untouched(adata):
        written = rp.tl.select(adata, model, copy=True)
        for kwargs in ({"by": "variance"}, {"keep": "some"}, {"fraction": 0}, {"fraction": 1.5}):
            with pytest.raises(ValueError, match=next(iter(kwargs))):
                rp.tl.select(adata, model, **kwargs)
        with pytest.raises(TypeError, match="model"):
            rp.tl.select(adata, "model")
        with pytest.raises(KeyError, match="rp.tl.generate"):
            rp.tl.select(adata, model, generated_key="other")
        with pytest.raises(KeyError, match="selected"):
            rp.get.generated(adata, selected=True)
    assert "selected" in written.uns["generated"]["patients"]
    assert isinstance(written.uns["generated"]["patients"]["predicted"].dtype, pd.CategoricalDtype)
