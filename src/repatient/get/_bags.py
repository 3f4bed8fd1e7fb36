from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_option, listed
from repatient._docs import shared_docs
from repatient.get._patient_table import kept_patients

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
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
    """
    _store.check_data(data)
    check_option(outcome, "outcome", ("class", "continuous"))
    mask = _store.read_mask(data, mask_obs)
    if outcome == "continuous" and label_key is not None:
        patients = _store.read_valued_patients(data, patient_key, label_key, donor_key, mask)
    else:
        patients = _store.read_patients(data, patient_key, label_key, donor_key, mask)
    known = np.arange(len(patients.names)) if label_key is None else np.flatnonzero(patients.labelled)
    if not len(known):
        msg = f"`label_key`: no patient has a label in {label_key!r}; label some, or pass `label_key=None`."
        raise ValueError(msg)
    tables = [_store.patients_frame(patients).assign(label=patients.labels, is_generated=False).iloc[known]]
    generated = None
    if generated_key is not None:
        if label_key is None:
            msg = "`generated_key`: generated patients are of a class; name the `label_key` of the real ones, too."
            raise ValueError(msg)
        entry = _store.uns_entry(data, generated_key, "generated_key", "generate")
        _store.check_outcome(entry["params"], outcome, generated_key)
        generated = _read_generated(data, generated_key, selected, patients.codes)
        use_rep = _check_use_rep(generated, generated_key, use_rep)
        tables.append(generated.table)
    whole = pd.concat([table.astype({"label": object, "donor": object}) for table in tables]).rename_axis("patient")
    y, names = _targets(whole["label"], patients.classes, classes, outcome)
    embedding, _ = _store.read_embedding(data, use_rep, patient_key=patient_key)

    # torch is imported when a dataset of it is made.
    from repatient.get._patient_bags import PatientBags
    from repatient.mil import Bags

    parts = [Bags.from_codes(embedding, patients.codes, len(patients.names)).take(known)]
    if generated is not None:
        drawn = generated.cells
        parts.append(
            Bags(drawn.embedding, np.arange(len(drawn.embedding)), drawn.indptr)
            if isinstance(drawn, _store.GaussianPatients)
            else Bags.from_counts(embedding, drawn)
        )
    return PatientBags(parts, whole, y, names)


class _Generated(NamedTuple):
    """Generated patients: counts of real cells, or points of Gaussians; their table; the embedding they were drawn in."""

    cells: sp.csc_matrix | _store.GaussianPatients
    table: pd.DataFrame
    use_rep: str


def _read_generated(data: AnnData | MuData, key: str, selected: bool | None, codes: np.ndarray) -> _Generated:  # noqa: FBT001
    """Read the generated patients to append, all of their cells being of patients with a code."""
    cells: sp.csc_matrix | _store.GaussianPatients
    if _store.is_gaussian(data, key):
        cells, table = _store.read_gaussian(data, key)
        kept = kept_patients(table, key, selected)
        cells = cells.take(kept)
    else:
        cells, table = _store.read_generated(data, key)
        kept = kept_patients(table, key, selected)
        cells = cells[:, kept]
        foreign = np.unique(cells.indices[codes[cells.indices] < 0])
        if len(foreign):
            msg = (
                f"`generated_key`: the generated patients hold {len(foreign)} cells from outside `mask_obs`, so they "
                "would leak. Generate them from these cells alone (`rp.tl.generate(..., mask_obs=...)`)."
            )
            raise ValueError(msg)
    table = table.iloc[kept]
    columns = {"label": table["label"], "donor": table.index.astype(str), "n_cells": table["n_cells"]}
    use_rep = _store.embedding_of_mixture(data.uns[data.uns[key]["params"]["gmm_key"]])
    return _Generated(cells, pd.DataFrame({**columns, "is_generated": True}), use_rep)


def _check_use_rep(generated: _Generated, key: str, use_rep: str | None) -> str:
    """Name of the embedding that holds real and generated patients."""
    if isinstance(generated.cells, _store.GaussianPatients) and use_rep not in {None, generated.use_rep}:
        msg = (
            f"`use_rep`: the patients of `uns[{key!r}]` were drawn as Gaussians in {generated.use_rep!r} and have no "
            f"coordinates in {use_rep!r}."
        )
        raise ValueError(msg)
    return use_rep or generated.use_rep


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
