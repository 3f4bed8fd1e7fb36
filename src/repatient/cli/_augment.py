"""The main job from file to file: what the command line runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from repatient.datasets import Truth

_FULL_COVARIANCE_UP_TO = 64
_EXACT_NEIGHBOURS_UP_TO = 50_000
_COMPONENTS_OF_AN_ORDINATION = 3


@dataclass(frozen=True)
class Settings:
    """Choices of a user of the command line; see ``repatient augment --help``."""

    patient_key: str
    label_key: str
    donor_key: str | None
    use_rep: str | None
    n_components: int
    covariance_type: str
    n_patients: int | dict[str, int] | str
    n_donors: int | None
    select: str
    random_state: int


def augment_file(source: Path, target: Path, settings: Settings, *, figures: Path | None = None) -> ad.AnnData:
    """Augment the cohort of one file into another; returns the cohort with all results."""
    if not source.is_file():
        msg = f"there is no file {str(source)!r}"
        raise FileNotFoundError(msg)
    target.parent.mkdir(parents=True, exist_ok=True)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
    adata = _read(source)
    augment_cohort(adata, target, settings, figures)
    tqdm.write(_summary(adata, settings, target, figures))
    return adata


def augment_demo(folder: Path, settings: Settings) -> None:
    """Augment the embedded cohort and print what was found beside the truth."""
    from repatient.datasets import pbmc_cohort

    folder.mkdir(parents=True, exist_ok=True)
    cohort, truth = pbmc_cohort(random_state=settings.random_state)
    cohort.write_h5ad(folder / "cohort.h5ad")
    adata = augment_file(folder / "cohort.h5ad", folder / "augmented.h5ad", settings, figures=folder)
    tqdm.write(_against_truth(adata, truth))


def augment_cohort(adata: ad.AnnData, target: Path, settings: Settings, figures: Path | None) -> None:
    """Run all steps on a cohort in memory, with a bar that shows which one is on."""
    # The minutes that the mixture takes are not for finding out that a column is missing.
    _check(adata, settings)
    steps = list(_steps(adata, target, settings, figures))
    with tqdm(total=len(steps), bar_format="{desc:<28}{bar}| {n_fmt}/{total_fmt} [{elapsed}]") as bar:
        for name, step in steps:
            bar.set_description_str(name)
            step()
            bar.update()
        bar.set_description_str("done")


def _steps(
    adata: ad.AnnData, target: Path, settings: Settings, figures: Path | None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    from repatient import tl

    keys: dict[str, Any] = {
        "patient_key": settings.patient_key,
        "label_key": settings.label_key,
        "donor_key": settings.donor_key,
    }
    seed = settings.random_state
    yield "fitting the mixture", lambda: _fit(adata, settings)
    yield "learning the recipes", lambda: tl.recipes(adata, **keys, random_state=seed)
    yield (
        "generating patients",
        lambda: tl.generate(adata, settings.n_patients, n_donors=settings.n_donors, random_state=seed),
    )
    if settings.select != "none":
        yield "training and selecting", lambda: _select(adata, keys, settings)
    if figures is not None:
        yield "mapping the cells", lambda: _add_map(adata, settings)
    yield "writing the cells", lambda: _write(adata, target)
    if figures is not None:
        yield "drawing the figures", lambda: _draw(adata, figures, settings)


def _check(adata: ad.AnnData, settings: Settings) -> None:
    _store.check_data(adata)
    patients = _store.read_patients(adata, settings.patient_key, settings.label_key, settings.donor_key)
    _store.read_embedding(adata, settings.use_rep, patient_key=settings.patient_key)
    if isinstance(settings.n_patients, dict):
        unknown = [name for name in settings.n_patients if name not in patients.classes]
        if unknown:
            msg = f"`--n-patients`: no class {listed(unknown)}; there are {listed(patients.classes)}."
            raise ValueError(msg)


def _fit(adata: ad.AnnData, settings: Settings) -> None:
    from repatient import tl

    covariance_type = settings.covariance_type
    if covariance_type == "auto":
        embedding, _ = _store.read_embedding(adata, settings.use_rep)
        covariance_type = "full" if embedding.shape[1] <= _FULL_COVARIANCE_UP_TO else "diag"
    tl.gmm(
        adata,
        settings.n_components,
        use_rep=settings.use_rep,
        covariance_type=covariance_type,
        patient_key=settings.patient_key,
        random_state=settings.random_state,
    )


def _select(adata: ad.AnnData, keys: dict[str, Any], settings: Settings) -> None:
    from repatient import tl

    model = tl.mil(adata, **keys, generated_key=_store.keys.GENERATED, random_state=settings.random_state)
    tl.select(adata, model, keep=settings.select, random_state=settings.random_state)


def _read(source: Path) -> ad.AnnData:
    try:
        return ad.read_h5ad(source)
    except (OSError, KeyError) as error:
        msg = f"{str(source)!r} is no readable .h5ad file: {error}"
        raise ValueError(msg) from error


def _write(adata: ad.AnnData, target: Path) -> None:
    """Write the augmented cohort; a file that was there before stays until the new one is whole."""
    from repatient import get

    temporary = target.with_name(f".{target.name}.partial")
    try:
        get.augmented(adata).write_h5ad(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _add_map(adata: ad.AnnData, settings: Settings) -> None:
    """Compute a UMAP where the cohort has no two-dimensional map of its own."""
    if any(key in adata.obsm for key in ("X_umap", "X_tsne")):
        return
    import scanpy as sc

    use_rep = adata.uns[_store.keys.GMM]["params"]["use_rep"]
    # Exact neighbours take seconds up to here, and approximate ones half a minute to compile.
    transformer = "sklearn" if adata.n_obs <= _EXACT_NEIGHBOURS_UP_TO else None
    sc.pp.neighbors(adata, use_rep=use_rep, transformer=transformer, random_state=settings.random_state)
    sc.tl.umap(adata, random_state=settings.random_state)


def _draw(adata: ad.AnnData, folder: Path, settings: Settings) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from repatient import pl

    figures: dict[str, Callable[[], Any]] = {
        "recipes": lambda: pl.recipes(adata),
        "embedding": lambda: pl.embedding(adata),
    }
    if len(adata.uns[_store.keys.GMM]["weights"]) >= _COMPONENTS_OF_AN_ORDINATION:
        figures["compositions"] = lambda: pl.compositions(adata)
    if settings.select != "none":
        predictions = adata.uns[_store.keys.MIL]["predictions"]
        figures["uncertainty"] = lambda: pl.uncertainty(adata)
        figures["attention"] = lambda: pl.attention(adata, str(predictions["uncertainty"].idxmax()))
        figures["history"] = lambda: pl.history(adata)
    backend = mpl.get_backend()
    plt.switch_backend("agg")
    try:
        for name, draw in figures.items():
            drawn = draw()
            figure = getattr(drawn, "figure", drawn)
            figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
            plt.close(figure)
    finally:
        plt.switch_backend(backend)


def _summary(adata: ad.AnnData, settings: Settings, target: Path, figures: Path | None) -> str:
    real = adata.uns[_store.keys.RECIPES]["patients"]["label"].value_counts(sort=False)
    generated = adata.uns[_store.keys.GENERATED]["patients"]
    columns = {"real": real, "generated": generated["label"].value_counts(sort=False)}
    if "selected" in generated:
        columns["selected"] = generated.loc[generated["selected"], "label"].value_counts(sort=False)
    table = pd.DataFrame({name: column.rename(str) for name, column in columns.items()}).fillna(0).astype(int)
    table.index.name = settings.label_key
    mixture = adata.uns[_store.keys.GMM]
    lines = [
        "",
        f"{adata.n_obs:,} cells in {len(mixture['weights'])} {mixture['params']['covariance_type']} components of "
        f"{mixture['params']['use_rep']} ({mixture['means'].shape[1]} dimensions)",
        "",
        "patients",
        table.to_string(),
        "",
        f"cells of the patients: {target}",
    ]
    if figures is not None:
        lines.append(f"figures: {figures}")
    return "\n".join(lines)


def _against_truth(adata: ad.AnnData, truth: Truth) -> str:
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
