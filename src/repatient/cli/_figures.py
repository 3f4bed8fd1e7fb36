"""The figures of an augmented cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._files._atomic import replace_when_whole
from repatient._files._target import check_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

NAMES = ("recipes", "embedding", "compositions", "uncertainty", "attention", "history")
_EXACT_NEIGHBOURS_UP_TO = 50_000
_COMPONENTS_OF_AN_ORDINATION = 3
_SOFTWARE = "repatient"


def check_figures(folder: Path, *, overwrite: bool) -> None:
    """Accept a folder to draw into, where no figure would replace one that is not ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        check_target(folder / f"{name}.png", "--figures", what="figure", ours=_is_ours, overwrite=overwrite)


def add_map(adata: ad.AnnData, random_state: int) -> None:
    """Compute a UMAP where the cohort has no two-dimensional map of its own."""
    if any(key in adata.obsm for key in ("X_umap", "X_tsne")):
        return
    import scanpy as sc

    use_rep = adata.uns[_store.keys.GMM]["params"]["use_rep"]
    # Exact neighbours take seconds up to here, and approximate ones half a minute to compile.
    transformer = "sklearn" if adata.n_obs <= _EXACT_NEIGHBOURS_UP_TO else None
    sc.pp.neighbors(adata, use_rep=use_rep, transformer=transformer, random_state=random_state)
    sc.tl.umap(adata, random_state=random_state)


def draw_figures(adata: ad.AnnData, folder: Path, *, with_model: bool) -> None:
    """Draw what there is to see, each figure into a file of its name."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from repatient import pl

    figures: dict[str, Callable[[], Any]] = {
        "recipes": lambda: pl.recipes(adata),
        "embedding": lambda: pl.embedding(adata),
    }
    if len(adata.uns[_store.keys.GMM]["weights"]) >= _COMPONENTS_OF_AN_ORDINATION:
        figures["compositions"] = lambda: pl.compositions(adata)
    if with_model:
        predictions = adata.uns[_store.keys.MIL]["predictions"]
        figures["uncertainty"] = lambda: pl.uncertainty(adata)
        if _store.keys.attention(_store.keys.MIL) in adata.obs:
            figures["attention"] = lambda: pl.attention(adata, str(predictions["uncertainty"].idxmax()))
        if not adata.uns[_store.keys.MIL]["history"].empty:
            figures["history"] = lambda: pl.history(adata)
    backend = mpl.get_backend()
    plt.switch_backend("agg")
    try:
        for name, draw in figures.items():
            drawn = draw()
            figure = getattr(drawn, "figure", drawn)
            with replace_when_whole(folder / f"{name}.png") as new:
                figure.savefig(new, dpi=150, bbox_inches="tight", metadata={"Software": _SOFTWARE})
            plt.close(figure)
    finally:
        plt.switch_backend(backend)


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return f"Software\0{_SOFTWARE}".encode() in file.read(4096)
