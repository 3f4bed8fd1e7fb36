"""A fitted translator on other observations of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mudata import MuData

from repatient import _store
from repatient._checks import check_key, listed
from repatient.tl._view_input import rows_of_translator

if TYPE_CHECKING:
    from anndata import AnnData

    from repatient.views import Translator


def apply_translator(
    data: AnnData | MuData,
    source: Any,
    target: Any,
    translator: Translator,
    source_rep: str | None,
    key: str,
    *,
    store: bool | None,
    copy: bool,
) -> Any:
    """Write the synthetic view of observations that the translator need not know."""
    _store.check_data(data)
    for name, argument in ((source, "source"), (target, "target")):
        check_key(name, argument)
    view = translator.translate(
        rows_of_translator(source_of(data, source), translator, source_rep, "source_rep", finite=True)
    )
    keep = view.ndim == 2 if store is None else store
    params = _store.record(
        source=source,
        target=target,
        generator=translator.generator_,
        reason="fitted elsewhere",
        source_rep=source_rep,
        n_source=translator.n_source_,
        n_target=translator.n_target_,
        stored=keep,
    )
    data = data.copy() if copy else data
    written = source_of(data, source)
    if keep:
        written.obsm[key] = view
    written.uns[key] = {"params": params}
    return (translator, data) if copy else translator


def source_of(data: AnnData | MuData, source: str) -> AnnData:
    """The source modality, of a MuData or as it came."""
    if not isinstance(data, MuData):
        return data
    if source not in data.mod:
        msg = f"`source`: no modality {source!r}; there are {listed(data.mod)}."
        raise KeyError(msg)
    _store.check_data(data.mod[source])
    return data.mod[source]
