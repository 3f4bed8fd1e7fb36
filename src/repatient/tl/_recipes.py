from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, check_option, listed
from repatient._docs import shared_docs
from repatient.recipe import KINDS, TRANSFERS, Offsets, Recipes, fit_offsets, fit_recipes, transferred
from repatient.tl._generate_values import VALUE
from repatient.tl._reference import reference_entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData


@shared_docs
def recipes(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str,
    outcome: str = "class",
    donor_key: str | None = None,
    missing_values: Sequence[Any] | None = None,
    labels: Sequence[str] | None = None,
    reference: AnnData | MuData | str | PathLike[str] | dict[str, Any] | None = None,
    transfer: str = "raw",
    shared_class: str | None = None,
    kind: str = "dirichlet_multinomial",
    n_subtypes: int | str = 1,
    covariates: Sequence[str] | None = None,
    shrinkage: float = 1.0,
    gmm_key: str = _store.keys.GMM,
    reference_key: str = _store.keys.RECIPES,
    mask_obs: Any = None,
    key_added: str = _store.keys.RECIPES,
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Learn the recipe of each class, or of a value: the distribution of its patients' cells over the components.

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    %(label_key)s
    outcome
        What ``label_key`` holds:

        ``"class"``, ``"ordinal"``
            Classes, or grades in the order of an ordered categorical column: a recipe of each.
        ``"continuous"``
            Numbers: one recipe that goes with the value. The value moves the log-ratios of the components as a
            covariate does, and :func:`repatient.tl.generate` makes patients at values.
    %(donor_key)s
    %(missing_values)s ``None`` warns of names that look like it.
    labels
        Classes to have recipes of. ``None``: all that have patients here and, with a ``reference``, its others.
    reference
        Another cohort (object, recipes file, or what :func:`repatient.io.read_recipes` returns) that gives the
        recipes of classes without a patient here. Both must be assigned to one mixture, see
        :func:`repatient.tl.assign`.
    transfer
        How the reference's recipes are taken over:

        ``"raw"``
            As they are: right where the cohorts share an embedding without batch shift, or were aligned.
        ``"log_ratio"``
            Relative to a class that both cohorts have: every composition is multiplied by the mean composition of that
            class here over that in the reference, and renormalised. Takes off what makes some components rarer in all
            patients of one cohort, such as the handling of samples; it does not make up for a shifted embedding.
    shared_class
        That class, where both cohorts have several.
    kind
        Family of the distribution, one of :data:`repatient.recipe.KINDS`:

        ``"dirichlet_multinomial"``
            Mean and concentration, allowing for few cells a patient.
        ``"dirichlet"``
            The same, with each patient's composition taken as exact.
        ``"logistic_normal"``
            Log-ratios with a covariance: components can rise together.
        ``"empirical"``
            The compositions of the patients themselves, moved towards the pooled one.
        ``"mean"``
            The mean composition, without spread.
    n_subtypes
        Sub-types of each class, for classes whose patients come in several: a mixture of Dirichlet-multinomials,
        shrunk towards the class. ``"auto"`` takes the fewest (up to 4, of 5 patients or more each) whose likelihood of
        patients left out is within a standard error of the best.
    covariates
        Columns of ``obs`` with what else is known of each patient, one value a patient: ``["age", "sex"]``. Numbers
        count as such, all else by its levels. Patients can then be generated at values of them; the effects are those
        on log-ratios, the same in all classes, and are shrunk, see :mod:`repatient.recipe`.
    shrinkage
        Weight of all classes' patients together in each class's recipe, in patients (empirical Bayes): with 1,
        the mean of 4 patients moves a fifth of the way to the pooled mean. ``0`` takes each class for itself.
    %(gmm_key)s
    reference_key
        Where the reference object keeps its recipes.
    %(mask_obs)s
    key_added
        Key under which the results are stored.
    random_state
        Seed of the Monte-Carlo mean of the ``"logistic_normal"`` recipe and of the start of sub-types.
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written is ``uns[key_added]`` with

    ``params``
        Parameters, version, and the fingerprint of the mixture.
    ``counts``
        Cells of each patient in each component, patients × components.
    ``patients``
        ``label`` (class, or value), ``donor``, ``n_cells`` and covariates of each patient.
    ``classes``, ``origin``
        Names of the classes, and whether a recipe is this ``"cohort"``'s or the ``"reference"``'s. With
        ``outcome="continuous"`` there is one, named ``label_key``, and the value is its covariate ``"label"``.
    ``mean``
        Mean composition, classes × components. It may be edited, with its rows still summing to 1.
    ``concentration`` (classes,), or ``location`` and ``covariance``, or ``compositions`` and ``composition_class``
        What else the kind has: larger concentrations mean patients more alike; the covariance is that of the
        log-ratios. Only the Dirichlet kinds and ``"mean"`` generate from ``mean``, the others from these.
    ``subtype_weight``, ``subtype_mean``, ``subtype_concentration`` and ``subtype_class``
        With sub-types, in place of ``concentration``: share, mean composition and concentration of each, one row a
        sub-type, and the number of its class. They may be edited; ``mean`` then follows from them.
    ``covariates``, ``effects`` (classes, columns, K), ``covariate_mean``, ``covariate_low`` and ``covariate_high``
        With covariates: the columns that they make, what a unit of each adds to the logarithms of a composition, the
        values (classes, columns) at which the recipe of a class stands, and the range that was fitted on.
    ``offsets``
        Where the cells of each class lie inside each component, in the embedding that the cells were assigned in:
        ``classes``, ``means`` over donors of a donor's mean cell and ``variances`` between donors (classes, K, d),
        ``n_donors`` (those with two cells or more) and ``n_cells`` (classes, K), see
        :class:`repatient.recipe.Offsets`. Not with ``outcome="continuous"``, nor where the embedding is no longer in
        the object.
    ``reference``
        With a ``reference`` that gave a recipe: all of its recipes as they were read, and its offsets. What a cohort
        does to all its cells cancels only between classes of one cohort.

    Raises
    ------
    KeyError
        If a column or the mixture does not exist.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If a patient has two labels, donors or values of a covariate, or lacks one, a class in ``labels`` has no patient and no reference, the
        reference has another mixture or kind, or ``transfer="log_ratio"`` finds no class to compare the cohorts on; if
        grades have no order, or values are no finite numbers or all the same, or classes are asked for beside values.

    Warns
    -----
    UserWarning
        If there are cells of generated patients (:func:`repatient.get.augmented`): they are left out.

    References
    ----------
    The Dirichlet-multinomial is that of Mosimann (1962); its fit is described in :mod:`repatient.recipe`.

    Examples
    --------
    %(example_mixture)s
    >>> rp.tl.recipes(adata, patient_key="patient", label_key="label")
    >>> adata.uns["recipes"]["mean"].shape
    (2, 5)
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added", [gmm_key])
    check_option(kind, "kind", KINDS)
    check_integer(random_state, "random_state", minimum=0)
    if n_subtypes != "auto":
        n_subtypes = check_integer(n_subtypes, "n_subtypes", minimum=1)
    _check_transfer(transfer, shared_class, has_reference=reference is not None)
    _check_outcome(data, outcome, label_key, labels=labels, reference=reference)
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs))
    components, n_components = _store.read_components(data, gmm_key)
    if n_components < 2:
        msg = f"`gmm_key`: the mixture {gmm_key!r} has one component; a recipe needs two or more to mix."
        raise ValueError(msg)
    mixture = _store.fingerprint(data.uns[gmm_key])
    patients, numbers = _read_patients(data, outcome, patient_key, label_key, donor_key, mask, missing_values)
    external = None if reference is None else _reference_recipes(reference, reference_key, mixture, kind)
    names = _check_labels(labels, patients, external)

    counts = _count(patients, components, n_components)
    values = _with_numbers(_store.read_covariates(data, covariates, patients), numbers, label_key)
    own = [name for name in names if name in patients.classes]
    parts, origin = [], dict.fromkeys(names, "reference") | dict.fromkeys(own, "cohort")
    fitted = None
    if own or (transfer != "raw" and patients.classes):
        known = patients.labelled
        fitted = fit_recipes(
            counts[known],
            patients.labels[known].astype(str),
            kind=kind,
            shrinkage=shrinkage,
            random_state=random_state,
            n_subtypes=n_subtypes,
            covariates=None if values is None else {name: values[name][known].to_numpy() for name in values},
        )
    if fitted is not None and own:
        parts.append(fitted.take(own))
    if external is not None and (others := [name for name in names if name not in own]):
        parts.append(transferred(external[0], fitted, others, transfer, shared_class))
    joined = parts[0] if len(parts) == 1 else parts[0].join(parts[1])
    offsets = None if numbers is not None else _offsets(data, patients, components, n_components, gmm_key)
    entry = _store.recipes_entry(joined.take(names), [origin[name] for name in names], offsets)
    if external is not None and "reference" in entry["origin"]:
        theirs = _store.recipes_entry(external[0], ["reference"] * len(external[0].classes), external[1])
        entry["reference"] = {**theirs, "params": {"kind": kind, "mixture": mixture}}
    entry["counts"] = pd.DataFrame(
        counts, index=patients.names.astype(str), columns=[str(k) for k in range(n_components)]
    )
    # Numbers take the place of the one class that they are of.
    entry["patients"] = _store.patients_frame(patients, **({} if values is None else dict(values)))
    entry["params"] = _store.record(
        kind=kind,
        n_subtypes=n_subtypes,
        covariates=covariates if covariates is None else list(dict.fromkeys(covariates)),
        shrinkage=shrinkage,
        transfer=transfer,
        shared_class=shared_class,
        patient_key=patient_key,
        label_key=label_key,
        outcome=outcome,
        donor_key=donor_key,
        missing_values=_store.storable_missing_values(missing_values),
        gmm_key=gmm_key,
        mixture=mixture,
        mask_obs=_store.storable_mask(mask_obs),
        random_state=random_state,
    )
    data = data.copy() if copy else data
    data.uns[key_added] = entry
    return data if copy else None


def _count(patients: _store.Patients, components: np.ndarray, n_components: int) -> np.ndarray:
    inside = patients.codes >= 0
    cells = patients.codes[inside] * n_components + components[inside]
    return np.bincount(cells, minlength=len(patients.names) * n_components).reshape(-1, n_components)


def _offsets(
    data: AnnData | MuData, patients: _store.Patients, components: np.ndarray, n_components: int, gmm_key: str
) -> Offsets | None:
    """Where the cells of each class lie in each component, where the embedding that they were assigned in is there."""
    use_rep = _store.embedding_of_mixture(_store.uns_entry(data, gmm_key, "gmm_key", "gmm"))
    if not _store.has_embedding(data, use_rep):
        return None
    embedding, _ = _store.read_embedding(data, use_rep, lazy=True)
    of = {name: i for i, name in enumerate(patients.classes)}
    # The last one is of cells outside the mask, whose code is -1.
    labels = np.array([*(-1 if label is None else of[str(label)] for label in patients.labels), -1])[patients.codes]
    donors = np.append(np.unique(patients.donors.astype(str), return_inverse=True)[1], -1)[patients.codes]
    return fit_offsets(embedding, components, donors, labels, patients.classes, n_components)


def _reference_recipes(reference: Any, key: str, mixture: str, kind: str) -> tuple[Recipes, Offsets | None]:
    entry = reference_entry(reference, key, _store.keys.RECIPES)
    if entry["params"]["mixture"] != mixture:
        msg = (
            "`reference`: its recipes speak of the components of another mixture. Assign both cohorts to one, "
            "`rp.tl.assign(data, reference)` or the other way round, and learn the recipes again."
        )
        raise ValueError(msg)
    if _store.is_continuous(entry["params"]):
        msg = "`reference`: its recipe is of a value, and has no classes to give."
        raise ValueError(msg)
    external, _ = _store.read_recipes_entry(entry, key)
    if external.kind != kind:
        msg = f"`reference`: its recipes are of kind {external.kind!r}; pass `kind={external.kind!r}` here, too."
        raise ValueError(msg)
    return external, _store.read_offsets(entry, external.mean.shape[1])


def _check_labels(labels: Any, patients: _store.Patients, external: tuple[Recipes, Offsets | None] | None) -> list[str]:
    """Names of the classes to have recipes of, every one of them to be had."""
    elsewhere = () if external is None else external[0].classes
    if labels is None:
        names = patients.classes + [name for name in elsewhere if name not in patients.classes]
    elif isinstance(labels, str):
        msg = f"`labels` is a sequence of class names, not the string {labels!r}; write [{labels!r}]."
        raise TypeError(msg)
    else:
        names = list(dict.fromkeys(str(name) for name in labels))
    missing = [name for name in names if name not in patients.classes and name not in elsewhere]
    if missing:
        have = f"the reference has {listed(elsewhere)}" if external else "no `reference` was given"
        msg = (
            f"`labels`: the classes {listed(missing)} have no patient here, so their recipes must come from "
            f"elsewhere, and {have}. Classes with patients here are {listed(patients.classes)}; pass another "
            "cohort or a recipes file as `reference`."
        )
        raise ValueError(msg)
    if not names:
        msg = "`label_key`: no patient has a label, so there is no recipe to learn; label some, or pass a `reference`."
        raise ValueError(msg)
    return names


def _check_transfer(transfer: Any, shared_class: Any, *, has_reference: bool) -> None:
    """Refuse options that do not go together."""
    check_option(transfer, "transfer", TRANSFERS)
    if transfer != "raw" and not has_reference:
        msg = f"`transfer={transfer!r}` is about another cohort's recipes: pass them as `reference`."
        raise ValueError(msg)
    if shared_class is not None and transfer == "raw":
        msg = "`shared_class` is for `transfer='log_ratio'`; a raw transfer takes the recipes as they are."
        raise ValueError(msg)


def _check_outcome(data: AnnData | MuData, outcome: Any, label_key: str, **of_classes: Any) -> None:
    """Refuse an outcome that does not exist, grades without an order, and what values have no use for."""
    check_option(outcome, "outcome", _store.OUTCOMES)
    if outcome == "ordinal":
        _store.read_grades(data, label_key)
    given = [name for name, value in of_classes.items() if value is not None]
    if outcome == "continuous" and given:
        msg = (
            f"`outcome='continuous'` learns one recipe from the patients of this cohort; {listed(given)} speak of "
            "classes. Leave them out."
        )
        raise ValueError(msg)


def _read_patients(
    data: AnnData | MuData,
    outcome: str,
    patient_key: str,
    label_key: str,
    donor_key: str | None,
    mask: np.ndarray | None,
    missing_values: Sequence[Any] | None,
) -> tuple[_store.Patients, pd.Series | None]:
    """Patients with their classes; values are of one class, and come beside, NaN where a patient has none."""
    if outcome != "continuous":
        keys = (patient_key, label_key, donor_key, mask)
        return _store.read_patients(data, *keys, missing_values=missing_values), None
    patients = _store.read_valued_patients(data, patient_key, label_key, donor_key, mask, missing_values=missing_values)
    _store.check_values(patients, label_key)
    numbers = pd.Series(patients.labels.astype(np.float64), index=pd.Index(patients.names.astype(str), name="patient"))
    return _store.of_one_class(patients, label_key), numbers


def _with_numbers(covariates: pd.DataFrame | None, numbers: pd.Series | None, label_key: str) -> pd.DataFrame | None:
    """Covariates of the patients with the value, if there is one, as the first of them."""
    if numbers is None:
        return covariates
    if covariates is None:
        return pd.DataFrame({VALUE: numbers})
    if label_key in covariates:
        msg = f"`covariates`: {label_key!r} is the value that the recipe goes with already; leave it out."
        raise ValueError(msg)
    covariates.insert(0, VALUE, numbers)
    return covariates
