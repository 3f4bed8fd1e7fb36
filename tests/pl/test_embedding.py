from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import repatient as rp


def names_on(ax) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in ax.texts}


def test_map_and_recipes_share_their_colours(generated):
    figure = rp.pl.embedding(generated).figure
    assert isinstance(figure, Figure)
    on_map, beside = figure.axes
    points = on_map.collections[0]
    assert points.get_rasterized()
    assert len(points.get_offsets()) == generated.n_obs
    of_place = {
        tuple(xy): to_hex(colour) for xy, colour in zip(points.get_offsets(), points.get_facecolors(), strict=True)
    }
    colours = np.array(generated.uns["gmm_colors"])[generated.obs["gmm"].cat.codes]
    assert [of_place[tuple(xy)] for xy in generated.obsm["X_umap"].astype(float)] == list(colours)
    of_bars = [to_hex(container[0].get_facecolor()) for container in beside.containers]
    assert of_bars == generated.uns["gmm_colors"]


def test_numbers_stand_on_a_cell_in_the_midst_of_their_component(generated):
    names = names_on(rp.pl.embedding(generated))
    assert set(names) == set("012345")
    xy = generated.obsm["X_umap"].astype(float)
    extent = np.ptp(xy, axis=0)
    for name, place in names.items():
        of_component = xy[generated.obs["gmm"] == name]
        from_median = np.linalg.norm(of_component - np.median(of_component, axis=0), axis=1)
        nearest = of_component[from_median.argmin()]
        assert (np.abs(place - nearest) / extent < 0.1).all()


def test_thirty_numbers_are_legible(many):
    figure = rp.pl.embedding(many).figure
    figure.canvas.draw()
    for ax in figure.axes:
        # Of an annotation that is led by a line, the line's extent is not the text's.
        boxes = [Text.get_window_extent(text) for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert len(figure.axes[0].texts) == many.obs["gmm"].nunique()


def test_default_bases(generated):
    assert rp.pl.embedding(generated).get_xlabel() == "UMAP 1"
    generated.obsm["X_tsne"] = generated.obsm.pop("X_umap")
    assert rp.pl.embedding(generated).get_xlabel() == "t-SNE 1"
    del generated.obsm["X_tsne"]
    ax = rp.pl.embedding(generated)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("PC 1", "PC 2")
    drawn = np.sort(np.asarray(ax.collections[0].get_offsets()), axis=0)
    np.testing.assert_allclose(drawn, np.sort(generated.obsm["X_pca"][:, :2], axis=0))


def test_named_bases(generated):
    generated.obsm["spatial"] = generated.obsm["X_umap"]
    for basis, label in {"umap": "UMAP 1", "X_pca": "PC 1", "spatial": "spatial 1"}.items():
        assert rp.pl.embedding(generated, basis=basis).get_xlabel() == label


def test_bases_that_there_are_not(generated, untouched):
    with untouched(generated), pytest.raises(KeyError, match=r"'scvi'.*\['X_pca', 'X_umap'\]"):
        rp.pl.embedding(generated, basis="scvi")
    generated.obsm["latent"] = generated.obsm.pop("X_pca")
    del generated.obsm["X_umap"]
    with pytest.raises(KeyError, match=r"`basis`.*\['latent'\]"):
        rp.pl.embedding(generated)
    assert plt.get_fignums() == []


def test_contours_of_a_class_are_where_it_is(generated):
    # All cells of one class on the left, those of the other on the right.
    is_disease = (generated.obs["label"] == "disease").to_numpy()
    generated.obsm["X_umap"] = generated.obsm["X_umap"] * 0.1
    generated.obsm["X_umap"][is_disease, 0] += 10
    ax = rp.pl.embedding(generated, density="disease")
    contours = ax.collections[1]
    assert len(contours.get_paths()) == 3
    assert min(path.vertices[:, 0].min() for path in contours.get_paths() if len(path.vertices)) > 5
    assert ax.get_title() == "Class disease\nContours around 25, 50, 75 % of the cells"


def test_contours_of_patients(generated):
    assert "Generated patient disease_generated_2" in (
        rp.pl.embedding(generated, density="disease_generated_2").get_title()
    )
    assert rp.pl.embedding(generated, density="patient_003").get_title().startswith("Patient patient_003")


def test_density_of_nobody(generated, untouched):
    with untouched(generated), pytest.raises(KeyError, match="'ill'.*'healthy'"):
        rp.pl.embedding(generated, density="ill")
    del generated.uns["generated"]
    with pytest.raises(KeyError, match=r"\[\]"):
        rp.pl.embedding(generated, density="disease_generated_2")


def test_another_column(generated):
    figure = rp.pl.embedding(generated, color="state").figure
    assert set(names_on(figure.axes[0])) == set(generated.obs["state"].unique())
    assert len(generated.uns["state_colors"]) == generated.obs["state"].cat.categories.size
    assert len(generated.uns["gmm_colors"]) == 6


def test_cells_without_a_value_are_grey(generated):
    generated.obs["state"] = generated.obs["state"].cat.remove_categories("B")
    ax = rp.pl.embedding(generated, color="state")
    colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    assert colours.count("#d9d9d9") == generated.obs["state"].isna().sum()
    assert "B" not in names_on(ax)


def test_numbers_are_no_groups(generated):
    with pytest.raises(TypeError, match="'gmm_log_density'"):
        rp.pl.embedding(generated, color="gmm_log_density")


def test_point_sizes(generated):
    assert rp.pl.embedding(generated, size=3.0).collections[0].get_sizes() == [3.0]


def test_recipes_of_another_mixture(generated, untouched):
    rp.tl.gmm(generated, 4)
    with untouched(generated), pytest.raises(ValueError, match="refitted"):
        rp.pl.embedding(generated)


def test_mudata(paired):
    ax = rp.pl.embedding(paired, density="disease_generated_0")
    assert ax.get_xlabel() == "UMAP 1"
    del paired.obsm["X_umap"], paired.obsm["X_pca"]
    with pytest.raises(KeyError, match=r"\['rna:X_pca', 'rna:X_umap'\]"):
        rp.pl.embedding(paired)
    assert rp.pl.embedding(paired, basis="rna:umap").get_ylabel() == "UMAP 2"


def test_real_cohort_without_a_map(read_cohort):
    adata = read_cohort("covid_pbmc_scrna_stephenson20.h5ad")
    adata = adata[::5].copy()
    rp.tl.gmm(adata, 5)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    figure = rp.pl.embedding(adata, density="covid").figure
    assert figure.axes[0].get_xlabel() == "PC 1"
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["covid\n(n=16)", "healthy\n(n=4)"]
