from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer

_STATES = {
    "Monocyte": ["CD14+ Monocyte"],
    "Dendritic": ["Dendritic"],
    "B": ["CD19+ B"],
    "NK": ["CD56+ NK"],
    "CD8 T": ["CD8+ Cytotoxic T", "CD8+/CD45RA+ Naive Cytotoxic"],
    "CD4 T": ["CD4+/CD25 T Reg", "CD4+/CD45RO+ Memory", "CD4+/CD45RA+/CD25- Naive T"],
    "Progenitor": ["CD34+"],
}
_RECIPES = {
    "healthy": [0.16, 0.10, 0.14, 0.12, 0.20, 0.26, 0.02],
    "disease": [0.25, 0.07, 0.17, 0.08, 0.15, 0.23, 0.05],
}
_NOISE = 0.35


@dataclass(frozen=True)
class Truth:
    """What a simulated cohort was made from.

    Parameters
    ----------
    recipes
        Mean composition of a patient, classes × states.
    concentration
        Concentration of the Dirichlet distribution of a patient's composition, the same for all classes.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, truth = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> truth.recipes.shape
    (2, 7)
    """

    recipes: pd.DataFrame
    concentration: float

    def over_components(self, adata: ad.AnnData, gmm_key: str = _store.keys.GMM) -> pd.DataFrame:
        """Mean composition over fitted components: recipe × P(component | state), counted on the cells' states.

        Parameters
        ----------
        adata
            The cohort, with a mixture.
        gmm_key
            Where the mixture is stored.

        Returns
        -------
        Classes × components.
        """
        components, n_components = _store.read_components(adata, gmm_key)
        table = pd.crosstab(adata.obs["state"], components).reindex(
            index=self.recipes.columns, columns=range(n_components), fill_value=0
        )
        shares = table.div(table.sum(axis=1), axis=0)
        over = self.recipes @ shares
        over.columns = [str(k) for k in range(n_components)]
        return over


def pbmc_cohort(
    n_patients: int = 20,
    n_cells: int = 500,
    *,
    concentration: float = 400.0,
    donor_effect: float = 0.1,
    random_state: int = 0,
) -> tuple[ad.AnnData, Truth]:
    """Deal real blood cells to patients of two classes by known recipes.

    The cells are the 700 peripheral blood mononuclear cells that come with scanpy
    (:func:`scanpy.datasets.pbmc68k_reduced`, :cite:p:`Zheng2017`), in seven cell states. A class prefers some states.
    Each patient draws a distribution over the single cells from the Dirichlet distribution around its class's recipe,
    so that its composition over any partition of the cells is Dirichlet with the same concentration, and then its
    cells from that distribution. A cell's principal components are its own, moved by an offset of the patient (the donor
    effect) and by noise, so that two draws of a cell are not one point.

    Parameters
    ----------
    n_patients
        Patients a class.
    n_cells
        Mean number of cells of a patient; sizes vary by about a quarter and do not depend on the class.
    concentration
        How alike the patients of a class are: the variance of a share p between patients is p (1 - p) / (1 +
        concentration).
    donor_effect
        Standard deviation of a patient's offset, in standard deviations of the cells within their states.
    random_state
        Seed.

    Returns
    -------
    adata
        ``X`` normalised logarithmic expression of 765 genes (sparse), ``obs["patient"]``, ``obs["label"]``
        (``"healthy"`` or ``"disease"``), ``obs["state"]``, ``obsm["X_pca"]`` (50 dimensions) and ``obsm["X_umap"]``
        (scanpy's own, with a little noise).
    truth
        The recipes and the concentration, with a method to carry them over to fitted components.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, truth = rp.datasets.pbmc_cohort(n_patients=5, n_cells=100)
    >>> truth.recipes.loc["disease", "Monocyte"]
    np.float64(0.25)
    """
    import scanpy as sc

    check_integer(n_patients, "n_patients", minimum=1)
    check_integer(n_cells, "n_cells", minimum=1)
    rng = np.random.default_rng(check_integer(random_state, "random_state", minimum=0))
    for name, value in {"concentration": concentration, "donor_effect": donor_effect}.items():
        if not np.isfinite(value) or value < 0 or (name == "concentration" and value == 0):
            msg = f"`{name}` is a positive number, not {value!r}."
            raise ValueError(msg)
    cells = sc.datasets.pbmc68k_reduced()
    of_label = {label: state for state, labels in _STATES.items() for label in labels}
    states = cells.obs["bulk_labels"].astype(str).map(of_label).to_numpy(dtype=str)
    recipes = pd.DataFrame(_RECIPES, index=list(_STATES)).T

    labels = np.repeat(recipes.index.to_numpy(dtype=str), n_patients)
    preferences = _preferences(recipes, states, labels, concentration, rng)
    sizes = np.maximum(rng.normal(n_cells, n_cells / 4, size=len(labels)).round().astype(int), n_cells // 4 + 1)
    drawn = rng.multinomial(sizes, preferences)
    patient, cell = np.nonzero(drawn)
    repeats = drawn[patient, cell]
    patient, cell = np.repeat(patient, repeats), np.repeat(cell, repeats)

    names = np.array([f"patient_{i:03d}" for i in rng.permutation(len(labels))])
    adata = ad.AnnData(
        X=cells.raw.X[cell].astype(np.float32),
        obs=pd.DataFrame(
            {
                "patient": pd.Categorical(names[patient]),
                "label": pd.Categorical(labels[patient], categories=list(recipes.index)),
                "state": pd.Categorical(states[cell], categories=list(_STATES)),
            },
            index=[f"cell_{i}" for i in range(len(cell))],
        ),
        var=cells.raw.var[["n_counts"]].copy() if "n_counts" in cells.raw.var else cells.raw.var.copy(),
    )
    spread = _spread_within(cells.obsm["X_pca"], states)
    offsets = donor_effect * spread * rng.standard_normal((len(labels), len(spread)))
    noise = _NOISE * spread * rng.standard_normal((len(cell), len(spread)))
    adata.obsm["X_pca"] = (cells.obsm["X_pca"][cell] + offsets[patient] + noise).astype(np.float32)
    umap = cells.obsm["X_umap"][cell]
    adata.obsm["X_umap"] = (umap + 0.15 * rng.standard_normal(umap.shape)).astype(np.float32)
    return adata, Truth(recipes, float(concentration))


def _preferences(
    recipes: pd.DataFrame, states: np.ndarray, labels: np.ndarray, concentration: float, rng: np.random.Generator
) -> np.ndarray:
    """Distribution of each patient over the single cells, (patients, cells)."""
    one_hot = pd.get_dummies(states)[list(recipes.columns)].to_numpy(dtype=float)
    base = recipes.to_numpy() @ (one_hot / one_hot.sum(axis=0)).T
    alpha = concentration * pd.DataFrame(base, index=recipes.index).loc[labels].to_numpy()
    weights = rng.standard_gamma(alpha)
    return weights / weights.sum(axis=1, keepdims=True)


def _spread_within(embedding: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Standard deviation of each dimension around the means of the states."""
    frame = pd.DataFrame(embedding)
    return (frame - frame.groupby(states).transform("mean")).std().to_numpy()
