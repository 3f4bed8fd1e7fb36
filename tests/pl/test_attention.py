from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import repatient as rp


@pytest.fixture
def attended(trained):
    return trained[0]


@pytest.fixture
def cells(attended):
    return attended[attended.obs["patient"] == "patient_003"]


def test_cells_are_coloured_by_attention_relative_to_uniform(attended, cells):
    figure = rp.pl.attention(attended, "patient_003").figure
    assert isinstance(figure, Figure)
    others, own = figure.axes[0].collections
    assert len(others.get_offsets()) == attended.n_obs - cells.n_obs
    relative = np.sort(cells.obs["mil_attention"].to_numpy(dtype=float) * cells.n_obs)
    np.testing.assert_allclose(own.get_array(), relative)
    assert own.get_array().mean() == pytest.approx(1, abs=1e-5)
    place = np.asarray(own.get_offsets())[-1]
    np.testing.assert_allclose(place, cells.obsm["X_umap"][cells.obs["mil_attention"].argmax()])


def test_uniform_attention_is_in_the_middle_of_the_scale(attended):
    points = rp.pl.attention(attended, "patient_003").collections[1]
    assert points.norm(1.0) == pytest.approx(0.5)


def test_bars_compare_attention_with_cells(attended, cells):
    ax = rp.pl.attention(attended, "patient_003").figure.axes[1]
    order = [tick.get_text() for tick in ax.get_yticklabels()]
    of_cells, of_attention = ([bar.get_width() for bar in container] for container in ax.containers)
    components = cells.obs["gmm"].astype(str)
    np.testing.assert_allclose(of_cells, components.value_counts(normalize=True)[order])
    attention = cells.obs["mil_attention"].astype(float).groupby(components).sum()
    np.testing.assert_allclose(of_attention, attention[order])
    assert of_attention == sorted(of_attention)
    assert [to_hex(bar.get_facecolor()) for bar in ax.containers[1]] == [
        attended.uns["gmm_colors"][int(name)] for name in order
    ]


def test_the_title_tells_the_prediction(attended):
    row = attended.uns["mil"]["predictions"].loc["patient_003"]
    probability = max(row["probability_healthy"], row["probability_disease"])
    title = rp.pl.attention(attended, "patient_003").figure.get_suptitle()
    assert title == f"patient_003: predicted {row['predicted']} (p = {probability:.2f}), labelled {row['label']}"


def test_an_unlabelled_patient(attended):
    attended.uns["mil"]["predictions"]["label"] = np.nan
    assert "labelled" not in rp.pl.attention(attended, "patient_003").figure.get_suptitle()


def test_patients_named_by_numbers(attended):
    attended.obs["patient"] = attended.obs["patient"].str[-3:].astype(int)
    attended.uns["mil"]["predictions"].index = attended.uns["mil"]["predictions"].index.str[-3:].astype(int).astype(str)
    assert rp.pl.attention(attended, 3).figure.get_suptitle().startswith("3: predicted")


def test_unknown_names(attended, untouched):
    with untouched(attended):
        with pytest.raises(KeyError, match="'nobody'.*'patient_003'"):
            rp.pl.attention(attended, "nobody")
        with pytest.raises(KeyError, match="rp.tl.mil"):
            rp.pl.attention(attended, "patient_003", mil_key="other")
        with pytest.raises(KeyError, match="rp.tl.gmm"):
            rp.pl.attention(attended, "patient_003", gmm_key="other")
        with pytest.raises(KeyError, match="`basis`"):
            rp.pl.attention(attended, "patient_003", basis="other")
    assert plt.get_fignums() == []


def test_mudata(paired):
    figure = rp.pl.attention(paired, "patient_003", basis="rna:X_pca").figure
    assert figure.axes[0].get_xlabel() == "PC 1"
