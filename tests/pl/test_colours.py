from __future__ import annotations

import numpy as np
import pytest

import repatient as rp
from repatient.pl._colours import class_colours, component_colours
from repatient.pl._palette import CLASS_COLOURS, COMPONENT_START, distinct_colours


def test_colours_are_kept_where_scanpy_reads_them(generated):
    import scanpy as sc

    rp.pl.recipes(generated, kind="stacked")
    assert generated.uns["gmm_colors"] == list(distinct_colours(6, COMPONENT_START))
    ax = sc.pl.umap(generated, color="gmm", show=False, sort_order=False)
    drawn = {tuple(colour) for colour in ax.collections[0].get_facecolors()}
    assert len(drawn) == 6
    assert list(generated.uns["gmm_colors"]) == list(distinct_colours(6, COMPONENT_START))


def test_kept_colours_are_used_again(generated):
    kept = ["#111111", "red", "#333333", "#444444", "#555555", "#666666"]
    generated.uns["gmm_colors"] = np.array(kept)
    assert component_colours(generated, "gmm", 6).of == dict(
        zip("012345", ["#111111", "#ff0000", *kept[2:]], strict=True)
    )


@pytest.mark.parametrize("kept", [["red"], ["red"] * 5 + ["no colour"]])
def test_colours_that_do_not_fit_are_replaced(generated, kept):
    generated.uns["gmm_colors"] = kept
    rp.pl.recipes(generated, kind="stacked")
    assert generated.uns["gmm_colors"] == list(distinct_colours(6, COMPONENT_START))


def test_colours_follow_their_components_into_a_subset(generated):
    rp.pl.recipes(generated, kind="stacked")
    before = component_colours(generated, "gmm", 6).of
    part = generated[generated.obs["gmm"] != "2"].copy()
    assert len(part.uns["gmm_colors"]) == 5
    after = component_colours(part, "gmm", 6).of
    assert {name: after[name] for name in "01345"} == {name: before[name] for name in "01345"}
    assert after["2"] not in part.uns["gmm_colors"]


def test_a_class_of_another_cohort_has_a_colour_but_no_place_in_the_column(generated):
    colours = class_colours(generated, "label", ["healthy", "disease", "elsewhere"])
    assert [colours.of[name] for name in ("healthy", "disease", "elsewhere")] == list(CLASS_COLOURS[:3])
    colours.store(generated)
    assert generated.uns["label_colors"] == list(CLASS_COLOURS[:2])


def test_a_column_of_strings_has_the_order_that_scanpy_gives_it(generated):
    generated.obs["label"] = generated.obs["label"].astype(str)
    colours = class_colours(generated, "label", ["healthy", "disease"])
    colours.store(generated)
    assert generated.uns["label_colors"] == [colours.of["disease"], colours.of["healthy"]]


def test_a_view_stays_a_view(generated):
    view = generated[:500]
    rp.pl.recipes(view, kind="stacked")
    assert view.is_view
    assert "gmm_colors" not in view.uns


@pytest.mark.parametrize(
    "palette",
    [["red", "blue"], ("red", "blue", "green"), {"healthy": "red", "disease": "blue", "other": "green"}],
)
def test_palettes_of_colours(generated, palette):
    rp.pl.recipes(generated, palette=palette)
    assert generated.uns["label_colors"] == ["#ff0000", "#0000ff"]


def test_palettes_of_colormaps(generated):
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    rp.pl.recipes(generated, palette="tab10")
    assert generated.uns["label_colors"] == [to_hex(colour) for colour in colormaps["tab10"].colors[:2]]
    rp.pl.recipes(generated, palette="viridis")
    assert generated.uns["label_colors"] == [to_hex(colormaps["viridis"](share)) for share in (0.0, 1.0)]


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        (["red"], r"\b1\b.*\b2\b"),
        ({"healthy": "red"}, r"\['disease'\]"),
        (["red", "reddish"], "'reddish'"),
        ("no_such_map", "'no_such_map'"),
    ],
)
def test_palettes_that_do_not_fit(generated, untouched, palette, message):
    with untouched(generated), pytest.raises(ValueError, match=message):
        rp.pl.recipes(generated, palette=palette)


def test_a_list_of_colours_as_colormap_that_is_too_short(many):
    with pytest.raises(ValueError, match="'tab10'.*10.*30"):
        rp.pl.recipes(many, kind="stacked", palette="tab10")
