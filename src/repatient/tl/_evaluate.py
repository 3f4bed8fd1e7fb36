from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_integer, check_key, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient.tl._evaluate_cohort import Keys, read_cohort, read_cohorts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from repatient.evaluation import Method, Scenario

# Few patients bear few components, and a missing class wants many, see docs/benchmarks/low_data.md.
_N_COMPONENTS = {"full": 10, "low_data": 5, "missing_class": 40}


@shared_docs
def evaluate(
    data: AnnData | MuData,
    *,
    patient_key: str,
    label_key: str,
    donor_key: str | None = None,
    scenario: str = "full",
    methods: Sequence[str | Mapping[str, Any] | Method] | None = None,
    n_patients: int | None = None,
    missing_class: str | None = None,
    cohort_key: str | None = None,
    target: str | None = None,
    reference: AnnData | MuData | None = None,
    use_rep: str | None = None,
    mask_obs: Any = None,
    n_components: int | None = None,
    n_splits: int = 20,
    test_fraction: float = 0.25,
    n_steps: int = 200,
    classifier: Mapping[str, Any] | None = None,
    n_models: int = 1,
    n_jobs: Any = 1,
    checkpoint: str | PathLike[str] | None = None,
    key_added: str = _store.keys.EVALUATION,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, AnnData | MuData]:
    """Measure whether generated patients help on a cohort, beside other ways of augmenting and beside controls.

    The patients are split again and again by donors. In every split everything (scaling, mixture, recipes, selection,
    classifier) is fitted on the training patients alone, the classifier is trained by each method for the same number of
    gradient steps from the same first weights, and the test patients are predicted. No test patient decides on anything.

    Parameters
    ----------
    %(data)s
    %(patient_key)s
    %(label_key)s
    %(donor_key)s No donor is on both sides of a split.
    scenario
        ``"full"``: all patients outside the test set are trained on. ``"low_data"``: ``n_patients`` of each class are.
        ``"missing_class"``: the training patients of ``missing_class`` are withheld, and its recipe is that of another
        cohort's patients; test patients are of all classes.
    methods
        Names, mappings of ``"method"``, ``"name"`` and settings, or :class:`repatient.evaluation.Method`. ``None``: those
        of the scenario in :data:`repatient.evaluation.DEFAULTS`.

        ``"none"``
            The training patients as they are.
        ``"recipe"``
            Half of the bags of each step (all, for a missing class) are newly generated patients,
            :class:`repatient.mixing.RecipeMix`. Settings: ``n_components``, ``share``, ``kind``, ``shrinkage``, ``pool``,
            ``n_donors`` and the others there; ``align`` (``"raw"``, ``"moments"``, ``"quantiles"`` or ``"ot"``) for the
            cells of the other cohort, as in :func:`repatient.tl.assign`; ``mixture`` (``"target"``, ``"reference"`` or
            ``"both"``) for the cohort whose cells the components are fitted on: that of the training patients, the other
            one, or both, which tells apart cells that the training patients have few of, and needs cohorts without a
            batch shift;
            ``transfer`` (``"raw"`` or ``"log_ratio"``) and ``shared_class`` for its recipe, as in
            :func:`repatient.tl.recipes`.
        ``"recipe+psemix+insmix"``, ``"recipe+psemix"``
            RECIPE in turn with both or one of the rivals, with recipes over 3 and over 8 components (``n_components``
            takes other numbers) and half of the generated patients between two classes.
        ``"recipe_fixed"``
            Patients generated once. Settings as above, and ``n_generated`` (a class), ``select`` (``"low"``, ``"high"``,
            ``"band"``, ``"correct"`` or ``"random"``: by the entropy that a model trained on all of them has) with
            ``fraction``, the share that is kept. ``"random_selection"`` is the control at equal number.
        ``"oversampling"``, ``"same_class_mixing"``, ``"mixup"``, ``"rankmix"``, ``"remix"``, ``"psemix"``, ``"insmix"``
            Those of :mod:`repatient.mixing`, with their parameters.
        ``"alternating"``
            Several of the above in turn, ``{"method": "alternating", "of": ["recipe", "psemix"]}``.
        ``"null"``
            As ``"recipe"``, with recipes of wrong classes: what generating does without knowing the classes.
        ``"size_only"``
            Logistic regression on the number of cells: what can be had without looking at any.
        ``"full"``, ``"external"``
            For a missing class: its withheld training patients, and real patients of the other cohort (with ``align``).
    n_patients
        Training patients a class, for ``"low_data"``.
    missing_class
        Class to withhold, for ``"missing_class"``.
    cohort_key
        Column of ``obs`` with the cohort of each patient, where the other cohort is in the same object.
    target
        Value of ``cohort_key`` whose patients are trained and tested on; all others are external. ``None``: the first.
    reference
        The other cohort as an object of its own, with the same columns and the same embedding.
    %(use_rep)s Of a matrix (``"X"``), features are scaled by the training patients; an embedding is taken as it is.
    %(mask_obs)s
    n_components
        Components of the mixture, for methods that do not set them. ``None``: 5 for few patients, 10 for all, 40 for a
        missing class; fewer where components would have less than five cells.
    n_splits
        Number of splits.
    test_fraction
        Share of the donors that are tested on.
    n_steps
        Gradient steps of every training.
    classifier
        Parameters of :class:`repatient.mil.MILClassifier`.
    n_models
        Classifiers of every method, trained from different first weights, whose predictions are averaged. A few of them
        take away what chance in training adds to the differences, at as many times the time.
    n_jobs
        Processes, or a dask client. The result does not depend on it.
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
    than two classes the mean of each against the others, ``"balanced_accuracy"``, ``"macro_f1"``, ``"brier"``) and
    ``value``; with ``copy=True``, this table and the copy. Written are ``uns[key_added]``: ``results``, this table, and
    ``params``.

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
    """
    from repatient.evaluation import BASELINES, SCENARIOS, Plan, check_methods, run

    _store.check_data(data)
    check_key(key_added, "key_added")
    check_option(scenario, "scenario", SCENARIOS)
    _check_numbers(n_splits, test_fraction, n_steps, n_components, random_state)
    check_integer(n_models, "n_models", minimum=1)
    chosen = check_methods(methods, scenario)
    keys = Keys(patient_key, label_key, donor_key)
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs))
    use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key)[1]
    if scenario == "missing_class":
        cohort = read_cohorts(data, keys, use_rep, mask, cohort_key=cohort_key, target=target, reference=reference)
    else:
        _refuse(scenario, cohort_key=cohort_key, target=target, reference=reference)
        cohort = read_cohort(data, keys, use_rep, mask)
    n_components = n_components or _N_COMPONENTS[scenario]
    settings = dict(classifier or {})
    frame = run(
        cohort,
        _scenario(scenario, n_patients, missing_class, cohort.classes),
        chosen,
        Plan(n_components, n_steps, scale=use_rep.rpartition(":")[2] == "X", classifier=settings, n_models=n_models),
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
        n_patients=n_patients,
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
        **vars(keys),
    )
    data = data.copy() if copy else data
    data.uns[key_added] = {"results": frame.rename(index=str), "params": params}
    return (frame, data) if copy else frame


def _check_numbers(n_splits: Any, test_fraction: Any, n_steps: Any, n_components: Any, random_state: Any) -> None:
    check_integer(n_splits, "n_splits", minimum=2)
    check_integer(n_steps, "n_steps", minimum=1)
    check_integer(random_state, "random_state", minimum=0)
    if n_components is not None:
        check_integer(n_components, "n_components", minimum=2)
    if check_number(test_fraction, "test_fraction", above=0, maximum=1) == 1:
        msg = "`test_fraction` is a share below 1, so that somebody is left to train on, not 1."
        raise ValueError(msg)


def _scenario(name: str, n_patients: Any, missing_class: Any, classes: Sequence[str]) -> Scenario:
    from repatient.evaluation import Scenario

    if name != "low_data":
        _refuse(name, n_patients=n_patients)
    if name != "missing_class":
        _refuse(name, missing_class=missing_class)
    if name == "low_data":
        return Scenario(name, n_patients=check_integer(n_patients, "n_patients", minimum=1))
    if name == "missing_class":
        if str(missing_class) not in classes:
            msg = f"`missing_class` is one of the classes {listed(classes)}, not {missing_class!r}."
            raise ValueError(msg)
        return Scenario(name, missing_class=list(classes).index(str(missing_class)))
    return Scenario(name)


def _refuse(scenario: str, **arguments: Any) -> None:
    """Refuse arguments that a scenario has no use for."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        owner = "low_data" if given == ["n_patients"] else "missing_class"
        msg = f"`{given[0]}` is for `scenario={owner!r}`, not {scenario!r}."
        raise ValueError(msg)
