"""What is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from repatient import _store


@dataclass(frozen=True)
class Request:
    """What to read for a page; see :func:`repatient.io.write_report`.

    Parameters
    ----------
    title
        Heading of the page.
    method
        Method whose held-out scores are shown, as for :func:`repatient.get.scores`.
    batch_key
        Column of ``obs`` with the batch of each patient.
    gmm_key, recipes_key, evaluation_key, mil_key, audit_key
        Where the results are.
    """

    title: str = "Patients and predictions"
    method: str | None = None
    batch_key: str | None = None
    gmm_key: str = _store.keys.GMM
    recipes_key: str = _store.keys.RECIPES
    evaluation_key: str = _store.keys.EVALUATION
    mil_key: str = _store.keys.MIL
    audit_key: str = _store.keys.AUDIT
