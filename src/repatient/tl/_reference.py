"""Another cohort's results, in whatever form a user has them."""

from __future__ import annotations

from os import PathLike
from typing import Any

from anndata import AnnData
from mudata import MuData

from repatient import _store


def reference_entry(reference: Any, key: str, part: str = _store.keys.GMM) -> dict[str, Any]:
    """Mixture (``part="gmm"``) or recipes (``part="recipes"``) of a reference.

    A reference is an object, a recipes file, what was read from one, or an entry of ``uns`` itself.
    """
    if isinstance(reference, AnnData | MuData):
        return _store.uns_entry(reference, key, "reference", part)
    if isinstance(reference, str | PathLike):
        from repatient.io import read_recipes

        reference = read_recipes(reference)
    if not isinstance(reference, dict):
        msg = (
            "`reference` is an AnnData, a MuData, the path of a recipes file, what `rp.io.read_recipes` returns, or an "
            f"entry of `uns`, not {type(reference).__name__}."
        )
        raise TypeError(msg)
    entry = reference.get(part, reference)
    needed = {_store.keys.GMM: "means", _store.keys.RECIPES: "mean"}[part]
    if needed not in entry or "params" not in entry:
        msg = f"`reference`: no {part!r} in it; it has {_store.listed(reference)}."
        raise KeyError(msg)
    return entry
