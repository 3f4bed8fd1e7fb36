"""Every figure of `rp.pl`, drawn on small cohorts for the gallery.

A function here draws what its name says: that of a function of `rp.pl`, and behind two underscores that of a variant. Its
docstring is the caption, its body the code that the gallery shows.
"""

# A caption is a paragraph, without a summary of its own.
# ruff: noqa: D205
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd

import repatient as rp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEYS = {"patient_key": "patient", "label_key": "label"}


@cache
def cohort() -> ad.AnnData:
    """20 patients of two classes, with all that `rp.pl` draws of one cohort."""
    adata, _ = rp.datasets.pbmc_cohort(n_patients=10, n_cells=150, donor_effect=0.3)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :10].copy()
    rp.tl.gmm(adata, n_components=8, progress=False)
    rp.tl.recipes(adata, **KEYS)
    rp.tl.compare_recipes(adata)
    rp.tl.generate(adata, n_patients=20)
    model = rp.tl.mil(adata, **KEYS, model="attention", generated_key="generated", progress=False)
    rp.tl.select(adata, model)
    rp.tl.audit(adata)
    rp.tl.evaluate(
        adata,
        **KEYS,
        scenario="low_data",
        n_patients=3,
        methods=["none", "recipe", "psemix", "null", "size_only"],
        n_splits=5,
        n_steps=40,
        progress=False,
    )
    return adata


@cache
def two_views() -> md.MuData:
    """300 simulated cells of three kinds, one of which the target does not have."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(3, size=300)
    latent = np.eye(3)[kinds] * 4 + rng.normal(size=(300, 3))
    parts = {}
    for name, of_kind in {"rna": slice(0, 3), "protein": slice(0, 2)}.items():
        there = np.isin(kinds, np.arange(3)[of_kind])
        features = latent @ rng.normal(size=(3, 6)) if name == "rna" else latent @ np.eye(3, 4)
        parts[name] = ad.AnnData(
            (features + 0.3 * rng.normal(size=features.shape)).astype(np.float32)[there],
            obs=pd.DataFrame({"kind": pd.Categorical(np.array(["T", "B", "NK"])[kinds])}).loc[there].rename(index=str),
            var=pd.DataFrame(index=[f"{name}_{i}" for i in range(features.shape[1])]),
            obsm={"X_umap": latent[there][:, :2].astype(np.float32)},
        )
    with md.set_options(pull_on_update=False):
        mdata = md.MuData(parts)
    rp.tl.synthesize(mdata, "rna", "protein", pairs="obs_names", groupby="kind", device="cpu", progress=False)
    return mdata


def embedding() -> Axes:
    """Left, the cells on their map, coloured by component of the mixture; right, what the patients of each class are made
    of, in the same colours. Look for components that one class has much more of, and find their cells on the map.
    """
    return rp.pl.embedding(cohort())


def embedding__cell_types() -> Axes:
    """The cells coloured by an annotation, with contours around those of one class; the bars keep the colours of the
    components. Contours that differ between classes are differences in composition.
    """
    return rp.pl.embedding(cohort(), color="state", density="disease")


def recipes() -> Axes:
    """The mean share of each component in a patient of a class; whiskers span 80 % of its patients. Classes differ where
    the whiskers of a component hardly overlap.
    """
    return rp.pl.recipes(cohort())


def recipes__stacked() -> Axes:
    """The same recipes as one bar a class: right for a talk, less so for small components."""
    return rp.pl.recipes(cohort(), kind="stacked")


def recipes__dots() -> Axes:
    """The same for many classes and components: the area of a dot is the share, its colour how it departs from the mean of
    the classes, ordered here from what the first class has more of to what the last has more of.
    """
    return rp.pl.recipes(cohort(), kind="dots", order="difference")


def recipes__heatmap() -> Axes:
    """The shares alone, as colour."""
    return rp.pl.recipes(cohort(), kind="heatmap")


def compare_recipes() -> Axes:
    """How much more or less of each component one class has: posterior median and credible interval, filled where the
    difference survives the correction for their number. Open circles are components that nothing was shown of.
    """
    return rp.pl.compare_recipes(cohort())


def compositions() -> Axes:
    """Patients by their compositions, real ones filled and generated ones open. Generated patients should lie among the
    real ones of their class, and be as far apart; a tight clump in the middle says that they are too alike.
    """
    return rp.pl.compositions(cohort())


def audit() -> Axes:
    """What `rp.tl.audit` measured. Good generated patients have ellipses like the real ones, an AUROC near .5 (nothing tells
    them from real ones), a variance ratio near 1, and a re-identification not far above its chance. These do not: with ten
    donors a class, generated patients that borrow the offsets of real ones can be traced to them.
    """
    return rp.pl.audit(cohort())


def audit__patients() -> Axes:
    """One panel of it on axes of your own: patients by the means of their cells."""
    return rp.pl.audit(cohort(), kind="patients")


def history() -> Axes:
    """Losses of the classifier's training. The weights kept are those of the epoch with the lowest validation loss; if the
    validation loss rises while the training loss falls, the classifier learns its patients by heart.
    """
    return rp.pl.history(cohort())


def contributions() -> Axes:
    """What the score of one patient comes from, from the intercept on top to the score below: red components
    raise it, blue ones lower it. Components bear the names of the cells that most of theirs are.
    """
    adata = cohort().copy()
    model = rp.tl.mil(adata, **KEYS, model="mean")
    rp.tl.name_components(adata, "state")
    rp.tl.explain(adata, model)
    return rp.pl.contributions(adata, adata.obs["patient"].iloc[-1])


def attention() -> Axes:
    """Where the score of one patient comes from: its cells by their attention, and for each component its share of the
    attention beside its share of the cells. Where the first is larger, the classifier looks at that component.
    """
    return rp.pl.attention(cohort(), cohort().obs["patient"].iloc[-1])


def uncertainty() -> Axes:
    """How uncertain the classifier is of each generated patient. Filled ones were selected; a cross is a patient that was
    predicted as another class than the one it was generated for.
    """
    return rp.pl.uncertainty(cohort())


def evaluation() -> Axes:
    """Left, what each method adds to the baseline: a small dot for each split, a large one for their mean with its
    corrected interval, filled only where the interval excludes 0. Right, the values themselves. Look at `null` and
    `size_only` first: a gain that they have, too, is none of the recipes. (Few splits of a short training, so that the
    intervals are wide.)
    """
    return rp.pl.evaluation(cohort())


def scores() -> Axes:
    """What each patient was predicted as while nothing was learnt from it: the mean over the splits, with a line for how
    much it depends on who else was trained on. Open dots are predicted wrongly; look at them one by one.
    """
    return rp.pl.scores(cohort())


def roc() -> Axes:
    """Sensitivity against false positives, averaged over the splits. A wide band says that a few patients decide."""
    return rp.pl.roc(cohort())


def calibration() -> Axes:
    """Whether a predicted probability may be taken at its word: markers below the diagonal are promises not kept. The
    numbers at the bottom are the patients behind each marker; where they are few, so is what can be said.
    """
    return rp.pl.calibration(cohort())


def confusion() -> Axes:
    """Which classes are taken for which: rows add up to 100 %, the diagonal is right."""
    return rp.pl.confusion(cohort())


def views() -> Axes:
    """Translated cells beside their source and the nearest measured cell, both maps, and the fidelity of each group
    (FOSCTTM: 0 is perfect). Natural killer cells are not in the target and were translated into cells of another group;
    that no fidelity could be measured for them is the sign.
    """
    return rp.pl.views(two_views(), "rna", "protein", color="kind")
