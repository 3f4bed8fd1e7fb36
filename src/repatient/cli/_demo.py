"""Augment a cohort of known recipes, and compare what was found with the truth.

Deal the blood cells that come with scanpy to patients of two classes by known recipes, augment that cohort, and print what
was found beside the truth. A short evaluation (plain predictors, ten splits) and an audit go into report.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient.cli import _augment, _cohort

if TYPE_CHECKING:
    import argparse

    import anndata as ad

    from repatient.datasets import Truth

# Those that take seconds, with and without generated patients, and the control that sees no cells.
_METHODS = ["mean", "composition", "likelihood", "mean+recipe", "size_only"]
_SPLITS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "folder", type=Path, help="where to leave cohort.h5ad, augmented.h5ad, report.html and the figures"
    )
    _augment.add_settings(parser, select="low")
    parser.set_defaults(
        n_components=10,
        patient_key="patient",
        label_key="label",
        donor_key=None,
        missing_values=None,
        use_rep=None,
        materialise=False,
    )


def run(arguments: argparse.Namespace) -> None:
    """Augment the embedded cohort and print what was found beside the truth."""
    from tqdm.auto import tqdm

    from repatient.datasets import pbmc_cohort

    n_patients = _augment.parse_n_patients(arguments.n_patients)
    folder = arguments.folder
    arguments.output, arguments.figures = folder / "augmented.h5ad", folder
    for path in (folder / "cohort.h5ad", arguments.output):
        _cohort.check_file(path, suffixes=(".h5ad",), overwrite=arguments.overwrite)
    page = folder / "report.html"
    _cohort.check_page(page, overwrite=arguments.overwrite, source=folder / "cohort.h5ad")
    adata, truth = pbmc_cohort(random_state=arguments.random_state)
    _cohort.write_cohort(adata, folder / "cohort.h5ad")
    _augment.augment(adata, arguments, n_patients)
    tqdm.write(_against_truth(adata, truth))
    _report(adata, page, arguments.random_state)
    tqdm.write(f"\nreport: {page}")


def _report(adata: ad.AnnData, page: Path, random_state: int) -> None:
    from repatient import io, tl

    keys: dict[str, Any] = {"patient_key": "patient", "label_key": "label"}
    tl.evaluate(adata, **keys, methods=_METHODS, n_splits=_SPLITS, random_state=random_state)
    if _store.keys.MIL not in adata.uns:
        tl.mil(adata, **keys, random_state=random_state)
    tl.audit(adata, random_state=random_state)
    io.write_report(adata, page, title="Blood cells dealt to patients by known recipes")


def _against_truth(adata: ad.AnnData, truth: Truth) -> str:
    import numpy as np
    import pandas as pd

    from repatient import get

    recipes = adata.uns[_store.keys.RECIPES]
    true = truth.over_components(adata)
    found = recipes["mean"].loc[true.index]
    counts = get.compositions(adata, generated_key=_store.keys.GENERATED)
    shares = counts.div(counts.sum(axis=1), axis=0)
    generated = shares.xs(key=True, level="is_generated").groupby("label").mean().loc[true.index]
    by_component = pd.concat(
        {
            (name, what): table.loc[name]
            for name in true.index
            for what, table in {"truth": true, "found": found, "generated": generated}.items()
        },
        axis=1,
    )
    by_component.index.name = "component"
    summary = pd.DataFrame(
        {
            "L1 found to truth": np.abs(found - true).sum(axis=1).round(3),
            "L1 generated to truth": np.abs(generated - true).sum(axis=1).round(3),
            "concentration found": pd.Series(recipes["concentration"], index=recipes["classes"]).round(0),
            "true": truth.concentration,
        }
    )
    return "\n".join(
        [
            "",
            "mean share of a patient's cells in each component, in per cent",
            (100 * by_component).round(1).to_string(),
            "",
            "how far from the truth (L1, from 0 to 2), and how alike patients are",
            summary.to_string(),
        ]
    )
