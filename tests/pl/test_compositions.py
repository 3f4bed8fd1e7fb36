from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA

import repatient as rp


def centred_log_ratios(counts) -> np.ndarray:
    logarithms = np.log(np.asarray(counts) + 0.5)
    return logarithms - logarithms.mean(axis=1, keepdims=True)


def test_real_and_generated_on_the_axes_of_the_real(generated):
    counts = rp.get.compositions(generated, generated_key="generated")
    is_generated = counts.index.get_level_values("is_generated")
    pca = PCA(2).fit(centred_log_ratios(counts[~is_generated]))
    ax = rp.pl.compositions(generated)
    others, real = (np.asarray(points.get_offsets()) for points in ax.collections)
    for points, part in ((real, counts[~is_generated]), (others, counts[is_generated])):
        expected = pca.transform(centred_log_ratios(part))
        np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-8)
    assert ax.get_xlabel() == f"Log-ratio PC 1 ({pca.explained_variance_ratio_[0]:.0%} of the variance)"
    assert ax.get_ylabel() == f"Log-ratio PC 2 ({pca.explained_variance_ratio_[1]:.0%} of the variance)"


def test_markers_are_filled_or_open_in_the_colour_of_the_class(generated):
    others, real = rp.pl.compositions(generated).collections
    of_class = dict(zip(generated.obs["label"].cat.categories, generated.uns["label_colors"], strict=True))
    table = generated.uns["recipes"]["patients"]
    assert [to_hex(colour) for colour in real.get_facecolors()] == [of_class[name] for name in table["label"]]
    assert len(others.get_facecolors()) == 0
    table = generated.uns["generated"]["patients"]
    assert [to_hex(colour) for colour in others.get_edgecolors()] == [of_class[name] for name in table["label"]]
    for points, of in ((real, generated.uns["recipes"]), (others, generated.uns["generated"])):
        shapes = {}
        for label, path in zip(of["patients"]["label"], points.get_paths(), strict=True):
            shapes.setdefault(label, set()).add(path.vertices.tobytes())
        assert [len(of_class) for of_class in shapes.values()] == [1, 1]
        assert len(set.union(*shapes.values())) == 2


def test_real_patients_alone(generated):
    ax = rp.pl.compositions(generated, generated_key=None)
    assert len(ax.collections[0].get_offsets()) == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["healthy (n=8)", "disease (n=8)"]


def test_patients_without_a_class_are_grey(plain):
    names = plain.obs["patient"].cat.categories[:2]
    plain.obs["label"] = plain.obs["label"].where(~plain.obs["patient"].isin(names))
    rp.tl.gmm(plain, 5)
    rp.tl.recipes(plain, patient_key="patient", label_key="label")
    ax = rp.pl.compositions(plain, generated_key=None)
    colours = [to_hex(colour) for colour in ax.collections[1].get_facecolors()]
    assert colours.count("#8c8c8c") == 2
    assert ax.get_legend().get_texts()[-1].get_text() == "no class (n=2)"


def test_on_the_axes_that_are_given(generated):
    _, ax = plt.subplots()
    assert rp.pl.compositions(generated, ax=ax) is ax


def test_too_few_components(plain, untouched):
    rp.tl.gmm(plain, 2)
    rp.tl.recipes(plain, patient_key="patient", label_key="label")
    with untouched(plain), pytest.raises(ValueError, match=r"\b16\b.*\b2\b"):
        rp.pl.compositions(plain, generated_key=None)
    assert plt.get_fignums() == []


def test_no_generated_patients(generated):
    with pytest.raises(KeyError, match="rp.tl.generate"):
        rp.pl.compositions(generated, generated_key="others")


def test_mudata(paired):
    assert len(rp.pl.compositions(paired).collections[0].get_offsets()) == 14


def test_one_patient_a_class_is_drawn_among_the_generated(generated, keys):
    kept = generated.obs.groupby("label", observed=True)["patient"].first()
    few = generated[generated.obs["patient"].isin(kept)].copy()
    rp.tl.recipes(few, **keys)
    rp.tl.generate(few, 5)
    ax = rp.pl.compositions(few)
    assert sorted(len(drawn.get_offsets()) for drawn in ax.collections) == [2, 10]
    with pytest.raises(ValueError, match=r"\b2\b"):
        rp.pl.compositions(few, generated_key=None)
