from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import repatient as rp


@pytest.fixture(scope="session")
def _audited(_generated):
    adata = _generated.copy()
    rp.tl.audit(adata, n_permutations=19, n_repeats=1)
    return adata


@pytest.fixture
def audited(_audited):
    return _audited.copy()


def dots(ax):
    """Filled dots by their colour: their places, row after row."""
    lines = [line for line in ax.lines if line.get_marker() in {"o", "s"} and line.get_markerfacecolor() != "white"]
    places = {}
    for line in lines:
        places.setdefault(to_hex(line.get_color()), []).append((line.get_xdata()[0], line.get_ydata()[0]))
    return places


def assert_one_shape_a_class(points, labels):
    """Without colours, as on paper, classes are told apart by their markers."""
    shapes = {}
    for label, path in zip(labels, points.get_paths(), strict=True):
        shapes.setdefault(label, set()).add(path.vertices.tobytes())
    assert all(len(of_class) == 1 for of_class in shapes.values())
    assert len(set.union(*shapes.values())) == len(shapes) == 2


def test_every_patient_on_its_axes(audited):
    real, held_out, generated = rp.pl.audit(audited, kind="patients").collections
    table = audited.uns["audit"]["patients"]
    is_generated = table["role"] == "generated"
    for points, part in ((real, table[~is_generated]), (generated, table[is_generated])):
        np.testing.assert_array_equal(points.get_offsets(), part[["axis_1", "axis_2"]])
    assert len(held_out.get_offsets()) == 0
    of_class = dict(zip(audited.obs["label"].cat.categories, audited.uns["label_colors"], strict=True))
    expected = [of_class[name] for name in table.loc[is_generated, "label"]]
    assert [to_hex(colour) for colour in generated.get_edgecolors()] == expected
    for points, part in ((real, table[~is_generated]), (generated, table[is_generated])):
        assert_one_shape_a_class(points, part["label"].tolist())


def test_ellipses_hold_four_fifths(audited):
    rng = np.random.default_rng(0)
    table = audited.uns["audit"]["patients"]
    big = table.loc[table.index.repeat(200)].copy()
    big[["axis_1", "axis_2"]] = rng.normal(size=(len(big), 2)) @ [[2.0, 1.0], [0.0, 0.5]] + 3
    big.index = [f"p{i}" for i in range(len(big))]
    audited.uns["audit"]["patients"] = big
    ax = rp.pl.audit(audited, kind="patients")
    assert len(ax.patches) == 4
    xy = big[["axis_1", "axis_2"]].to_numpy()
    for patch in ax.patches:
        to_circle = patch.get_patch_transform().inverted().transform(xy)
        assert (np.hypot(*to_circle.T) <= 1).mean() == pytest.approx(0.8, abs=0.03)
    assert [patch.get_linestyle() for patch in ax.patches] == ["-", "--", "-", "--"]


def test_dots_are_the_measures(audited):
    measures = audited.uns["audit"]["measures"]
    for kind, columns in {
        "auroc": ["generated_auroc", "size_auroc_generated", "component_auroc", "size_auroc_class"],
        "variance": ["variance_ratio", "variance_ratio_composition"],
        "shares": ["reidentification", "donor_share_median", "repeated_cells"],
        "nearest": ["nearest_patient_ratio", "nearest_cell_ratio"],
    }.items():
        ax = rp.pl.audit(audited, kind=kind)
        of_class = dict(zip(audited.obs["label"].cat.categories, audited.uns["label_colors"], strict=True))
        for name in measures.index:
            places = [place for place in dots(ax)[of_class[name]] if np.isfinite(place[0])]
            assert [x for x, _ in places] == list(measures.loc[name, columns])
            assert [round(y) for _, y in places] == list(range(len(columns)))


def test_what_was_not_measured_is_said(audited):
    texts = [text for text in rp.pl.audit(audited, kind="auroc").texts if text.get_text() == "not measured"]
    assert [text.xy[1] for text in texts] == [4]
    assert not rp.pl.audit(audited, kind="variance").texts


def test_all_in_one_figure(audited):
    figure = rp.pl.audit(audited).figure
    assert len(figure.axes) == 5
    figure.draw_without_rendering()


def test_held_out_patients_have_a_dark_edge(audited):
    table = audited.uns["audit"]["patients"]
    table["role"] = table["role"].mask(table.index.isin(table.index[:3]), "held out")
    ax = rp.pl.audit(audited, kind="patients")
    assert [len(points.get_offsets()) for points in ax.collections] == [13, 3, 14]
    real, held_out, _ = ax.collections
    assert {to_hex(colour) for colour in held_out.get_edgecolors()} == {"#222222"}
    assert {to_hex(colour) for colour in real.get_edgecolors()} == {"#ffffff"}
    assert "real, held out" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_palette_and_axes(audited):
    _, ax = plt.subplots()
    assert rp.pl.audit(audited, kind="variance", palette=["red", "blue"], ax=ax) is ax
    assert set(dots(ax)) == {"#ff0000", "#0000ff"}
    assert isinstance(rp.pl.audit(audited, kind="shares"), Axes)


def test_errors(audited, generated, untouched):
    _, ax = plt.subplots()
    with untouched(audited):
        with pytest.raises(ValueError, match="`kind`"):
            rp.pl.audit(audited, kind="everything")
        with pytest.raises(ValueError, match="kind='all'"):
            rp.pl.audit(audited, ax=ax)
        with pytest.raises(TypeError, match="`ax`"):
            rp.pl.audit(audited, ax=3)
    with pytest.raises(KeyError, match="rp.tl.audit"):
        rp.pl.audit(generated)


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
def test_drawn_as_read_back(audited, storage, read_back):
    rp.pl.audit(read_back(audited[:, :5].copy(), storage)).figure.draw_without_rendering()
