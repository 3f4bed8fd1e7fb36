"""From an object to a page."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_key, listed
from repatient.report import _cohort, _results
from repatient.report._reference import elsewhere

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.report._request import Request

_PACKAGES = ("repatient", "anndata", "mudata", "numpy", "scipy", "pandas", "scikit-learn", "torch")


# Parts without which an entry of this name is another package's.
_PARTS = {"recipes_key": "counts", "evaluation_key": "results", "mil_key": "predictions", "audit_key": "measures"}


def render(data: AnnData | MuData, request: Request) -> str:
    """Write what an object holds as one HTML page without a script and without a request to anywhere.

    Parameters
    ----------
    data
        AnnData or MuData. It is left as it is.
    request
        What to read.

    Returns
    -------
    The page.

    Raises
    ------
    KeyError
        If a key that is not the default one does not exist.
    ValueError
        If the method was not run.
    """
    import jinja2

    entries = _read_entries(data, request)
    who = _cohort.read_who(data, entries)
    colours = {name: data.uns[name] for name in data.uns if str(name).endswith("_colors")}
    sections = [
        _results.summary(data, entries, who, request),
        _cohort.cohort(data, who, entries, request.batch_key),
        *_results.evaluation(data, entries.get("evaluation_key"), request),
        _results.drivers(data, entries, who, request),
        *elsewhere(entries.get("mil_key")),
        _results.generated(data, entries.get("audit_key"), request),
        _results.recipes(data, entries.get("recipes_key"), request),
        _cohort.record(entries, {name: getattr(request, name) for name in entries}),
        _cohort.limits(who, entries, request.batch_key),
    ]
    _restore_colours(data, colours)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("repatient.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    versions = {"Python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    return environment.get_template("page.html").render(title=request.title, sections=sections, versions=versions)


def _read_entries(data: AnnData | MuData, request: Request) -> dict[str, Mapping[str, Any]]:
    """Results by the name of their parameter, those that are there."""
    entries: dict[str, Mapping[str, Any]] = {}
    for field in fields(request):
        if not field.name.endswith("_key") or field.name == "batch_key":
            continue
        key = getattr(request, field.name)
        check_key(key, field.name)
        entry = _store.in_memory(data.uns[key]) if key in data.uns else None
        needed = {"params", _PARTS.get(field.name, "params")}
        if isinstance(entry, Mapping) and needed <= set(entry):
            entries[field.name] = entry
        elif key != field.default:
            msg = f"`{field.name}`: no result {key!r} in `uns`; there are {listed(data.uns)}."
            raise KeyError(msg)
    return entries


def _restore_colours(data: AnnData | MuData, before: dict[str, Any]) -> None:
    """Figures keep the colours that they chose in the object; a page leaves it as it was. They write to no view."""
    if data.is_view:
        return
    for name in [name for name in data.uns if str(name).endswith("_colors")]:
        if name in before:
            data.uns[name] = before[name]
        else:
            del data.uns[name]
