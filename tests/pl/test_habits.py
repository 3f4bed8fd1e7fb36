"""What all figures have in common: ax in, Axes out, show and save as in scanpy, names that fit, messages."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scanpy as sc
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

import repatient as rp

LONG = {"healthy": "chronic obstructive pulmonary disease, C", "disease": "", "other": "_nolegend_"}
FIGURES = {name: getattr(rp.pl, name) for name in rp.pl.__all__}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_parameters_of_every_figure(name):
    parameters = inspect.signature(FIGURES[name]).parameters
    assert {"show", "save"} <= set(parameters)
    assert "ax" in parameters or name == "views"
    assert inspect.signature(FIGURES[name]).return_annotation == "Axes"


@pytest.fixture
def figures(tmp_path):
    """Where scanpy is set to save figures."""
    before = sc.settings.figdir
    sc.settings.figdir = tmp_path / "figures"
    yield sc.settings.figdir
    sc.settings.figdir = before


def test_saved_as_in_scanpy(selected, tmp_path, figures, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(1))
    assert isinstance(rp.pl.history(selected, save=tmp_path / "sub" / "mine.png"), Axes)
    rp.pl.uncertainty(selected, save="_mine.png", show=False)
    rp.pl.recipes(selected, save=True)
    rp.pl.compositions(selected, save=".svg", show=True)
    suffix = sc.settings.file_format_figs
    saved = {path.name for path in figures.iterdir()}
    assert saved == {"uncertainty_mine.png", f"recipes.{suffix}", "compositions.svg"}
    assert (tmp_path / "sub" / "mine.png").stat().st_size > 0
    assert shown == [1]


@pytest.mark.parametrize(("argument", "value"), [("save", 3), ("save", ""), ("show", "yes"), ("ax", 1)])
def test_what_is_neither(selected, untouched, argument, value):
    with untouched(selected), pytest.raises(TypeError, match=f"`{argument}`"):
        rp.pl.embedding(selected, **{argument: value})
    assert not plt.get_fignums()


def test_the_map_alone_on_axes_of_ones_own(selected):
    figure, (left, right) = plt.subplots(1, 2)
    assert rp.pl.embedding(selected, ax=left) is left
    assert rp.pl.attention(selected, "patient_003", ax=right) is right
    assert len(figure.axes) == 3  # and the bar of colours


@pytest.mark.parametrize("kind", ["stacked", "bars", "heatmap", "dots"])
def test_long_and_odd_names_leave_room_for_the_figure(selected, recwarn, kind):
    selected.obs["label"] = selected.obs["label"].cat.rename_categories({k: LONG[k] for k in ("healthy", "disease")})
    rp.tl.recipes(selected, patient_key="patient", label_key="label")
    ax = rp.pl.recipes(selected, kind=kind)
    ax.figure.draw_without_rendering()
    assert not [warning for warning in recwarn if "collapsed" in str(warning.message)]
    box = ax.get_window_extent()
    assert min(box.width, box.height) > 0.2 * min(ax.figure.bbox.size)
    if kind == "bars":
        texts = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
        assert texts[:2] == [LONG["healthy"], LONG["disease"]]


def test_a_colour_means_one_thing(selected):
    on_map = rp.pl.embedding(selected, color="state")
    bars = [patch.get_facecolor()[:3] for patch in on_map.figure.axes[1].patches]
    assert all(max(colour) - min(colour) < 0.01 for colour in bars)
    assert len({to_rgb(colour) for colour in selected.uns["state_colors"]} & set(bars)) == 0


def test_far_cells_do_not_rule_the_map(selected):
    selected.obsm["X_umap"][[3, 7]] = 1e5
    ax = rp.pl.embedding(selected)
    rest = np.delete(selected.obsm["X_umap"], [3, 7], axis=0)
    assert np.ptp(ax.get_xlim()) < 2 * np.ptp(rest[:, 0])
    assert any("2 far cells" in text.get_text() for text in ax.texts)


def test_names_of_groups_do_not_lie_on_each_other(selected):
    names = [f"a cell type whose name has {i} letters" for i in range(selected.obs["state"].nunique())]
    selected.obs["state"] = selected.obs["state"].cat.rename_categories(names)
    ax = rp.pl.embedding(selected, color="state")
    ax.figure.canvas.draw()
    boxes = [type(text).__mro__[1].get_window_extent(text) for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_one_name_of_several_is_asked_about(selected):
    selected.obs["patient"] = selected.obs["patient"].cat.rename_categories({"patient_003": "disease"})
    with pytest.raises(ValueError, match=r"`density`.*\('class', 'disease'\).*\('patient', 'disease'\)"):
        rp.pl.embedding(selected, density="disease")
    for kind, title in (("class", "Class"), ("patient", "Patient")):
        assert rp.pl.embedding(selected, density=(kind, "disease")).get_title().startswith(f"{title} disease")


@pytest.mark.parametrize(("verbosity", "said"), [(0, set()), (1, {"UMAP"}), (2, {"UMAP", "finished"})])
def test_messages_follow_the_verbosity_of_scanpy(selected, capsys, verbosity, said):
    before = sc.settings.verbosity
    del selected.obsm["X_umap"]
    try:
        sc.settings.verbosity = verbosity
        rp.pl.embedding(selected)
    finally:
        sc.settings.verbosity = before
    text = capsys.readouterr().err
    assert {word for word in ("UMAP", "finished") if word in text} == said


def test_every_band_has_a_legend(selected):
    rp.tl.audit(selected, n_permutations=9, n_repeats=1)
    for kind, band in {"auroc": "0.3 to 0.7", "variance": "0.6 to 1.4"}.items():
        texts = [text.get_text() for text in rp.pl.audit(selected, kind=kind).get_legend().get_texts()]
        assert any(text.startswith(band) for text in texts)
        assert {"healthy", "disease"} <= set(texts)
