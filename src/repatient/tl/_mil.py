from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key
from repatient._docs import shared_docs
from repatient._files._scratch import MEMORY_BUDGET
from repatient._messages import logger, warn
from repatient.tl._augmenters import read_augmentation
from repatient.tl._generated_check import compare_generated, thresholds_of
from repatient.tl._in_reference import in_reference
from repatient.tl._mil_target import read_selected, target_of
from repatient.tl._patient_classifier import PatientClassifier
from repatient.tl._references import (
    embedding_of_references,
    listed_references,
    origin_of_references,
    read_references,
    reference_entry_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

    from repatient.evaluation import Familiarity
    from repatient.mil import Augmenter, Bags, Predictor
    from repatient.mixing import Reference, Transferred

_FEWEST_DONORS = 4


@shared_docs
def mil(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str,
    outcome: str = "class",
    donor_key: str | None = None,
    missing_values: Sequence[Any] | None = None,
    model: str | Predictor = "auto",
    generated_key: str | None = None,
    augment: str | Augmenter | Sequence[str | Augmenter] | None = None,
    reference: Any = None,
    gmm_key: str | None = None,
    recipes_key: str = _store.keys.RECIPES,
    use_rep: str | None = None,
    mask_obs: Any = None,
    device: str = "auto",
    memory_budget: int = MEMORY_BUDGET,
    key_added: str = _store.keys.MIL,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
    **settings: Any,
) -> PatientClassifier | tuple[PatientClassifier, AnnData | MuData]:
    """Train a model that predicts patients from their cells.

    It learns from the real patients that have a label and, with ``generated_key`` or ``augment``, from generated ones too
    (``"auto"``: of missing classes). What a name trains here is what :func:`repatient.tl.evaluate` measures under it.

    Parameters
    ----------
    %(data)s
    patient_key, label_key
        Columns of ``obs`` with each cell's patient, and the patient's class, grade or value: what is predicted. Patients
        without one are not learnt from.
    outcome
        ``"class"``; ``"ordinal"``, grades in the order of an ordered categorical; or ``"continuous"``, numbers.
    donor_key
        Column of ``obs`` with the person behind one or several patients. ``None``: every patient is a person.
    %(missing_values)s ``None`` refuses such names.
    model
        What predicts: a name in :data:`repatient.mil.PREDICTORS`, or an object with settings of its own,
        ``rp.mil.Attention(hidden=128)``. ``"auto"`` is the mean of unlike members, the strongest for few patients.
    generated_key
        Where :func:`repatient.tl.generate` stored patients to train on as well (those selected, if any were).
    augment
        What makes patients anew at every step, in place of ``generated_key``: a name of
        :func:`repatient.mixing.augmenters`, ``"recipe"`` among them, several in turn as ``"recipe+psemix"``, or an object.
    reference
        Another cohort, for classes that are missing or rare here: AnnData or MuData with the same columns and embedding, a
        recipes file, a model or its folder, or a list of these. It is aligned by the classes that both have, judged, and
        weighs less, or nothing, where it is found wanting.
    gmm_key, recipes_key
        Mixture for ``augment="recipe"`` in place of one that is fitted inside (not on patients that are to be tested on),
        and recipes whose kind and shrinkage it takes; neither need be there.
    use_rep
        Embedding: a key of ``obsm``, ``"X"``, or ``"modality:key"``. ``None``: that of the mixture, else the default.
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): learn from these cells alone. All patients are predicted.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``. Equal bits are promised for the CPU.
    memory_budget
        Bytes up to which an embedding that lies on the disk is read into memory.
    key_added, random_state, progress, copy
        Key of the results; seed; whether to show a bar (``None``: where it is seen); whether to return a copy with them.
    settings
        Parameters of the predictor that ``model`` names, such as ``n_steps=400``; of ``"auto"``, those of its members.

    Returns
    -------
    The model, whose ``predict`` takes new cohorts; with ``copy=True``, the model and the copy. Written are
    ``uns[key_added]`` (``params``, ``history``, ``predictions`` with one row a patient; of an average, ``reasons``; ``reference`` if
    one was given, with its own patients' scores if they are there; ``generated_check``, whether generated patients are
    told from real ones; ``threshold``, what was taken off the logit of a class without real patients, with its 95 %% interval);
    ``obs[f"{key_added}_contribution"]``, what each cell adds to its patient's score, of more than two classes to that of
    the predicted one; and ``obs[f"{key_added}_attention"]`` where the model has attention.

    Raises
    ------
    KeyError
        If a column, the embedding, the generated patients or the mixture do not exist.
    TypeError, ValueError
        If a name is unknown, arguments exclude each other, there is one class only or a patient with two labels, values
        are not finite, grades have no order, or the mixture was refitted after patients were generated.

    Warns
    -----
    UserWarning
        If a network ends near the loss of guessing, the reference is found wanting, the average leaves generated patients
        out, or only generated patients stand for a class and the model tells generated from real ones.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean")
    >>> len(model.predict(adata))
    12
    """
    from repatient.mil import Bags, make_predictor, sharing

    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added", [generated_key])
    check_integer(random_state, "random_state", minimum=0)
    if settings and reference is not None and isinstance(model, str) and model == "auto":
        msg = (
            f"`{next(iter(settings))}`: with `reference`, name the predictor that has it, such as `model='attention'`."
        )
        raise ValueError(msg)
    shared: dict[str, Any] = {"outcome": outcome, "random_state": random_state, "device": device, "progress": progress}
    predictor = make_predictor(model, **shared, **settings)
    if augment is not None and generated_key is not None:
        msg = "`augment` makes patients at every step and `generated_key` names stored ones; give one of the two."
        raise ValueError(msg)
    others = None if reference is None else _other_cohorts(reference, outcome, augment, generated_key)
    original, named = data, use_rep or (None if others is None else embedding_of_references(others))
    named = named or _embedding_of_mixture(data, generated_key, gmm_key)
    origin = None if others is None else origin_of_references(others, named)
    brought = in_reference(data, origin, use_rep)
    data, use_rep = brought.data, brought.use_rep or named
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs))
    target = target_of(data, outcome, label_key, missing_values)
    training = target.read(data, patient_key, donor_key, mask)
    everyone = target.read(data, patient_key)
    generated = None if generated_key is None else read_selected(data, generated_key, training, outcome)
    embedding, use_rep = _store.read_embedding(
        data, use_rep, patient_key=patient_key, to_learn_from=True, memory_budget=memory_budget
    )
    references = None
    if others is not None:
        references = read_references(
            others,
            patient_key=patient_key,
            label_key=label_key,
            donor_key=donor_key,
            missing_values=missing_values,
            use_rep=use_rep if origin is None else origin.use_rep,
            n_dimensions=embedding.shape[1],
            random_state=random_state,
        )
    augmentation = read_augmentation(
        data,
        augment,
        training.classes,
        use_rep=use_rep,
        gmm_key=gmm_key,
        recipes_key=recipes_key,
        random_state=random_state,
    )
    classes = target.classes(training, generated, augmentation) if references is None else None
    cells, counts = (embedding, None) if generated is None else generated.in_embedding(embedding, use_rep)
    codes = np.append(training.codes, np.full(len(cells) - data.n_obs, -1))
    labelled = np.flatnonzero(training.labelled)
    # What is made of the training patients serves their predictions, too.
    with sharing():
        found = None
        if references is not None:
            found = _with_references(
                Bags.from_codes(cells, codes, len(training.names)).take(labelled),
                training.labels[labelled].astype(str),
                training.donors[labelled].astype(str),
                references,
                predictor if settings else model,
                random_state=random_state,
                device=device,
                progress=progress,
            )
            predictor = found.predictor
        else:
            predictor.fit(
                Bags.from_codes(cells, codes, len(training.names)).take(labelled),
                target.array(training.labels[labelled]),
                groups=training.donors[labelled].astype(str),
                generated=None if counts is None else Bags.from_counts(cells, counts),
                generated_y=None if generated is None else target.array(generated.labels),
                source_groups=_donor_of_cells(training, codes),
                augment=None if augmentation is None else augmentation.augmenter,
                **({} if classes is None else {"classes": classes}),
            )
        left_out = getattr(predictor, "generated_left_out_", False)
        if left_out:
            warn(
                f"`{'augment' if generated is None else 'generated_key'}`: the default average does not learn from generated "
                "patients of classes that have real ones, as they help none of its members on average. Name a predictor that "
                "does, such as `model='attention'`, or leave them out."
            )
        # Those of a transfer stand in its own entry.
        reasons = getattr(predictor, "reasons_", []) if found is None else []
        if reasons:
            logger.info("%s: %s", type(predictor).__name__, "; ".join(reasons))
        compared = None
        if outcome != "continuous" and classes is not None and (generated is not None or augmentation is not None):
            compared = compare_generated(
                predictor,
                classes,
                Bags.from_codes(embedding, training.codes, len(training.names)).take(labelled),
                target.array(training.labels[labelled]),
                training.donors[labelled].astype(str),
                stored=None
                if counts is None or generated is None
                else (Bags.from_counts(cells, counts), target.array(generated.labels)),
                augmentation=augmentation,
                random_state=random_state,
            )
        trained_on = np.append(training.labelled, False)[training.codes]
        source = _store.EmbeddingOrigin.of(data, use_rep, embedding, trained_on)
        fitted = PatientClassifier(
            predictor,
            use_rep=use_rep if origin is None or brought.embedding is None else origin.use_rep,
            patient_key=patient_key,
            source=source,
            familiarity=_familiarity(embedding, training, trained_on, random_state),
            unseen=[] if outcome == "continuous" else _unseen(predictor, training),
        )

        bags = Bags.from_codes(embedding, everyone.codes, len(everyone.names))
        predictions = fitted.predict_bags(bags, everyone.names, random_state=random_state)
        contributions = _scores_of(predictor, bags)
        attention = predictor.attention(bags) if hasattr(predictor, "attention") else None
    validation = labelled[getattr(predictor, "validation_bags_", np.zeros(0, dtype=np.int64))]
    predictions.insert(0, "label", target.column(everyone))
    predictions.insert(1, "split", _splits(everyone, training, validation))
    params = _store.record(
        patient_key=patient_key,
        label_key=label_key,
        outcome=outcome,
        donor_key=donor_key,
        missing_values=_store.storable_missing_values(missing_values),
        model=model if isinstance(model, str) else type(model).__name__,
        settings=repr(predictor),
        generated_key=generated_key,
        n_generated=0 if generated is None or left_out else len(generated),
        augment=None if augmentation is None else augmentation.name,
        use_rep=use_rep,
        mask_obs=_store.storable_mask(mask_obs),
        device=device,
        random_state=random_state,
        n_validation=len(validation),
        reference=None if found is None else type(reference).__name__,
        **({} if augmentation is None else augmentation.params),
    )
    data = original.copy() if copy else original
    brought.write(data)
    data.obs[_store.keys.contribution(key_added)] = _of_cells(contributions, bags, data.n_obs)
    if attention is not None:
        data.obs[_store.keys.attention(key_added)] = _of_cells(attention, bags, data.n_obs)
    data.uns[key_added] = {
        "params": params,
        "predictions": predictions,
        "history": pd.DataFrame(getattr(predictor, "history_", {})).rename(index=str),
    }
    if reasons:
        data.uns[key_added]["reasons"] = np.array(reasons, dtype=object)
    if compared is not None:
        data.uns[key_added]["generated_check"] = compared
    thresholds = None if classes is None else thresholds_of(predictor, classes)
    if thresholds is not None:
        data.uns[key_added]["threshold"] = thresholds
    if found is not None:
        data.uns[key_added]["reference"] = reference_entry_of(found)
    return (fitted, data) if copy else fitted


def _other_cohorts(reference: Any, outcome: str, augment: Any, generated_key: str | None) -> list[Any]:
    """The references, opened, if they can be used with the other arguments."""
    if outcome != "class":
        msg = f"`reference` knows classes, and `outcome` is {outcome!r}."
        raise ValueError(msg)
    if generated_key is not None or augment not in (None, "counterfactual"):
        msg = "`reference` makes patients by itself (counterfactual ones); pass neither `generated_key` nor another `augment`."
        raise ValueError(msg)
    return listed_references(reference)


def _with_references(
    bags: Bags,
    labels: np.ndarray,
    donors: np.ndarray,
    references: Sequence[Reference],
    model: Any,
    **shared: Any,
) -> Transferred:
    """Train with other cohorts, and say what came of it."""
    from repatient.mixing import fit_with_references

    classes = sorted({*labels.tolist(), *(name for part in references for name in part.classes)})
    if len(classes) < 2:
        msg = f"`reference`: it and the patients here are all of the class {classes[0]!r}; two are needed."
        raise ValueError(msg)
    y = np.array([classes.index(label) for label in labels])
    found = fit_with_references(bags, y, classes, donors, references, model=model, **shared)
    logger.info(found.line)
    if found.concerns:
        warn(f"`reference`: {'; '.join(found.concerns)}.")
    return found


def _embedding_of_mixture(data: AnnData | MuData, generated_key: str | None, gmm_key: str | None) -> str | None:
    gmm_key = _store.keys.GMM if gmm_key is None else gmm_key
    if generated_key is not None:
        generated = _store.read_generated(data, generated_key)
        if generated.points is not None:
            return str(generated.params["use_rep"])
        gmm_key = generated.params["gmm_key"]
    # Another package may keep something else under this name.
    entry = data.uns.get(gmm_key)
    params = entry.get("params") if isinstance(entry, Mapping) else None
    return str(params["use_rep"]) if isinstance(params, Mapping) and "use_rep" in params else None


def _familiarity(
    embedding: np.ndarray, training: _store.Patients, trained_on: np.ndarray, random_state: int
) -> Familiarity | None:
    """What patients that are trained on look like; of fewer than four donors nobody can tell."""
    from repatient.evaluation import Familiarity

    if len(np.unique(training.donors[training.labelled].astype(str))) < _FEWEST_DONORS:
        return None
    codes = np.where(trained_on, training.codes, np.nan)
    return Familiarity.fit(embedding, codes, groups=training.donors[training.codes], random_state=random_state)


def _unseen(predictor: Any, training: _store.Patients) -> list[str]:
    """Classes that are predicted and of which no real patient was trained on."""
    real = {str(label) for label in training.labels[training.labelled]}
    return [name for name in map(str, predictor.classes_) if name not in real]


def _donor_of_cells(patients: _store.Patients, codes: np.ndarray) -> np.ndarray:
    """Donor of each cell; cells outside the training patients, and points of Gaussians, have none."""
    donors = np.append(patients.donors.astype(str), "")
    return donors[codes]


def _splits(everyone: _store.Patients, training: _store.Patients, validation: np.ndarray) -> pd.Categorical:
    splits = pd.Series("not trained on", index=everyone.names.astype(str))
    splits[training.names[training.labelled].astype(str)] = "train"
    splits[training.names[validation].astype(str)] = "validation"
    return pd.Categorical(splits.to_numpy(dtype=str), categories=["train", "validation", "not trained on"])


def _scores_of(predictor: Predictor, bags: Bags) -> np.ndarray:
    """Contribution of each cell to the score that its patient is predicted by."""
    contributions = predictor.contributions(bags)
    if contributions.shape[1] <= 2:
        return contributions[:, -1]
    predicted = predictor.predict_proba(bags).argmax(axis=1)
    return contributions[np.arange(len(contributions)), np.repeat(predicted, bags.sizes)]


def _of_cells(values: np.ndarray, bags: Bags, n_obs: int) -> np.ndarray:
    """Values of the entries of bags at their cells."""
    result = np.zeros(n_obs, dtype=np.float32)
    result[bags.rows] = values
    return result
