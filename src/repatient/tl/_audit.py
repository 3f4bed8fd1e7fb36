from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_integer, check_key
from repatient._docs import shared_docs
from repatient.tl._audit_patients import generated_patients, patients_of, pool_is_recorded, read_real_patients

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def audit(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    use_rep: str | None = None,
    mask_obs: Any = None,
    selected: bool | None = None,
    n_permutations: int = 199,
    n_repeats: int = 3,
    key_added: str = _store.keys.AUDIT,
    random_state: int = 0,
    copy: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, AnnData | MuData]:
    """Measure how realistic generated patients are, and what they give away of the donors of their cells.

    Parameters
    ----------
    %(data)s
    %(generated_key)s
    use_rep
        Embedding of the cells to compare patients in, as for :func:`repatient.tl.gmm`. ``None``: that of the mixture.
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): the cells of the real patients to compare with. ``None``: of each
        class the patients that are held out, neither drawn from nor learnt from, nor of a donor who was; where a class
        has none, all its patients. The column ``reference`` says which.
    selected
        ``True``: only the generated patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the
        selected ones where a selection was made.
    n_permutations
        Permutations behind a p-value; the smallest p-value is 1 / (``n_permutations`` + 1).
    n_repeats
        Partitions of the patients that a cross-validated AUROC is averaged over.
    key_added
        Key under which the results are stored.
    %(random_state)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    The table of measures; with ``copy=True``, the table and the copy. Written is ``uns[key_added]`` with the table as
    ``measures``, the patients as points as ``patients``, the share of the variance along their two axes as
    ``explained``, and ``params``. The table has one row a class that was generated. A measure that there are too few
    patients for is NaN, and ``notes`` says what was missing.

    ``n_real``, ``n_generated``, ``reference``
        Patients compared, and who the real ones are: ``"held out"``, ``"seen"`` (by the method; the comparison then
        flatters) or ``"mask"``.
    ``mmd_mean``, ``mmd_mean_p``, ``energy_mean``
        Squared maximum mean discrepancy (unbiased, 0 for equal distributions), its p-value by permutation of donors,
        and the energy distance, between the means of real and of generated patients' cells. The same of ``_moments``
        (means beside log-variances) and of ``_composition`` (log-ratios of the components).
    ``generated_auroc``, ``generated_auroc_linear``
        How well generated patients can be told from real ones by their moments, in cross-validation that keeps a donor
        and the patients that it gave most cells to in one fold. .5: not at all. The first classifier has the squares of
        the moments, too, and sees patients that are too alike, which the linear one does not.
    ``variance_ratio``, ``variance_ratio_raw``, ``variance_ratio_composition``
        Variance between generated patients over that between real ones: of the means of their cells, in units of the
        standard deviation of each dimension over real patients; in the embedding's own units; of the log-ratios. Below
        1: too alike.
    ``size_auroc_generated``, ``size_auroc_class``
        AUROC of the number of cells alone, of generated against real patients, and of real patients of the class
        against other real ones. .5: size says nothing; 1 (0): generated patients, or those of the class, all have
        more (fewer) cells.
    ``component_auroc``, ``component_auroc_worst``, ``worst_component``
        How well the mean of a patient's cells *within* a component tells the class, on average over cells, and in the
        component where it does best. The method assumes .5. The worst of many is above that by chance: with 30 components
        and 20 patients a class, by about .23.
    ``donor_share_max``, ``donor_share_median``, ``effective_donors``
        Share of a generated patient's cells that its main donor gave, the largest and the median; and the number of
        donors of equal shares that would be as concentrated, the median.
    ``repeated_cells``
        Share of the drawn cells that repeat one that the patient has already.
    ``reidentification``, ``reidentification_chance``
        How often the real patient of the pool that is nearest to a generated one is its main donor's, and how often it
        would be were main donors exchanged between the generated patients.
    ``nearest_patient_ratio``, ``nearest_cell_ratio``
        Median distance from a generated patient to the nearest real one of the pool, over that from a real one to the
        nearest of another donor; and the same of cells, in the embedding's own units (of random ones, where there are
        more than 1,000 generated or 20,000 real ones). 0: copies, as cells of the pool are; 1: as near as real ones of
        different people are to each other.
    ``membership_auroc``
        How well the distance from a real patient of the class to the nearest generated patient of any class tells
        those of the pool from those that are held out. .5: not at all.

    Raises
    ------
    KeyError
        If there are no generated patients, or a column or the embedding does not exist.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the generated patients belong to a mixture that was refitted since, or have lost their cells.

    Notes
    -----
    Time and memory are linear in the numbers of patients: beyond 1,000 real or generated patients, distances between
    pairs of them (``mmd``, ``energy``, nearest patients) are those of 1,000 random ones.

    Distances and classifiers see each dimension standardised over the real patients. Log-variances are those of a
    patient's cells and one more of the average variance, so that they do not depend on the number of cells.

    If the pool was given to :func:`repatient.tl.generate` as an array, all patients with a drawn cell count as the pool.

    Patients that were drawn as Gaussians have no donor: what speaks of donors is NaN, and ``notes`` says so;
    ``repeated_cells`` is 0. Their cells are assigned to components as real cells are, so that the composition that is
    compared is the one that a reader of the embedding sees, which overlapping components blur. The pool are the patients
    that the recipes were learnt on, and in cross-validation each generated patient is one by itself.

    Examples
    --------
    %(example_generated)s
    >>> table = rp.tl.audit(adata, n_permutations=19, n_repeats=1)
    >>> table["n_generated"].tolist()
    [3, 3]
    """
    # What only an audit needs is not loaded with the other tools.
    from repatient.evaluation.audit import audit_patients

    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    check_integer(n_permutations, "n_permutations", minimum=1)
    check_integer(n_repeats, "n_repeats", minimum=1)
    check_integer(random_state, "random_state", minimum=0)
    mask = _store.read_mask(data, mask_obs)
    drawn = _store.read_generated(data, generated_key).selected(selected, required=True)
    params = drawn.params
    components, n_components = _store.read_components(data, params["gmm_key"])
    if use_rep is None:
        own = params if drawn.points is not None else data.uns[params["gmm_key"]]["params"]
        use_rep = str(own["use_rep"])
    X, use_rep = _store.read_embedding(data, use_rep, patient_key=params["patient_key"])
    drawn.cells(X, use_rep)
    patients = read_real_patients(data, drawn)
    measures, frame, explained = audit_patients(
        X,
        components,
        n_components,
        patients,
        generated_patients(data, drawn),
        given=None if mask is None else patients_of(data, mask, patients, params),
        n_permutations=n_permutations,
        n_repeats=n_repeats,
        random_state=random_state,
    )
    if "worst_component" in measures and (called := _store.component_names(data, str(params["gmm_key"]))):
        measures["worst_component"] = [called.get(str(k), str(k)) for k in measures["worst_component"]]
    data = data.copy() if copy else data
    data.uns[key_added] = {
        "measures": measures.copy(),
        "patients": frame,
        "explained": explained,
        "params": _store.record(
            generated_key=generated_key,
            use_rep=use_rep,
            mask_obs=_store.storable_mask(mask_obs),
            selected=selected,
            n_permutations=n_permutations,
            n_repeats=n_repeats,
            random_state=random_state,
            label_key=params["label_key"],
            pool_is_recorded=pool_is_recorded(data, params),
        ),
    }
    return (measures, data) if copy else measures
