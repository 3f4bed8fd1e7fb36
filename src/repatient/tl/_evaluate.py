from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient.tl._evaluate_cohort import Keys, read_cohort, read_cohorts

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.evaluation import Method, Predictions, Scenario

# A missing class wants many, see docs/benchmarks/missing_class.md.
_COMPONENTS_OF_A_MISSING_CLASS = 40


@shared_docs
def evaluate(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str,
    donor_key: str | None = None,
    missing_values: Sequence[Any] | None = None,
    scenario: str = "full",
    methods: Sequence[str | Mapping[str, Any] | Method] | None = None,
    n_patients: int | Mapping[str, int] | None = None,
    missing_class: str | None = None,
    cohort_key: str | None = None,
    target: str | None = None,
    reference: AnnData | MuData | None = None,
    travels: Sequence[str] | None = None,
    use_rep: str | None = None,
    mask_obs: Any = None,
    n_components: int | None = None,
    n_splits: int = 20,
    test_fraction: float = 0.25,
    n_steps: int | None = None,
    classifier: Mapping[str, Any] | None = None,
    n_models: int = 1,
    n_jobs: Any = None,
    checkpoint: str | PathLike[str] | None = None,
    key_added: str = _store.keys.EVALUATION,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, AnnData | MuData]:
    """Measure whether generated patients help on a cohort, beside what an expert would write and beside controls.

    The patients are split again and again by donors. In every split everything (scaling, mixture, recipes, selection,
    predictor) is fitted on the training patients alone, networks are trained by each method for the same number of
    gradient steps from the same first weights, and the test patients are predicted. No test patient decides on anything.
    A method is what :func:`repatient.tl.mil` trains under the same name, seed and settings.

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    %(label_key)s
    %(donor_key)s No donor is on both sides of a split.
    %(missing_values)s ``None`` refuses such names.
    scenario
        ``"full"``: all patients outside the test set are trained on. ``"low_data"``: ``n_patients`` of each class are.
        ``"rare_class"``: ``n_patients`` of one class, and all of the others. ``"missing_class"``: the training patients of
        ``missing_class`` are withheld, and its recipe is that of another cohort's patients; test patients are of all
        classes.
    methods
        Names, mappings of ``"method"``, ``"name"`` and settings, or :class:`repatient.evaluation.Method`. ``None``: those
        of the scenario in :data:`repatient.evaluation.DEFAULTS`. A name is that of a predictor,

        those in :data:`repatient.mil.PREDICTORS`
            as in :func:`repatient.tl.mil`, alone or joined by ``"+"`` to what it is trained on besides the patients:
            ``"mean+recipe"``, ``"attention+recipe+psemix+insmix"``, and so on for every predictor and every augmenter
            that :func:`repatient.tl.mil` has. Settings are those of the predictor and of the augmenter. An augmenter's
            name alone (``"recipe"``, ``"psemix"``) is ``"attention"`` with it, and ``"none"`` is ``"attention"``.

        For a missing class, ``"recipe"`` has besides ``align`` (:data:`repatient.sampling.ALIGNMENTS`) for the cells of the
        other cohort, as in :func:`repatient.tl.assign`; ``mixture`` (``"target"``, ``"reference"`` or ``"both"``) for the
        cohort whose cells the components are fitted on; ``transfer`` (``"raw"`` or ``"log_ratio"``) and ``shared_class``
        for its recipe, as in :func:`repatient.tl.recipes`. Other methods are, each with the ``predictor`` that it trains,

        ``"recipe_fixed"``
            Patients generated once. Settings as of ``"recipe"``, and ``n_generated`` (a class), ``select`` (``"low"``,
            ``"high"``, ``"band"``, ``"correct"`` or ``"random"``: by the entropy that a model trained on all of them has)
            with ``fraction``, the share that is kept. ``"random_selection"`` is the control at equal number.
        ``"alternating"``
            Augmenters in turn with settings of their own, ``{"method": "alternating", "of": ["recipe", "psemix"]}``.
        ``"null"``
            As ``"recipe"``, with recipes of wrong classes: what generating does without knowing the classes.
        ``"size_only"``
            Logistic regression on the number of cells: what can be had without looking at any.
        ``"recipes_travel"``, ``"offsets_travel"``, ``"model_travels"``, ``"cells_travel"``, ``"travels"``
            What :func:`repatient.tl.mil` trains with ``reference``, of what the other cohort sends; the last has the setting
            ``what``, names in :data:`repatient.mixing.TRAVELS`, and all have ``predictor``, ``align``, ``n_components`` and
            ``check``.
        ``"full"``, ``"external"``
            For a missing class: its withheld training patients, and real patients of the other cohort (with ``align``).
    n_patients
        Training patients a class, for ``"low_data"``, or of the rare one, for ``"rare_class"``; there, ``{"B": 2}`` names
        the class, and a number alone makes each class the rare one in turn, split by split.
    missing_class
        Class to withhold, for ``"missing_class"``.
    cohort_key
        Column of ``obs`` with the cohort of each patient, where the other cohort is in the same object.
    target
        Value of ``cohort_key`` whose patients are trained and tested on; all others are external. ``None``: the first.
    reference
        The other cohort as an object of its own, with the same columns and the same embedding.
    travels
        Rungs of a ladder, what the other cohort sends: ``"nothing"`` (the predictor of the patients here), ``"recipes"``,
        ``"offsets"`` (recipes, offsets and moments), ``"model"`` (its models besides) and ``"cells"`` (everything). Each is a
        method (:data:`repatient.evaluation.METHOD_OF_RUNG`), added to ``methods`` or, without any, compared alone; for a
        missing class beside ``"full"``.
    %(use_rep)s Of a matrix (``"X"``), features are scaled by the training patients; an embedding is taken as it is.
    %(mask_obs)s
    n_components
        Components of the mixture, for methods that do not set them. ``None``: as many as the training patients bear,
        :func:`repatient.mixture.default_n_components`, and 40 for a missing class.
    n_splits
        Number of splits.
    test_fraction
        Share of the donors that are tested on.
    n_steps
        Gradient steps of every network; ``None``: those of :func:`repatient.tl.mil`.
    classifier
        Settings of the attention network, for methods that do not set them.
    n_models
        Trainings of every method, from different seeds, whose predictions are averaged. A few of them
        take away what chance in training adds to the differences, at as many times the time.
    n_jobs
        Processes (-1: one a core), or a dask client. None: this process, and where the first split shows that the others
        would take longer than 20 s, one a core, at most 8 and none where the cohort is too large for it. The result does
        not depend on it.
    checkpoint
        File in which the values of finished splits are kept. The same call goes on where it was interrupted; with more
        methods or splits, it runs what is missing.
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(progress)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    One row a method, split and metric, with the columns ``method``, ``split``, ``seed``, ``metric`` (``"auroc"``, for more
    than two classes the mean of each against the others, ``"balanced_accuracy"``, ``"macro_f1"``, ``"brier"``,
    ``"log_loss"``) and ``value``; with ``copy=True``, this table and the copy. Written are ``uns[key_added]``: ``results``,
    this table; ``predictions``, one row a method, split and held-out patient, with ``method``, ``split``, ``patient``,
    ``label`` and ``probability_<class>``; and ``params``.

    Raises
    ------
    KeyError
        If a column or the embedding does not exist.
    TypeError, ValueError
        If a class has too few donors, a method or a setting of it is unknown, the scenario lacks what it needs, or the
        checkpoint is of other parameters.

    See Also
    --------
    repatient.evaluation.compare : Paired differences with corrected intervals.
    repatient.pl.evaluation : The same as a figure.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> keys = {"patient_key": "patient", "label_key": "label"}
    >>> results = rp.tl.evaluate(adata, **keys, methods=["mean", "size_only"], n_splits=3)
    >>> results.groupby("method")["split"].nunique()["mean"]
    np.int64(3)
    """
    from repatient.evaluation import BASELINES, SCENARIOS, Plan, check_methods, run

    _store.check_data(data)
    check_key(key_added, "key_added")
    check_option(scenario, "scenario", SCENARIOS)
    _check_numbers(n_splits, test_fraction, n_steps, n_components, random_state)
    check_integer(n_models, "n_models", minimum=1)
    chosen = check_methods(_with_rungs(methods, travels, scenario), scenario)
    keys = Keys(patient_key, label_key, donor_key, missing_values)
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs))
    use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key, to_learn_from=True)[1]
    if scenario == "missing_class" or reference is not None or cohort_key is not None:
        cohort, names = read_cohorts(
            data, keys, use_rep, mask, cohort_key=cohort_key, target=target, reference=reference
        )
    else:
        _refuse(scenario, target=target)
        if travels is not None and set(travels) != {"nothing"}:
            msg = "`travels` is about another cohort; pass `cohort_key` or `reference`."
            raise ValueError(msg)
        cohort, names = read_cohort(data, keys, use_rep, mask)
    if n_components is None and scenario == "missing_class":
        n_components = _COMPONENTS_OF_A_MISSING_CLASS
    settings = dict(classifier or {})
    frame, predictions = run(
        cohort,
        _scenario(scenario, n_patients, missing_class, cohort.classes),
        chosen,
        Plan(n_components, n_steps, scale=_store.has_own_units(use_rep), classifier=settings, n_models=n_models),
        n_splits=n_splits,
        test_fraction=test_fraction,
        random_state=random_state,
        n_jobs=n_jobs,
        checkpoint=checkpoint,
        progress=progress,
    )
    params = _store.record(
        scenario=scenario,
        methods={method.name: json.dumps(method.record) for method in chosen},
        baseline=BASELINES[scenario],
        n_patients=dict(n_patients) if isinstance(n_patients, Mapping) else n_patients,
        missing_class=missing_class,
        cohort_key=cohort_key,
        target=target,
        classes=cohort.classes,
        use_rep=use_rep,
        mask_obs=_store.storable_mask(mask_obs),
        n_components=n_components,
        n_splits=n_splits,
        test_fraction=test_fraction,
        n_steps=n_steps,
        classifier=json.dumps(settings),
        n_models=n_models,
        random_state=random_state,
        patient_key=patient_key,
        label_key=label_key,
        donor_key=donor_key,
        missing_values=_store.storable_missing_values(missing_values),
    )
    data = data.copy() if copy else data
    data.uns[key_added] = {
        "results": frame.rename(index=str),
        "predictions": _predictions_table(predictions, names, cohort.classes),
        "params": params,
    }
    return (frame, data) if copy else frame


def _with_rungs(methods: Any, travels: Any, scenario: str) -> Any:
    """The methods, with those of the rungs."""
    from repatient.evaluation import METHOD_OF_RUNG

    if travels is None:
        return methods
    if isinstance(travels, str) or not isinstance(travels, Sequence) or not travels:
        msg = f"`travels` is a sequence of {listed(METHOD_OF_RUNG)}, not {travels!r}."
        raise TypeError(msg)
    for rung in travels:
        check_option(rung, "travels", METHOD_OF_RUNG)
    rungs: list[Any] = [METHOD_OF_RUNG[rung] for rung in dict.fromkeys(travels)]
    if methods is None and scenario == "missing_class":
        return [{"method": "full", "predictor": "auto"}, *rungs]
    return [*(methods or []), *(rung for rung in rungs if rung not in (methods or []))]


def _check_numbers(n_splits: Any, test_fraction: Any, n_steps: Any, n_components: Any, random_state: Any) -> None:
    check_integer(n_splits, "n_splits", minimum=2)
    if n_steps is not None:
        check_integer(n_steps, "n_steps", minimum=1)
    check_integer(random_state, "random_state", minimum=0)
    if n_components is not None:
        check_integer(n_components, "n_components", minimum=2)
    if check_number(test_fraction, "test_fraction", above=0, maximum=1) == 1:
        msg = "`test_fraction` is a share below 1, so that somebody is left to train on, not 1."
        raise ValueError(msg)


def _scenario(name: str, n_patients: Any, missing_class: Any, classes: Sequence[str]) -> Scenario:
    from repatient.evaluation import Scenario

    if name not in ("low_data", "rare_class"):
        _refuse(name, n_patients=n_patients)
    if name != "missing_class":
        _refuse(name, missing_class=missing_class)
    if name == "low_data":
        return Scenario(name, n_patients=check_integer(n_patients, "n_patients", minimum=1))
    if name == "rare_class":
        rare, number = None, n_patients
        if isinstance(n_patients, Mapping):
            if len(n_patients) != 1:
                msg = f"`n_patients` names the one rare class and its number of patients, not {dict(n_patients)!r}."
                raise ValueError(msg)
            ((label, number),) = n_patients.items()
            rare = _code(label, "n_patients", classes)
        return Scenario(name, n_patients=check_integer(number, "n_patients", minimum=1), rare_class=rare)
    if name == "missing_class":
        return Scenario(name, missing_class=_code(missing_class, "missing_class", classes))
    return Scenario(name)


def _code(label: Any, argument: str, classes: Sequence[str]) -> int:
    if str(label) not in classes:
        msg = f"`{argument}` is one of the classes {listed(classes)}, not {label!r}."
        raise ValueError(msg)
    return list(classes).index(str(label))


def _predictions_table(predictions: Predictions, names: NDArray[np.str_], classes: Sequence[str]) -> pd.DataFrame:
    """Out-of-fold predictions as they are stored."""
    columns: dict[str, Any] = {
        "method": pd.Categorical(predictions.method, categories=list(dict.fromkeys(predictions.method))),
        "split": predictions.split,
        "patient": pd.Categorical(names[predictions.patient]),
        "label": pd.Categorical.from_codes(predictions.y, list(classes)),
    }
    frame = pd.DataFrame(columns).rename(index=str)
    frame[_store.keys.probability_columns(list(classes))] = predictions.probabilities
    return frame


def _refuse(scenario: str, **arguments: Any) -> None:
    """Refuse arguments that a scenario has no use for."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        owner = "low_data' or 'rare_class" if given == ["n_patients"] else "missing_class"
        msg = f"`{given[0]}` is for `scenario='{owner}'`, not {scenario!r}."
        raise ValueError(msg)
