"""Learn an embedding of the cells, or bring new cells into one.

Learn the steps from measured features to an embedding on (training) patients and write the cohort with obsm["X_embedded"]
and the steps (rp.pp.embed); or, with --reference, apply the steps of another cohort or model (rp.pp.project).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient.cli import _cohort

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _cohort.add_input(parser)
    parser.add_argument("output", type=Path, metavar="out.h5ad", help="where to write the cohort with it")
    parser.add_argument(
        "--kind",
        choices=["counts", "intensities", "features"],
        help="raw counts of genes, intensities of markers, or features of an encoder",
    )
    parser.add_argument("--reference", type=Path, metavar="PATH", help="cohort (.h5ad) or model whose steps to apply")
    parser.add_argument("--source", metavar="NAME", help="where the features are: X, a layer or a key of obsm")
    parser.add_argument(
        "--n-components", type=int, metavar="N", help="principal components (default: 50; intensities: none)"
    )
    parser.add_argument(
        "--train-key", metavar="COLUMN", help="column of obs, true for the training cells (default: all)"
    )
    parser.add_argument(
        "--allow-missing", type=float, default=0.0, metavar="SHARE", help="features that may be missing (%(default)s)"
    )
    _cohort.add_overwrite(parser)


def run(arguments: argparse.Namespace) -> None:
    """Embed the cohort of a file."""
    from tqdm.auto import tqdm

    from repatient import pp

    if (arguments.kind is None) == (arguments.reference is None):
        msg = "give `--kind`, to learn an embedding, or `--reference`, to apply that of another cohort or model."
        raise ValueError(msg)
    given: dict[str, Any] = {
        "source": arguments.source,
        "n_components": arguments.n_components,
        "mask_obs": arguments.train_key,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.reference is not None and given.keys() - {"source"}:
        msg = (
            "`--n-components` and `--train-key` are for learning an embedding; with `--reference` it is there already."
        )
        raise ValueError(msg)
    adata = _cohort.read_cohort(arguments.input)
    _cohort.check_file(arguments.output, suffixes=(".h5ad",), overwrite=arguments.overwrite, source=arguments.input)
    if arguments.reference is None:
        pp.embed(adata, arguments.kind, **given)
    else:
        pp.project(adata, _cohort.read_reference(arguments.reference), allow_missing=arguments.allow_missing, **given)
    _cohort.write_cohort(adata, arguments.output)
    tqdm.write(f"{adata.obsm['X_embedded'].shape[1]} dimensions of {adata.n_obs:,} cells: {arguments.output}")
