from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

import repatient as rp


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_losses_by_epoch(trained):
    adata, model = trained
    table = adata.uns["mil"]["history"]
    ax = rp.pl.history(adata)
    training, validation = ax.lines[:2]
    np.testing.assert_array_equal(training.get_xydata(), table[["epoch", "train_loss"]])
    np.testing.assert_array_equal(validation.get_xydata(), table[["epoch", "validation_loss"]])
    assert labels(ax) == ["training", "validation", f"kept, epoch {model.classifier.best_epoch_}"]


def test_without_validation(trained):
    adata, _ = trained
    adata.uns["mil"]["history"]["validation_loss"] = np.nan
    ax = rp.pl.history(adata)
    assert len(ax.lines) == 1
    assert labels(ax) == ["training"]


def test_on_the_axes_that_are_given(trained):
    _, ax = plt.subplots()
    assert rp.pl.history(trained[0], ax=ax) is ax


def test_a_predictor_without_epochs_has_no_course(trained):
    adata = trained[0]
    adata.uns["mil"]["history"] = adata.uns["mil"]["history"].drop(columns="epoch")
    with pytest.raises(ValueError, match="not trained epoch by epoch.*model='attention'"):
        rp.pl.history(adata)
    assert plt.get_fignums() == []


def test_without_a_classifier(generated):
    with pytest.raises(KeyError, match="rp.tl.mil"):
        rp.pl.history(generated)
    assert plt.get_fignums() == []


def test_mudata(paired):
    assert len(rp.pl.history(paired).lines) > 1


def test_a_model_without_a_network_has_no_losses(plain, keys):
    rp.tl.mil(plain, **keys, model="mean")
    with pytest.raises(ValueError, match="`mil_key`.*attention"):
        rp.pl.history(plain)
