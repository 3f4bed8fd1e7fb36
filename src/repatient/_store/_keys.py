"""Where results are kept in the object, and the one place that knows which embedding is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GMM = "gmm"
RECIPES = "recipes"
GENERATED = "generated"
MIL = "mil"
EVALUATION = "evaluation"
AUDIT = "audit"
EXPLANATION = "explanation"
COMPARISON = "compare_recipes"
SPI = "X_spi"
VIEWS = "views"
# Column of `obs` that tells generated cells from real ones.
IS_GENERATED = "is_generated"

EMBEDDED = "X_embedded"
EMBEDDING = "embedding"
DEFAULT_EMBEDDINGS = (EMBEDDED, "X_pca")


def log_density(key: str) -> str:
    """Column of ``obs`` with the log-density of each cell under the mixture."""
    return f"{key}_log_density"


def responsibilities(key: str) -> str:
    """Key of ``obsm`` with the probability of each component for each cell."""
    return f"{key}_proba"


def attention(key: str) -> str:
    """Column of ``obs`` with the attention of each cell within its patient."""
    return f"{key}_attention"


def contribution(key: str) -> str:
    """Column of ``obs`` with what each cell adds to the score of its patient."""
    return f"{key}_contribution"


def synthetic(target: str) -> str:
    """Key of ``obsm`` and ``uns`` with the synthetic view of a modality."""
    return f"X_{target}_synthetic"


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Columns of a table of predictions, one a class, without the slashes that h5ad and zarr take for folders."""
    columns = [f"probability_{name}" for name in classes]
    taken = {name for name in columns if "/" not in name}
    for i, name in enumerate(columns):
        if "/" in name:
            columns[i] = name.replace("/", "|")
            while columns[i] in taken:
                columns[i] += "_"
            taken.add(columns[i])
    return columns


def has_own_units(use_rep: str) -> bool:
    """Whether features are measured in units of their own, as those of a matrix are, and coordinates are not."""
    return use_rep.rpartition(":")[2] == "X"
