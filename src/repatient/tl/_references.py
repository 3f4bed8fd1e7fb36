"""Other cohorts as arrays, in whatever form a user has them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from repatient import _store
from repatient.tl._in_reference import common_origin, origin_of
from repatient.tl._patient_classifier import PatientClassifier
from repatient.tl._reference import read_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.mixing import Reference, Transferred


def listed_references(reference: Any) -> list[Any]:
    """Each reference, files and folders of models read."""
    given = list(reference) if isinstance(reference, list | tuple) else [reference]
    if not given:
        msg = "`reference` is an empty sequence; pass another cohort, or None."
        raise ValueError(msg)
    return [_opened(one) for one in given]


def _opened(one: Any) -> Any:
    if isinstance(one, str | PathLike):
        return PatientClassifier.load(one, device="cpu") if Path(one).is_dir() else read_reference(one)
    if isinstance(one, AnnData | MuData | PatientClassifier) or (isinstance(one, dict) and "recipes" in one):
        return one
    msg = (
        "`reference` is an AnnData, a MuData, a recipes file or what `rp.io.read_recipes` returns, a model or its folder, or "
        f"a list of these, not {type(one).__name__}."
    )
    raise TypeError(msg)


def embedding_of_references(given: Sequence[Any]) -> str | None:
    """Name of the embedding that a file or model is of; None where only objects are given."""
    for one in given:
        if isinstance(one, PatientClassifier):
            return one.use_rep
        if isinstance(one, dict):
            return str(one["gmm"]["params"]["use_rep"])
    return None


def origin_of_references(given: Sequence[Any], use_rep: str | None) -> _store.EmbeddingOrigin | None:
    """Where the embedding of the references comes from; None where nobody knows."""
    return common_origin(
        [one.origin if isinstance(one, PatientClassifier) else origin_of(one, use_rep) for one in given]
    )


def read_references(
    given: Sequence[Any],
    *,
    patient_key: str,
    label_key: str,
    donor_key: str | None,
    missing_values: Sequence[Any] | None,
    use_rep: str,
    n_dimensions: int,
    random_state: int,
) -> list[Reference]:
    """References as arrays; a model and the statistics of a cohort that are given together count as one."""
    names = ["reference"] if len(given) == 1 else [f"reference {i + 1}" for i in range(len(given))]
    found: list[Reference] = []
    for name, one in zip(names, given, strict=True):
        if isinstance(one, PatientClassifier):
            part = _of_model(one, name)
        elif isinstance(one, dict):
            part = _of_file(one, name)
        else:
            try:
                part = _of_object(one, name, patient_key, label_key, donor_key, missing_values, use_rep, random_state)
            except (KeyError, TypeError, ValueError) as error:
                # By itself it would be read as said of the cohort that is trained on.
                said = str(error.args[0])
                if said.startswith("`reference`"):
                    raise
                msg = f"`reference`{name.removeprefix('reference')}: {said}"
                raise type(error)(msg) from error
        _check_dimensions(part, n_dimensions, use_rep)
        found.append(part)
    return _one_cohort(found)


def _one_cohort(found: list[Reference]) -> list[Reference]:
    """A file and a model, one of each, as what is known of one cohort."""
    from dataclasses import replace

    models = [part for part in found if part.rungs == ["model"]]
    others = [part for part in found if part.rungs != ["model"]]
    if len(models) == 1 and len(others) == 1 and not others[0].models:
        return [replace(others[0], name="reference", models=models[0].models)]
    return found


def _of_model(model: PatientClassifier, name: str) -> Reference:
    from repatient.mixing import Reference

    if model.outcome != "class":
        msg = f"`reference`: a model of classes is needed, not of outcome {model.outcome!r}."
        raise ValueError(msg)
    return Reference(name=name, models=((type(model.classifier).__name__, model.classifier),))


def _of_file(content: dict[str, Any], name: str) -> Reference:
    from repatient.mixing import Reference, ReferenceMixture

    entry, gmm = content["recipes"], content["gmm"]
    if _store.is_continuous(entry["params"]):
        msg = "`reference`: its recipes are of values, and classes are predicted."
        raise ValueError(msg)
    recipes, origin = _store.read_recipes_entry(entry, "recipes")
    own = [label for label, source in zip(recipes.classes, origin, strict=True) if source != "reference"]
    moments = _store.read_moments(content["cohort"]) if "cohort" in content else None
    spread = None if moments is None else _store.read_spread(content["cohort"], moments)
    offsets = _store.read_offsets(entry, recipes.mean.shape[1])
    n_donors = {} if spread is None else dict(zip(spread.classes, spread.n_donors.tolist(), strict=True))
    if not n_donors and offsets is not None:
        n_donors = dict(zip(offsets.classes, offsets.n_donors.max(axis=1).tolist(), strict=True))
    mixture = ReferenceMixture.of_parameters(
        gmm["weights"], gmm["means"], gmm["covariances"], str(gmm["params"]["covariance_type"])
    )
    return Reference(
        name=name,
        mixture=mixture,
        recipes=recipes.take(own or list(recipes.classes)),
        offsets=offsets,
        n_donors=n_donors,
        moments=moments,
        spread=spread,
    )


def _of_object(
    data: AnnData | MuData,
    name: str,
    patient_key: str,
    label_key: str,
    donor_key: str | None,
    missing_values: Sequence[Any] | None,
    use_rep: str,
    random_state: int,
) -> Reference:
    from repatient.mil import Bags, Linear
    from repatient.mixing import Reference

    _store.check_data(data)
    try:
        patients = _store.read_patients(
            data,
            patient_key,
            label_key,
            donor_key,
            _store.real_cells(data, np.ones(data.n_obs, dtype=bool)),
            missing_values=missing_values,
            strict=True,
        )
        embedding, _ = _store.read_embedding(data, use_rep, patient_key=patient_key)
    except KeyError as error:
        msg = f"`reference`: it needs the same columns and embedding as `data`. {error.args[0]}"
        raise KeyError(msg) from error
    known = np.flatnonzero(patients.labelled)
    if len({str(label) for label in patients.labels[known]}) == 0:
        msg = f"`reference`: none of its patients has a class in {label_key!r}."
        raise ValueError(msg)
    bags = Bags.from_codes(np.asarray(embedding), patients.codes, len(patients.names)).take(known)
    several = len({str(label) for label in patients.labels[known]}) > 1
    models = [("mean", Linear(("mean",))), ("kernel mean", Linear(("kernel_mean",), C=0.1))]
    return Reference.learn(
        bags,
        patients.labels[known].astype(str),
        patients.donors[known].astype(str),
        name=name,
        standardize=_store.has_own_units(use_rep),
        models=models if several else [],
        random_state=random_state,
    )


def _check_dimensions(part: Reference, n_dimensions: int, use_rep: str) -> None:
    numbers = [model.n_features_in_ for _, model in part.models]
    numbers += [] if part.mixture is None else [len(part.mixture.centre)]
    wrong = [number for number in numbers if number != n_dimensions]
    if wrong:
        msg = (
            f"`reference`: {part.name!r} is of {wrong[0]} dimensions, and the embedding {use_rep!r} has {n_dimensions}; both "
            "cohorts need the embedding of one model."
        )
        raise ValueError(msg)


def reference_entry_of(found: Transferred) -> dict[str, Any]:
    """What was used and found, as it is stored."""
    rows = {}
    for name, trust in found.trust.items():
        worst = max(trust.distance, key=lambda c: trust.distance[c] / max(trust.expected[c], 1e-9), default=None)
        rows[name] = {
            "distance": np.nan if worst is None else trust.distance[worst],
            "distance_by_chance": np.nan if worst is None else trust.expected[worst],
            "p_value": trust.p_value,
            "between_classes": trust.between,
            "class_p_value": trust.signal,
            "shift_p_value": trust.shift,
            "odds": trust.odds,
            "weight": trust.belief,
        }
    check = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="reference")
    entry = {"used": np.array(found.used, dtype=object), "summary": found.line, "check": check}
    if np.isfinite(found.certainty):
        entry["certainty"] = found.certainty
    if found.recognised:
        columns = ["reference", "class", "n_patients", "mean_probability", "share_recognised"]
        entry["patients"] = pd.DataFrame(found.recognised, columns=columns).rename(index=str)
    return entry
