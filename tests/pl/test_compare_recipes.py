from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import repatient as rp


@pytest.fixture
def compared(generated):
    rp.tl.compare_recipes(generated)
    return generated


@pytest.fixture
def compared_many(many):
    rp.tl.compare_recipes(many)
    return many


def rows_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def dots_of(ax):
    """One line of a single point a component, from the top."""
    return [line for line in ax.lines if line.get_marker() == "o"]


@pytest.mark.parametrize("effect", ["log2_fold_change", "difference", "clr_difference"])
def test_dots_and_lines_are_the_table(compared, effect):
    ax = rp.pl.compare_recipes(compared, effect=effect)
    table = compared.uns["compare_recipes"]["results"].set_index("component").loc[rows_of(ax)]
    assert table[effect].is_monotonic_decreasing
    dots = dots_of(ax)
    np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], table[effect])
    colours = compared.uns["gmm_colors"]
    for dot, (component, row) in zip(dots, table.iterrows(), strict=True):
        face = to_hex(dot.get_markerfacecolor())
        assert face == (colours[int(component)] if row["significant"] else "#ffffff")
    ends = np.array([line.get_xdata() for line in ax.lines if line.get_zorder() == 2])
    np.testing.assert_allclose(ends, table[[f"{effect}_low", f"{effect}_high"]])


def test_an_interval_that_goes_beyond_the_axis_ends_in_an_arrow(compared):
    results = compared.uns["compare_recipes"]["results"]
    results["significant"] = False
    results.loc[results.index[2], "log2_fold_change_low"] = -50.0
    ax = rp.pl.compare_recipes(compared, order="number")
    low, high = ax.get_xlim()
    assert -50 < low < results["log2_fold_change"].min()
    assert high > results["log2_fold_change"].max()
    arrows = [line for line in ax.lines if line.get_marker() == "<"]
    assert 2 in [line.get_ydata()[0] for line in arrows]
    results["significant"] = True
    assert rp.pl.compare_recipes(compared).get_xlim()[0] < -50


def test_order_by_number_and_significant_alone(compared):
    assert rows_of(rp.pl.compare_recipes(compared, order="number")) == [str(k) for k in range(6)]
    results = compared.uns["compare_recipes"]["results"]
    results["significant"] = results["component"].isin(["1", "4"])
    assert rows_of(rp.pl.compare_recipes(compared, order="number", significant_only=True)) == ["1", "4"]
    results["significant"] = False
    with pytest.raises(ValueError, match="`significant_only`"):
        rp.pl.compare_recipes(compared, significant_only=True)


def test_a_panel_a_class(compared_many):
    figure = rp.pl.compare_recipes(compared_many).figure
    assert len(figure.axes) == 6
    assert [ax.get_title(loc="left").split(" (")[0] for ax in figure.axes] == list(
        compared_many.uns["recipes"]["classes"]
    )
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    first = rows_of(figure.axes[0])
    for ax in figure.axes:
        results = compared_many.uns["compare_recipes"]["results"]
        name = ax.get_title(loc="left").split(" (")[0]
        table = results[results["class"] == name].set_index("component").loc[first]
        np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots_of(ax)], table["log2_fold_change"])


def test_one_class_on_given_axes(compared_many):
    _, ax = plt.subplots(layout="constrained")
    assert rp.pl.compare_recipes(compared_many, classes=["severe"], ax=ax) is ax
    assert ax.get_title(loc="left").startswith("severe")
    with pytest.raises(ValueError, match="`ax`.*6"):
        rp.pl.compare_recipes(compared_many, ax=ax)


@pytest.mark.parametrize("n_components", [5, 40])
def test_nothing_is_cut_off_and_rows_do_not_touch(plain, keys, n_components):
    rp.tl.gmm(plain, n_components, n_init=1, max_iter=3)
    rp.tl.recipes(plain, **keys)
    rp.tl.compare_recipes(plain)
    ax = rp.pl.compare_recipes(plain)
    figure = ax.figure
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    box = figure.bbox
    texts = [*ax.texts, *ax.get_yticklabels(), *ax.get_legend().get_texts(), ax.xaxis.label, ax._left_title]
    for text in texts:
        inside = text.get_window_extent(renderer)
        assert inside.x0 >= box.x0, text.get_text()
        assert inside.x1 <= box.x1, text.get_text()
        assert inside.y0 >= box.y0, text.get_text()
        assert inside.y1 <= box.y1, text.get_text()
    labels = [label.get_window_extent(renderer) for label in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in zip(labels, labels[1:], strict=False))


def test_colours_are_those_of_the_other_plots(compared):
    rp.pl.recipes(compared, kind="stacked")
    before = list(compared.uns["gmm_colors"])
    ax = rp.pl.compare_recipes(compared)
    assert list(compared.uns["gmm_colors"]) == before
    patches = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    assert patches == [before[int(name)] for name in rows_of(ax)]
    rp.pl.compare_recipes(compared, palette="tab10")
    assert list(compared.uns["gmm_colors"]) == [to_hex(colour) for colour in mpl.colormaps["tab10"].colors[:6]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"effect": "p"}, ValueError, "`effect`"),
        ({"order": "share"}, ValueError, "`order`"),
        ({"classes": "disease"}, TypeError, "`classes`"),
        ({"classes": ["nobody"]}, ValueError, r"`classes`.*\['nobody'\]"),
        ({"comparison_key": "none"}, KeyError, r"rp\.tl\.compare_recipes"),
        ({"ax": 3}, TypeError, "`ax`"),
        ({"palette": ["red"]}, ValueError, "`palette`.*1"),
    ],
)
def test_bad_arguments(compared, untouched, arguments, error, message):
    with untouched(compared), pytest.raises(error, match=message):
        rp.pl.compare_recipes(compared, **arguments)
