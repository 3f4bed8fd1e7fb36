"""Figures of out-of-fold predictions draw the numbers of `rp.get` and nothing else."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.metrics import confusion_matrix, roc_auc_score

import repatient as rp

FIGURES = (rp.pl.scores, rp.pl.roc, rp.pl.calibration, rp.pl.confusion)
LONG = "mild/moderate and a name that goes on and on and on"


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_dot_a_patient_sorted_by_class(held_out):
    ax = rp.pl.scores(held_out)
    table = rp.get.scores(held_out)
    drawn = ax.collections[1::2]
    for points, name in zip(drawn, ("healthy", "disease"), strict=True):
        of_class = table[table["label"] == name].sort_values("probability_disease")
        np.testing.assert_allclose(points.get_offsets()[:, 0], of_class["probability_disease"])
        wrong = (of_class["predicted"] != name).to_numpy()
        assert [to_hex(face) == "#ffffff" for face in points.get_facecolors()] == wrong.tolist()
        right = int((of_class["predicted"] == name).sum())
        assert f"{name} (n = {len(of_class)}, {right} right)" in texts(ax)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert sorted(names) == sorted(table.index)
    assert "Probability of disease" in ax.get_xlabel()
    assert "label_colors" in held_out.uns


def test_of_several_classes_the_own_ones_probability(several_classes):
    ax = rp.pl.scores(several_classes)
    table = rp.get.scores(several_classes)
    own = table[table["label"] == "severe"]["probability_severe"]
    np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 0], own.sort_values())
    assert max(map(len, texts(ax))) < 60
    of_one = rp.pl.scores(several_classes, label=LONG)
    everyone = np.concatenate([points.get_offsets()[:, 0] for points in of_one.collections[1::2]])
    np.testing.assert_allclose(np.sort(everyone), np.sort(table[f"probability_{LONG.replace('/', '|')}"]))


def test_the_mean_curve_has_the_mean_area(held_out):
    ax = rp.pl.roc(held_out, ["mean", "mean+recipe"])
    results = held_out.uns["evaluation"]["results"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    for line, name, label in zip(ax.lines[1:], ("mean", "mean+recipe"), legend, strict=False):
        values = results[(results["method"] == name) & (results["metric"] == "auroc")]["value"]
        assert f"AUROC {values.mean():.2f} ± {values.std():.2f}" in label
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(values.mean(), abs=5e-3)
    assert legend[-1] == "90% of 12 splits"
    for band, line in zip(ax.collections, ax.lines[1:], strict=True):
        top = band.get_paths()[0].vertices[:, 1].max()
        assert top >= line.get_ydata().max() - 1e-9


def test_a_curve_a_class_against_the_rest(several_classes):
    ax = rp.pl.roc(several_classes)
    table = rp.get.out_of_fold(several_classes)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    for name, text in zip(("healthy", LONG, "severe"), labels, strict=False):
        column = f"probability_{name.replace('/', '|')}"
        areas = [roc_auc_score(part["label"] == name, part[column]) for _, part in table.groupby("split")]
        assert f"AUROC {np.mean(areas):.2f}" in text
    with pytest.raises(ValueError, match="`method`"):
        rp.pl.roc(several_classes, ["auto", "auto"])


def test_markers_are_the_bins(held_out):
    ax = rp.pl.calibration(held_out, "mean", n_bins=5)
    table = rp.get.out_of_fold(held_out, method="mean")
    y = (table["label"] == "disease").to_numpy()
    p = table["probability_disease"].to_numpy()
    curve = rp.evaluation.reliability(y, p, n_bins=5)
    np.testing.assert_allclose(ax.collections[-1].get_offsets(), np.stack([curve.predicted, curve.observed], axis=1))
    patients = [table["patient"][curve.bins == k].nunique() for k in range(len(curve.counts))]
    assert texts(ax) == [str(n) for n in patients]
    error = rp.evaluation.calibration_error(y.astype(int), np.stack([1 - p, p], axis=1), n_bins=5)
    assert f"calibration error {error:.2f}" in ax.get_title(loc="left")


def test_rows_of_the_confusion_add_up(several_classes):
    ax = rp.pl.confusion(several_classes)
    table = rp.get.out_of_fold(several_classes)
    predicted = table.filter(like="probability_").to_numpy().argmax(axis=1)
    counts = confusion_matrix(table["label"].cat.codes, predicted)
    np.testing.assert_allclose(ax.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    assert [int(text) for text in texts(ax)[1::2]] == counts.ravel().tolist()
    assert (
        ax.get_yticklabels()[0].get_text()
        == f"healthy\n(n = {table[table['label'] == 'healthy']['patient'].nunique()})"
    )


@pytest.mark.parametrize("figure", FIGURES)
def test_on_axes_of_ones_own(held_out, figure):
    _, ax = plt.subplots()
    assert figure(held_out, ax=ax) is ax
    with pytest.raises(TypeError, match="`ax`"):
        figure(held_out, ax=1)
    with pytest.raises(ValueError, match="`method`"):
        figure(held_out, "best")
