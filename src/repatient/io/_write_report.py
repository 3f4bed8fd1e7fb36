from __future__ import annotations

from typing import TYPE_CHECKING

from repatient import _store
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._files._target import check_target, is_report

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData


@shared_docs
def write_report(
    data: AnnData | MuData,
    path: str | PathLike[str],
    *,
    title: str | None = None,
    method: str | None = None,
    batch_key: str | None = None,
    gmm_key: str = _store.keys.GMM,
    recipes_key: str = _store.keys.RECIPES,
    evaluation_key: str = _store.keys.EVALUATION,
    mil_key: str = _store.keys.MIL,
    audit_key: str = _store.keys.AUDIT,
    overwrite: bool = True,
) -> None:
    """Write what was found as one HTML page that can be sent round, printed and read without Python.

    The page has the cohort and its traps (size, donors, batches), whether generated patients help and by how much, what
    each patient was predicted as while held out, ROC, confusion and calibration, what drives the score, realism and
    privacy of generated patients, the recipes, what was run with which settings, seeds and versions, and what may not be
    concluded. Figures are inside; it has no script and asks for nothing from elsewhere. It reports what the object holds:
    a section whose results are missing says which call makes them.

    Parameters
    ----------
    %(data)s It is left as it is.
    path
        File to write. An earlier report is replaced once the new one is whole and on the disk; any other file is left alone.
    title
        Heading of the page. ``None``: "Patients and predictions".
    method
        Method of the evaluation whose held-out scores are shown, as for :func:`repatient.get.scores`.
    batch_key
        Column of ``obs`` with the batch (run, site, plate) of each cell, to be set against the classes.
    %(gmm_key)s
    %(recipes_key)s
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    mil_key
        Where :func:`repatient.tl.mil` stored its results.
    audit_key
        Where :func:`repatient.tl.audit` stored its results.
    overwrite
        Whether an earlier report may be replaced.

    Raises
    ------
    KeyError
        If a key other than the default one, or the column of batches, does not exist.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the method was not run.
    FileNotFoundError, IsADirectoryError, PermissionError
        If the folder of ``path`` does not exist or must not be written to, or ``path`` is a folder.
    FileExistsError
        If there is something else at ``path``, or a report that is not to be overwritten.

    Examples
    --------
    %(example_evaluated)s
    >>> rp.io.write_report(adata, "report.html")
    >>> open("report.html", encoding="utf-8").readline().strip()
    '<!DOCTYPE html>'
    """
    from repatient.report import Request, render

    _store.check_data(data)
    for name, value in {"title": title, "method": method, "batch_key": batch_key}.items():
        if value is not None and not isinstance(value, str):
            msg = f"`{name}` is a string, not {type(value).__name__}."
            raise TypeError(msg)
    if batch_key is not None:
        _store.obs_column(data, batch_key, "batch_key")
    check_target(path, "path", what="report", ours=is_report, overwrite=overwrite)
    request = Request(
        **({} if title is None else {"title": title}),
        method=method,
        batch_key=batch_key,
        gmm_key=gmm_key,
        recipes_key=recipes_key,
        evaluation_key=evaluation_key,
        mil_key=mil_key,
        audit_key=audit_key,
    )
    page = render(data, request)
    with replace_when_whole(path) as new:
        new.write_text(page, encoding="utf-8")
