"""Add generated patients to a cohort.

Read a cohort, fit the mixture, learn the recipes, generate patients, and write the cohort with them: obsm["generated"]
says how often each cell is in each generated patient, uns["generated"] who they are. With --materialise, real and
generated cells are written as rows: obs["is_generated"] tells them apart, obs["source_cell"] says which real cell a row is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import listed
from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import anndata as ad

_FULL_COVARIANCE_UP_TO = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="out.h5ad", help="where to write the cohort with them")
    _cohort.add_columns(parser)
    parser.add_argument(
        "--materialise", action="store_true", help="write copies of the drawn cells (out.h5ad or out.zarr), not indices"
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the figures into this folder")
    add_settings(parser, select="none")


def add_settings(parser: argparse.ArgumentParser, *, select: str) -> None:
    """Settings of the steps."""
    parser.add_argument(
        "--n-components", type=int, metavar="K", help="components of the mixture (default: that of rp.tl.gmm)"
    )
    parser.add_argument(
        "--covariance-type",
        choices=["auto", "full", "tied", "diag"],
        default="auto",
        help="covariance of a component (auto: full up to 64 dimensions, diag above)",
    )
    parser.add_argument(
        "--n-patients",
        default="50",
        metavar="N",
        help="patients to generate: a number for every class, CLASS=N,CLASS=N for some, or balance (%(default)s)",
    )
    parser.add_argument(
        "--n-donors", type=int, metavar="M", help="mix each patient from the cells of M donors (default: all)"
    )
    parser.add_argument(
        "--select",
        choices=["none", "low", "high", "band", "correct"],
        default=select,
        help="keep generated patients by the uncertainty of a patient classifier (%(default)s)",
    )
    _cohort.add_seed(parser)
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Augment the cohort of one file into another."""
    # The minutes that the mixture takes are not for finding out that a column is missing, or that nothing can be written.
    n_patients = parse_n_patients(arguments.n_patients)
    suffixes = (".h5ad", ".zarr") if arguments.materialise else (".h5ad",)
    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_file(arguments.output, suffixes=suffixes, overwrite=arguments.overwrite, source=arguments.input)
    augment(adata, arguments, n_patients)


def augment(adata: ad.AnnData, arguments: argparse.Namespace, n_patients: int | dict[str, int] | str) -> None:
    """Run all steps on a cohort in memory, with a bar that shows which one is on."""
    from tqdm.auto import tqdm

    classes = _cohort.check_cohort(adata, arguments)
    unknown = [name for name in n_patients if name not in classes] if isinstance(n_patients, dict) else []
    if unknown:
        msg = f"`--n-patients`: no class {listed(unknown)}; there are {listed(classes)}."
        raise ValueError(msg)
    if arguments.figures is not None:
        from repatient.cli._figures import check_figures

        check_figures(arguments.figures, overwrite=arguments.overwrite)
    steps = list(_steps(adata, arguments, n_patients))
    with tqdm(total=len(steps), bar_format="{desc:<28}{bar}| {n_fmt}/{total_fmt} [{elapsed}]") as bar:
        for name, step in steps:
            bar.set_description_str(name)
            step()
            bar.update()
        bar.set_description_str("done")
    tqdm.write(_summary(adata, arguments))


def _steps(
    adata: ad.AnnData, arguments: argparse.Namespace, n_patients: int | dict[str, int] | str
) -> Iterator[tuple[str, Callable[[], Any]]]:
    from repatient import get, tl
    from repatient.cli import _figures

    keys, seed, figures = _cohort.keys_of(arguments), arguments.random_state, arguments.figures
    yield "fitting the mixture", lambda: _fit(adata, arguments)
    yield "learning the recipes", lambda: tl.recipes(adata, **keys, random_state=seed)
    yield (
        "generating patients",
        lambda: tl.generate(adata, n_patients, n_donors=arguments.n_donors, random_state=seed),
    )
    if arguments.select != "none":
        yield "training and selecting", lambda: _select(adata, keys, arguments)
    if figures is not None:
        yield "mapping the cells", lambda: _figures.add_map(adata, seed)
    if arguments.materialise:
        compression = None if arguments.output.suffix == ".zarr" else "gzip"
        yield (
            "writing the cells",
            lambda: get.augmented(adata, to=arguments.output, compression=compression, progress=False),
        )
    else:
        yield "writing the cohort", lambda: _cohort.write_cohort(adata, arguments.output)
    if figures is not None:
        yield (
            "drawing the figures",
            lambda: _figures.draw_figures(adata, figures, with_model=arguments.select != "none"),
        )


def _fit(adata: ad.AnnData, arguments: argparse.Namespace) -> None:
    from repatient import tl

    covariance_type = arguments.covariance_type
    if covariance_type == "auto":
        embedding, _ = _store.read_embedding(adata, arguments.use_rep)
        covariance_type = "full" if embedding.shape[1] <= _FULL_COVARIANCE_UP_TO else "diag"
    number = {} if arguments.n_components is None else {"n_components": arguments.n_components}
    tl.gmm(
        adata,
        **number,
        use_rep=arguments.use_rep,
        covariance_type=covariance_type,
        patient_key=arguments.patient_key,
        random_state=arguments.random_state,
    )


def _select(adata: ad.AnnData, keys: dict[str, Any], arguments: argparse.Namespace) -> None:
    from repatient import tl

    options = {"model": "attention", "generated_key": _store.keys.GENERATED, "random_state": arguments.random_state}
    model = tl.mil(adata, **keys, **options)
    tl.select(adata, model, keep=arguments.select, random_state=arguments.random_state)


def parse_n_patients(text: str) -> int | dict[str, int] | str:
    """Read ``50``, ``healthy=50,disease=20`` or ``balance``."""
    if text == "balance":
        return text
    try:
        if "=" not in text:
            return int(text)
        # The last sign separates, as the name of a class may hold one itself.
        return {name: int(number) for name, number in (part.rsplit("=", 1) for part in text.split(","))}
    except ValueError as error:
        msg = f"`--n-patients` is a number, CLASS=N,CLASS=N or balance, not {text!r}."
        raise ValueError(msg) from error


def _summary(adata: ad.AnnData, arguments: argparse.Namespace) -> str:
    import pandas as pd

    real = adata.uns[_store.keys.RECIPES]["patients"]["label"].value_counts(sort=False)
    generated = adata.uns[_store.keys.GENERATED]["patients"]
    columns = {"real": real, "generated": generated["label"].value_counts(sort=False)}
    if "selected" in generated:
        columns["selected"] = generated.loc[generated["selected"], "label"].value_counts(sort=False)
    table = pd.DataFrame({name: column.rename(str) for name, column in columns.items()}).fillna(0).astype(int)
    table.index.name = arguments.label_key
    mixture = adata.uns[_store.keys.GMM]
    lines = [
        "",
        f"{adata.n_obs:,} cells in {len(mixture['weights'])} {mixture['params']['covariance_type']} components of "
        f"{mixture['params']['use_rep']} ({mixture['means'].shape[1]} dimensions)",
        "",
        "patients",
        table.to_string(),
        "",
        f"{'cells of the patients' if arguments.materialise else 'cohort'}: {arguments.output}",
    ]
    if arguments.figures is not None:
        lines.append(f"figures: {arguments.figures}")
    return "\n".join(lines)
