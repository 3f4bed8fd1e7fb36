from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._docs import shared_docs
from repatient.tl._patient_classifier import PatientClassifier

if TYPE_CHECKING:
    import scipy.sparse as sp
    from anndata import AnnData
    from mudata import MuData

    from repatient.mil import Bags


@shared_docs
def mil(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str,
    donor_key: str | None = None,
    generated_key: str | None = None,
    use_rep: str | None = None,
    mask_obs: Any = None,
    hidden: int = 64,
    dropout: float = 0.5,
    learning_rate: float = 1e-3,
    weight_decay: float = 1.0,
    batch_size: int = 16,
    max_epochs: int = 50,
    patience: int = 15,
    validation_fraction: float = 0.2,
    class_weight: str | None = "balanced",
    n_passes: int = 50,
    device: str = "auto",
    key_added: str = _store.keys.MIL,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> PatientClassifier | tuple[PatientClassifier, AnnData | MuData]:
    """Train a classifier of patients on their cells: gated attention :cite:p:`Ilse2018`.

    It is trained on the real patients that have a label and, with ``generated_key``, on the generated patients
    too; on the selected ones, where :func:`repatient.tl.select` has run. Validation patients are real and held out
    by donor; their cells are taken out of the generated patients that are trained on.

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    %(label_key)s They are predicted.
    %(donor_key)s
    generated_key
        Where :func:`repatient.tl.generate` stored patients to train on as well. ``None``: real patients only.
    use_rep
        Embedding, as for :func:`repatient.tl.gmm`. ``None``: the one of the mixture, where there is a mixture (that of
        the generated patients, or ``uns["gmm"]``), and else ``X_pca``.
    %(mask_obs)s All patients are predicted.
    hidden
        Width of the cell encoder.
    dropout
        Share of the units of a patient's embedding dropped at a step, and in the passes behind the uncertainty.
    learning_rate, weight_decay, batch_size
        Of the optimiser AdamW; the batch is counted in patients.
    max_epochs
        Most passes over the training patients.
    patience
        Epochs without a lower validation loss after which training stops.
    validation_fraction
        Share of the donors held out for validation. A class of fewer than ``1 / validation_fraction`` of them can
        spare none; then there is no validation, training takes ``max_epochs``, and a warning says so.
    class_weight
        ``"balanced"`` weighs classes inversely to their number of patients; ``None`` does not.
    n_passes
        Monte-Carlo dropout passes behind the uncertainty.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``. Equal bits are promised for the CPU.
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(progress)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    The model, whose ``predict`` takes new cohorts; with ``copy=True``, the model and the copy. Written are

    ``uns[key_added]``
        ``params``; ``predictions``, a table with ``label``, ``split`` (``"train"``, ``"validation"`` or
        ``"not trained on"``), ``predicted``, ``probability_<class>``, ``uncertainty`` and ``epistemic`` of every
        patient; ``history``, a table with the losses of each epoch.
    ``obs[f"{key_added}_attention"]``
        Share of each cell in the attention of its patient, float32, summing to 1 over a patient's cells.

    Raises
    ------
    KeyError
        If a column, the embedding or the generated patients do not exist.
    ValueError
        If there is one class only, a patient with two labels, NaN or infinity, or the mixture of the generated patients was
        refitted since.

    Warns
    -----
    UserWarning
        If a class has too few donors for a validation set.
    """
    from repatient.mil import Bags, MILClassifier

    _store.check_data(data)
    _store.check_key(key_added, "key_added")
    _store.check_integer(random_state, "random_state", minimum=0)
    mask = _store.read_mask(data, mask_obs)
    training = _store.read_patients(data, patient_key, label_key, donor_key, mask)
    everyone = _store.read_patients(data, patient_key, label_key)
    generated = None if generated_key is None else _read_selected(data, generated_key, training)
    _check_classes(training, generated, label_key)
    use_rep = use_rep or _embedding_of_mixture(data, generated_key)
    embedding, use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key)

    settings: dict[str, Any] = {
        "hidden": hidden,
        "dropout": dropout,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "patience": patience,
        "validation_fraction": validation_fraction,
        "class_weight": class_weight,
        "n_passes": n_passes,
        "random_state": random_state,
    }
    classifier = MILClassifier(device=device, progress=progress, **settings)
    labelled = np.flatnonzero(training.labelled)
    classifier.fit(
        Bags.from_codes(embedding, training.codes, len(training.names)).take(labelled),
        training.labels[labelled].astype(str),
        groups=training.donors[labelled].astype(str),
        generated=None if generated is None else Bags.from_counts(embedding, generated[0]),
        generated_y=None if generated is None else generated[1],
        source_groups=_donor_of_cells(training),
    )
    model = PatientClassifier(classifier, use_rep=use_rep, patient_key=patient_key)

    bags = Bags.from_codes(embedding, everyone.codes, len(everyone.names))
    predictions = model.predict_bags(bags, everyone.names, random_state=random_state)
    predictions.insert(0, "label", pd.Categorical(everyone.labels, categories=everyone.classes))
    predictions.insert(1, "split", _splits(everyone, training, labelled[classifier.validation_bags_]))
    params = _store.record(
        patient_key=patient_key,
        label_key=label_key,
        donor_key=donor_key,
        generated_key=generated_key,
        n_generated=0 if generated is None else len(generated[1]),
        use_rep=use_rep,
        mask_obs=_store.storable_mask(mask_obs),
        device=device,
        temperature=classifier.temperature_,
        n_validation=len(classifier.validation_bags_),
        **settings,
    )
    data = data.copy() if copy else data
    data.obs[_store.keys.attention(key_added)] = _attention_of_cells(classifier, bags, data.n_obs)
    data.uns[key_added] = {
        "params": params,
        "predictions": predictions,
        "history": pd.DataFrame(classifier.history_).rename(index=str),
    }
    return (model, data) if copy else model


def _embedding_of_mixture(data: AnnData | MuData, generated_key: str | None) -> str | None:
    gmm_key = _store.keys.GMM if generated_key is None else data.uns[generated_key]["params"]["gmm_key"]
    # Another package may keep something else under this name.
    entry = data.uns.get(gmm_key)
    params = entry.get("params") if isinstance(entry, Mapping) else None
    return str(params["use_rep"]) if isinstance(params, Mapping) and "use_rep" in params else None


def _read_selected(data: AnnData | MuData, key: str, training: _store.Patients) -> tuple[sp.csc_matrix, np.ndarray]:
    """Counts and labels of the generated patients to train on, all of their cells being of training patients."""
    counts, table = _store.read_generated(data, key)
    selected = np.ones(len(table), dtype=bool)
    if "selected" in table:
        selected = table["selected"].to_numpy(dtype=bool)
        if not selected.any():
            msg = f"`generated_key`: no patient of `uns[{key!r}]` is selected; select again with `rp.tl.select`."
            raise ValueError(msg)
    counts = counts[:, np.flatnonzero(selected)]
    foreign = np.unique(counts.indices[training.codes[counts.indices] < 0])
    if len(foreign):
        msg = (
            f"`generated_key`: the generated patients hold {len(foreign)} cells from outside `mask_obs`; training on "
            "them would leak. Generate them from the training cells alone (`rp.tl.generate(..., mask_obs=...)`)."
        )
        raise ValueError(msg)
    return counts, table["label"].to_numpy(dtype=str)[selected]


def _check_classes(
    training: _store.Patients, generated: tuple[sp.csc_matrix, np.ndarray] | None, label_key: str
) -> None:
    classes = set(training.classes) | (set() if generated is None else set(generated[1]))
    if len(classes) < 2:
        msg = (
            f"`label_key`: {label_key!r} has the classes {_store.listed(classes)} among the patients to train on; two or "
            "more are needed. A missing class can be generated by the recipe of another cohort (`generated_key`)."
        )
        raise ValueError(msg)


def _donor_of_cells(patients: _store.Patients) -> np.ndarray:
    """Donor of each cell; cells outside the training patients have none."""
    donors = np.append(patients.donors.astype(str), "")
    return donors[patients.codes]


def _splits(everyone: _store.Patients, training: _store.Patients, validation: np.ndarray) -> pd.Categorical:
    splits = pd.Series("not trained on", index=everyone.names.astype(str))
    splits[training.names[training.labelled].astype(str)] = "train"
    splits[training.names[validation].astype(str)] = "validation"
    return pd.Categorical(splits.to_numpy(dtype=str), categories=["train", "validation", "not trained on"])


def _attention_of_cells(classifier: Any, bags: Bags, n_obs: int) -> np.ndarray:
    attention = np.zeros(n_obs, dtype=np.float32)
    attention[bags.rows] = classifier.attention(bags)
    return attention
