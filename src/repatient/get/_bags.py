from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_option, listed
from repatient._docs import shared_docs
from repatient.get._patient_table import generated_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from repatient.get._patient_bags import PatientBags


@shared_docs
def bags(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str | None = None,
    outcome: str = "class",
    donor_key: str | None = None,
    missing_values: Sequence[Any] | None = None,
    use_rep: str | None = None,
    generated_key: str | None = None,
    selected: bool | None = None,
    classes: Sequence[str] | None = None,
    mask_obs: Any = None,
) -> PatientBags:
    """Hand patients to a training loop of one's own, as a dataset of torch with one item a patient.

    It is what `torchmil <https://torchmil.readthedocs.io>`__ takes, which need not be installed.

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    label_key
        Column of ``obs`` with the class or value of each cell's patient. Patients without one are left out. ``None``:
        all patients, without ``"Y"``.
    outcome
        What ``label_key`` holds: ``"class"``, or ``"continuous"``, numbers.
    %(donor_key)s
    %(missing_values)s ``None`` warns of names that look like it.
    use_rep
        Embedding of the cells, as for :func:`repatient.tl.gmm`. ``None``: that of the generated patients' mixture where
        they are asked for, and else ``X_pca``.
    generated_key
        Where :func:`repatient.tl.generate` stored patients to append. ``None``: none of them.
    selected
        ``True``: only the generated patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the
        selected ones where a selection was made.
    classes
        Names of the classes, in the order of their numbers: pass those of the training patients when making the bags of
        the test patients. ``None``: in the order of the categories, those that only generated patients have last. Of
        two classes, the second is the positive one (1).
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): take these cells alone, for instance those of the training patients.

    Returns
    -------
    :class:`repatient.get.PatientBags`: ``len()`` patients, real ones first; item ``i`` is ``{"X": (n_cells, d) float32,
    "Y": () int64 or float32}``. ``patients``, ``labels``, ``classes``, ``y`` and ``table`` (with donors, to split by) tell who they are.
    Cells are read when their patient is asked for, and not copied before.

    Raises
    ------
    KeyError
        If a column, the embedding or the generated patients do not exist.
    TypeError, ValueError
        If a patient has two labels or donors, no patient has a label, a value is no finite number, a class is not among
        ``classes``, the embedding has NaN or infinity, or generated patients are asked for without ``label_key``, have
        another ``outcome``, are points in another embedding, or have cells from outside ``mask_obs``.

    Examples
    --------
    A model of torchmil, trained on real and generated patients::

        from torch.utils.data import DataLoader
        from torchmil.data import collate_fn
        from torchmil.models import ABMIL

        bags = rp.get.bags(adata, patient_key="patient", label_key="label", generated_key="generated")
        loader = DataLoader(bags, batch_size=8, shuffle=True, collate_fn=collate_fn)
        model = ABMIL(in_shape=bags[0]["X"].shape[1:])
        for batch in loader:
            _, losses = model.compute_loss(batch["Y"], batch["X"], batch["mask"])

    Any other loop takes them one by one:

    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> bags = rp.get.bags(adata, patient_key="patient", label_key="label")
    >>> len(bags)
    12
    """
    _store.check_data(data)
    check_option(outcome, "outcome", ("class", "continuous"))
    mask = _store.read_mask(data, mask_obs)
    if outcome == "continuous" and label_key is not None:
        patients = _store.read_valued_patients(
            data, patient_key, label_key, donor_key, mask, missing_values=missing_values
        )
    else:
        patients = _store.read_patients(data, patient_key, label_key, donor_key, mask, missing_values=missing_values)
    known = np.arange(len(patients.names)) if label_key is None else np.flatnonzero(patients.labelled)
    if not len(known):
        msg = f"`label_key`: no patient has a label in {label_key!r}; label some, or pass `label_key=None`."
        raise ValueError(msg)
    frame = _store.patients_frame(patients)
    tables = [frame.assign(label=patients.labels, is_generated=generated_before(data, patients)).iloc[known]]
    generated = None
    if generated_key is not None:
        if label_key is None:
            msg = "`generated_key`: generated patients are of a class; name the `label_key` of the real ones, too."
            raise ValueError(msg)
        generated = _store.read_generated(data, generated_key)
        generated.check_outcome(outcome)
        generated = generated.selected(selected)
        generated.check_inside(patients.codes)
        use_rep = use_rep or str(generated.params["use_rep"])
        table = generated.table
        columns = {"label": table["label"], "donor": table.index.astype(str), "n_cells": table["n_cells"]}
        tables.append(pd.DataFrame({**columns, "is_generated": True}))
    whole = pd.concat([table.astype({"label": object, "donor": object}) for table in tables]).rename_axis("patient")
    y, names = _targets(whole["label"], patients.classes, classes, outcome)
    embedding, use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key)

    # torch is imported when a dataset of it is made.
    from repatient.get._patient_bags import PatientBags
    from repatient.mil import Bags

    parts = [Bags.from_codes(embedding, patients.codes, len(patients.names)).take(known)]
    if generated is not None:
        parts.append(generated.bags(embedding, use_rep))
    return PatientBags(parts, whole, y, names)


def _targets(
    labels: pd.Series, found: list[str], classes: Any, outcome: str
) -> tuple[np.ndarray | None, list[str] | None]:
    """What is to be predicted of each patient, and the names of the classes; ``None`` where there is no such thing."""
    if labels.isna().all():
        return None, None
    if outcome == "continuous":
        return labels.to_numpy(dtype=np.float32), None
    every = list(dict.fromkeys([*found, *labels.astype(str)]))
    names = every if classes is None else _check_classes(classes, every)
    return np.array([names.index(name) for name in labels.astype(str)], dtype=np.int64), names


def _check_classes(classes: Any, every: list[str]) -> list[str]:
    if isinstance(classes, str):
        msg = f"`classes` is a sequence of class names, not the string {classes!r}; write [{classes!r}]."
        raise TypeError(msg)
    names = list(dict.fromkeys(str(name) for name in classes))
    unknown = [name for name in every if name not in names]
    if unknown:
        msg = f"`classes`: there are patients of {listed(unknown)}, which are not among {listed(names)}."
        raise ValueError(msg)
    return names
