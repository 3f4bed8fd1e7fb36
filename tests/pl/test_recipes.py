from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import repatient as rp

KINDS = ["bars", "stacked", "heatmap", "dots"]


def bars_of(ax: Axes) -> dict[str, list]:
    names = [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []
    names = names or [container.get_label() for container in ax.containers]
    return {name: list(container) for name, container in zip(names, ax.containers, strict=False)}


def overlapping(texts) -> bool:
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.fixture
def mean(generated):
    return rp.get.recipes(generated).pivot(index="class", columns="component", values="mean")


def test_bars_are_as_high_as_the_means(generated, mean):
    bars = bars_of(rp.pl.recipes(generated))
    assert list(bars) == ["healthy", "disease"]
    for name, patches in bars.items():
        np.testing.assert_allclose([patch.get_height() for patch in patches], mean.loc[name])
        assert {to_hex(patch.get_facecolor()) for patch in patches} == {
            generated.uns["label_colors"][list(generated.obs["label"].cat.categories).index(name)]
        }


def test_whiskers_span_the_interval(generated):
    ax = rp.pl.recipes(generated, interval=0.5)
    table = rp.get.recipes(generated, interval=0.5).set_index("class").loc["disease"]
    whiskers = np.array([segment[:, 1] for segment in ax.collections[1].get_segments()])
    np.testing.assert_allclose(whiskers, table[["low", "high"]])
    assert ax.get_legend().get_texts()[-1].get_text() == "middle 50 % of patients (n = 8, 8)"


def test_stacked_bars_sum_to_one_in_component_colours(generated, mean):
    ax = rp.pl.recipes(generated, kind="stacked")
    bars = bars_of(ax)
    assert list(bars) == list("012345")
    for (name, patches), colour in zip(bars.items(), generated.uns["gmm_colors"], strict=True):
        np.testing.assert_allclose([patch.get_height() for patch in patches], mean.loc[["healthy", "disease"], name])
        assert {to_hex(patch.get_facecolor()) for patch in patches} == {colour}
    np.testing.assert_allclose([patch.get_y() + patch.get_height() for patch in bars["0"]], 1)
    np.testing.assert_allclose([patch.get_y() for patch in bars["5"]], 0, atol=1e-12)


def test_heatmap_holds_the_means(generated, mean):
    ax = rp.pl.recipes(generated, kind="heatmap")
    np.testing.assert_allclose(ax.images[0].get_array(), mean.loc[["healthy", "disease"]])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["healthy\n(n=8)", "disease\n(n=8)"]


def test_dots_hold_means_and_ratios(generated, mean):
    dots = rp.pl.recipes(generated, kind="dots").collections[0]
    means = mean.loc[["healthy", "disease"]].to_numpy()
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), means.ravel() / means.max())
    ratios = np.log2(means / means.mean(axis=0))
    np.testing.assert_allclose(dots.get_array(), ratios.ravel())
    signs = {text.xy[::-1]: text.get_text() for text in dots.axes.texts if text.get_text() in {"+", "\u2212"}}
    expected = {place: "+" if ratio > 0 else "\u2212" for place, ratio in np.ndenumerate(ratios) if abs(ratio) >= 0.1}
    assert signs == expected != {}


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_axes_that_are_given(generated, kind):
    figure, ax = plt.subplots()
    assert rp.pl.recipes(generated, kind=kind, ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("kind", KINDS)
def test_many_classes_and_components_stay_readable(many, kind):
    ax = rp.pl.recipes(many, kind=kind)
    ax.figure.canvas.draw()
    assert not overlapping(ax.get_xticklabels()) or kind == "stacked"
    assert not overlapping(ax.texts)
    assert ax.figure.get_size_inches()[0] <= 18
    inside = ax.figure.bbox
    for text in [ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels()]:
        box = text.get_window_extent()
        assert not text.get_text() or (inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1))


@pytest.mark.parametrize("kind", KINDS)
def test_one_class(generated, kind):
    ax = rp.pl.recipes(generated, kind=kind, classes=["disease"])
    axis = ax.get_legend().get_texts() if kind == "bars" else [*ax.get_xticklabels(), *ax.get_yticklabels()]
    labels = [text.get_text() for text in axis]
    assert any(label.startswith("disease") for label in labels)
    assert not any(label.startswith("healthy") for label in labels)


def test_orders(generated, mean):
    def names(**kwargs):
        return [tick.get_text() for tick in rp.pl.recipes(generated, **kwargs).get_xticklabels()]

    assert names() == list("012345")
    assert names(order="share") == list(mean.mean().sort_values(ascending=False).index)
    ratio = mean.loc["healthy"] / mean.loc["disease"]
    assert names(order="difference") == list(ratio.sort_values(ascending=False).index)
    assert names(order="difference", classes=["disease", "healthy"]) == list(ratio.sort_values().index)
    assert names(order=[3, "1"]) == ["3", "1"]


def test_component_colours_stand_under_their_numbers(generated):
    ax = rp.pl.recipes(generated, kind="heatmap", order=["4", "2"])
    patches = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    assert patches == [generated.uns["gmm_colors"][4], generated.uns["gmm_colors"][2]]


def test_colormap_of_the_heatmap(generated):
    assert rp.pl.recipes(generated, kind="heatmap", palette="magma").images[0].get_cmap().name == "magma"
    with pytest.raises(ValueError, match="kind='heatmap'"):
        rp.pl.recipes(generated, kind="heatmap", palette=["red", "blue"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "pie"}, ValueError, "`kind`"),
        ({"classes": ["healty"]}, ValueError, r"\['healty'\].*'healthy'"),
        ({"classes": []}, ValueError, "`classes`"),
        ({"classes": "healthy"}, TypeError, r"\['healthy'\]"),
        ({"order": ["7"]}, ValueError, r"\['7'\].*'0'.*'5'"),
        ({"order": "size"}, ValueError, "`order`"),
        ({"interval": 80}, ValueError, "`interval`"),
        ({"recipes_key": "cake"}, KeyError, "rp.tl.recipes"),
        ({"ax": "here"}, TypeError, "`ax`"),
    ],
)
def test_errors_leave_nothing_behind(generated, untouched, arguments, error, message):
    with untouched(generated), pytest.raises(error, match=message):
        rp.pl.recipes(generated, **arguments)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_alone_are_enough(generated, kind):
    import anndata as ad

    bare = ad.AnnData(obs=generated.obs[[]].iloc[:3], uns={"recipes": generated.uns["recipes"]})
    assert isinstance(rp.pl.recipes(bare, kind=kind), Axes)
    assert set(bare.uns) == {"recipes"}


def test_mudata(paired):
    rp.pl.recipes(paired)
    assert len(paired.uns["label_colors"]) == 2


@pytest.mark.parametrize(
    ("argument", "what"), [("order", "or a list"), ("classes", "a sequence"), ("palette", "a list")]
)
def test_a_number_is_no_list(generated, untouched, argument, what):
    with untouched(generated), pytest.raises(TypeError, match=f"`{argument}` is .*{what}.*, not 3"):
        rp.pl.recipes(generated, **{argument: 3})
    assert not plt.get_fignums()


def test_difference_in_composition_and_inside(plain, keys):
    """Cells of one class moved inside a component, and one component more frequent, show where they are."""
    rp.tl.gmm(plain, 4)
    ill = (plain.obs["label"] == "disease").to_numpy()
    sd = np.sqrt(np.diag(plain.uns["gmm"]["covariances"][2]))
    plain.obsm["X_pca"][ill & (plain.obs["gmm"] == "2").to_numpy()] += (2 * sd).astype("float32")
    rp.tl.recipes(plain, **keys)
    ax = rp.pl.recipes(plain, kind="difference", classes=["healthy", "disease"])
    across, up = ax.collections[0].get_offsets().T
    mean = plain.uns["recipes"]["mean"]
    np.testing.assert_allclose(across, np.log2(mean.loc["disease"] / mean.loc["healthy"]))
    assert up[2] == pytest.approx(2, abs=0.5)
    assert up.argmax() == 2
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3"]
    with pytest.raises(ValueError, match="`classes`"):
        rp.pl.recipes(plain, kind="difference", classes=["healthy"])
    del plain.uns["recipes"]["offsets"]
    with pytest.raises(ValueError, match="offsets"):
        rp.pl.recipes(plain, kind="difference", classes=["healthy", "disease"])
