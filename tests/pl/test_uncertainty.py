from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import repatient as rp


def test_every_patient_at_its_uncertainty(selected):
    ax = rp.pl.uncertainty(selected)
    table = selected.uns["generated"]["patients"]
    right = table["predicted"].astype(str) == table["label"].astype(str)
    kinds = [
        right & ~table["selected"],
        right & table["selected"],
        ~right & ~table["selected"],
        ~right & table["selected"],
    ]
    for points, chosen in zip(ax.collections, kinds, strict=True):
        offsets = np.asarray(points.get_offsets())
        np.testing.assert_allclose(offsets[:, 1], table["uncertainty"][chosen])
        column = table["label"][chosen].map({"healthy": 0, "disease": 1}).astype(float)
        assert (np.abs(offsets[:, 0] - column) < 0.5).all()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["healthy\n(n=7)", "disease\n(n=7)"]
    assert ax.get_ylabel() == "Uncertainty (entropy, nats)"


def test_selected_are_filled_in_the_colour_of_their_class(selected):
    table = selected.uns["generated"]["patients"]
    table["predicted"] = table["label"]
    open_ones, filled, *others = rp.pl.uncertainty(selected).collections
    assert all(len(points.get_offsets()) == 0 for points in others)
    of_class = dict(zip(selected.obs["label"].cat.categories, selected.uns["label_colors"], strict=True))
    expected = [of_class[name] for name in table["label"][table["selected"]]]
    assert [to_hex(colour) for colour in filled.get_facecolors()] == expected
    assert {to_hex(colour) for colour in open_ones.get_facecolors()} == {"#ffffff"}


def test_the_measure_is_named(trained):
    adata, model = trained
    rp.tl.select(adata, model, by="margin", keep="all")
    assert rp.pl.uncertainty(adata).get_ylabel() == "Uncertainty (1 - margin)"


def test_places_are_the_same_each_time(selected):
    first, second = (rp.pl.uncertainty(selected) for _ in range(2))
    for a, b in zip(first.collections, second.collections, strict=True):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())


def test_on_the_axes_that_are_given(selected):
    _, ax = plt.subplots()
    assert rp.pl.uncertainty(selected, ax=ax) is ax


def test_without_a_selection(generated, untouched):
    with (
        untouched(generated),
        pytest.raises(KeyError, match="'uncertainty'.*`rp.tl.select`"),
    ):
        rp.pl.uncertainty(generated)
    assert plt.get_fignums() == []


def test_mudata(paired):
    rp.pl.uncertainty(paired)
    assert len(paired.uns["label_colors"]) == 2
