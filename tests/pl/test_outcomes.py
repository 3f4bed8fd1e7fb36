from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import repatient as rp

VALUES = {"patient_key": "patient", "label_key": "score", "outcome": "continuous"}


@pytest.fixture(scope="module")
def _valued(_generated):
    adata = _generated.copy()
    codes = adata.obs["patient"].cat.codes
    adata.obs["score"] = 10.0 + codes.to_numpy()
    adata.obs["grade"] = pd.Categorical.from_codes(codes % 2, ["mild", "severe"], ordered=True)
    rp.tl.recipes(adata, **VALUES)
    rp.tl.generate(adata, 12)
    model = rp.tl.mil(
        adata, **VALUES, generated_key="generated", model=rp.mil.Attention(n_steps=8, validation_fraction=0.2)
    )
    rp.tl.select(adata, model)
    return adata


@pytest.fixture
def valued(_valued):
    """The cohort with recipes of a value, patients generated at values, a model of it, and a selection."""
    return _valued.copy()


def test_uncertainty_over_the_values(valued):
    ax = rp.pl.uncertainty(valued)
    table = valued.uns["generated"]["patients"]
    for points, chosen in zip(ax.collections, (~table["selected"], table["selected"]), strict=True):
        np.testing.assert_allclose(points.get_offsets(), table.loc[chosen, ["label", "uncertainty"]])
    assert {to_hex(colour) for colour in ax.collections[0].get_facecolors()} == {"#ffffff"}
    assert ax.get_xlabel() == "score of the generated patient"
    assert ax.get_ylabel() == "Uncertainty (predictive standard deviation)"
    assert "score_colors" not in valued.uns


def test_losses_of_values_may_be_below_zero(valued):
    valued.uns["mil"]["history"][["train_loss", "validation_loss"]] -= 5
    ax = rp.pl.history(valued)
    assert ax.get_ylim()[0] < 0
    assert "negative log-density" in ax.get_ylabel()


def test_a_title_with_a_value(valued):
    row = valued.uns["mil"]["predictions"].loc["patient_003"]
    title = rp.pl.attention(valued, "patient_003").figure.get_suptitle()
    assert title == f"patient_003: predicted {row['predicted']:.3g} ± {row['uncertainty']:.2g}, known as 13"


def test_compositions_are_coloured_by_the_value(valued):
    ax = rp.pl.compositions(valued)
    generated, real = ax.collections
    assert len(real.get_offsets()) == 16
    colours = plt.get_cmap("viridis")((np.arange(16.0)) / 15)
    expected = {to_hex(colour) for colour in colours}
    assert {to_hex(colour) for colour in real.get_facecolors()} == expected
    assert len({to_hex(colour) for colour in generated.get_edgecolors()}) > 8
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["real", "generated"]
    assert ax.figure.axes[1].get_ylabel() == "score"
    with pytest.raises(ValueError, match="`palette`"):
        rp.pl.compositions(valued, palette=["red"])


def test_a_recipe_of_a_value_is_drawn_as_one_class(valued):
    assert rp.pl.recipes(valued).get_legend().get_texts()[0].get_text() == "score"
    assert len(rp.pl.embedding(valued).figure.axes) == 2


def test_grades_stand_in_their_order(valued):
    grades = {"patient_key": "patient", "label_key": "grade", "outcome": "ordinal"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.recipes(valued, **grades, labels=["severe", "mild"])
        rp.tl.generate(valued, 3)
        rp.tl.select(valued, rp.tl.mil(valued, **grades, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2)))
    assert list(dict.fromkeys(valued.uns["generated"]["patients"]["label"])) == ["severe", "mild"]
    ax = rp.pl.uncertainty(valued)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mild\n(n=3)", "severe\n(n=3)"]
    assert rp.pl.history(valued).get_ylabel() == "Loss (cross-entropy, nats)"
    predicted = valued.uns["mil"]["predictions"].loc["patient_003", "predicted"]
    assert f"predicted {predicted} (p = " in rp.pl.attention(valued, "patient_003").figure.get_suptitle()
