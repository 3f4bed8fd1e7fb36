"""Names of the user's are written letter by letter, whatever matplotlib would make of them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

import repatient as rp

NAMES = {"healthy": "_$^", "disease": "$_{ 5%"}


@pytest.fixture(scope="module")
def _renamed(_selected):
    selected = _selected.copy()
    selected.obs["label"] = selected.obs["label"].cat.rename_categories(NAMES)
    adata = selected[:, :5].copy()
    del adata.uns["generated"]
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 3)
    rp.tl.compare_recipes(adata, n_draws=100)
    model = rp.tl.mil(
        adata,
        patient_key="patient",
        label_key="label",
        generated_key="generated",
        model=rp.mil.Attention(n_steps=2, validation_fraction=0.2),
    )
    rp.tl.select(adata, model, n_passes=2)
    return adata


@pytest.fixture
def renamed(_renamed):
    """The selected cohort with classes that look like formulas, and comparison and audit of them."""
    return _renamed.copy()


def written(figure):
    """All texts as they are written."""
    figure.canvas.draw()
    texts = figure.findobj(Text)
    formulas = [text.get_text() for text in texts if text.get_text().replace(r"\$", "").count("$")]
    assert not formulas
    return "\n".join(text.get_text().replace(r"\$", "$") for text in texts)


@pytest.mark.parametrize("kind", ["bars", "stacked", "heatmap", "dots"])
def test_recipes(renamed, kind):
    text = written(rp.pl.recipes(renamed, kind=kind).figure)
    assert all(name in text for name in NAMES.values())


def test_figures_of_classes(renamed):
    for draw in (rp.pl.compositions, rp.pl.compare_recipes, rp.pl.uncertainty, rp.pl.embedding):
        drawn = draw(renamed)
        text = written(drawn.figure)
        assert all(name in text for name in NAMES.values()), draw.__name__


def test_titles(renamed):
    patient = str(renamed.obs["patient"].iloc[0])
    assert any(name in written(rp.pl.attention(renamed, patient).figure) for name in NAMES.values())
    assert f"Class {NAMES['disease']}" in written(
        rp.pl.embedding(renamed, density=NAMES["disease"], color="label").figure
    )


def test_a_legend_has_names_that_begin_with_an_underscore(renamed):
    texts = [text.get_text() for text in rp.pl.recipes(renamed).get_legend().get_texts()]
    assert texts[:2] == [name.replace("$", r"\$") for name in NAMES.values()]
    assert np.char.startswith(texts[:2], "_").any()
