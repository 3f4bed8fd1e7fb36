from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, check_key, check_option
from repatient._docs import shared_docs
from repatient.mixture import GaussianMixture
from repatient.sampling import ALIGNMENTS, AffineMap
from repatient.tl._align import check_alignment, fit_map, move_all, shared_names
from repatient.tl._gmm import mixture_entry
from repatient.tl._in_reference import in_reference, origin_of
from repatient.tl._reference import Counterpart, read_counterpart, read_reference, reference_entry
from repatient.tl._shift import draw_samples, measure_mean_shift, measure_shift, warn_if_unsafe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray


@shared_docs
def assign(
    data: AnnData | MuData,
    reference: AnnData | MuData | str | PathLike[str] | dict[str, Any],
    *,
    align: str | None = None,
    use_rep: str | None = None,
    patient_key: str | None = None,
    label_key: str | None = None,
    donor_key: str | None = None,
    reference_patient_key: str | None = None,
    reference_label_key: str | None = None,
    reference_donor_key: str | None = None,
    shared_classes: Sequence[str] | None = None,
    missing_values: Sequence[Any] | None = None,
    mask_obs: Any = None,
    reference_mask_obs: Any = None,
    reference_key: str = _store.keys.GMM,
    store_proba: bool = False,
    key_added: str = _store.keys.GMM,
    device: str = "cpu",
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Assign every cell to the components of another cohort's mixture.

    Afterwards the recipes of the two cohorts speak of the same components and can be exchanged. Both embeddings must
    come from one model. How far the cells of this cohort lie inside the reference is measured, not taken for granted,
    and with ``patient_key`` and ``label_key`` so is how far the cells of one class lie apart in the two cohorts. Where a
    batch shift is found, align the cohorts.

    Parameters
    ----------
    %(data)s
    reference
        An object that :func:`repatient.tl.gmm` has written to, a file of :func:`repatient.io.write_recipes`, what
        :func:`repatient.io.read_recipes` returns, or an entry of ``uns`` that holds a mixture.
    align
        How the embedding of ``data`` is mapped onto the reference's before its cells are assigned:

        ``"raw"`` (or ``None``)
            Taken as it is.
        ``"moments"``
            By the affine map that gives the cells of the shared classes the mean and covariance that they have in the
            reference. Undoes a change of units, gain and offset of each feature; needs the reference's cells, or
            a recipes file that holds the moments of its classes.
        ``"quantiles"``
            Each feature by the increasing map that gives those cells the quantiles that they have in the reference, and
            then by moments. Undoes, too, what bends features one by one, such as another transformation or saturation;
            needs the reference's cells.
        ``"ot"``
            By moments, followed by an optimal transport of the cells of the shared classes onto the reference's, for
            shifts that bend features together. Needs the reference's cells, and POT (``pip install "repatient[ot]"``).

        All cells are moved by the map, those of classes that the reference does not have, too.
    use_rep
        Embedding of ``data``. ``None``: the one of the same name as in the reference. Where the reference knows the steps
        to it (:func:`repatient.pp.embed`; recipes files hold them, too), it is computed from the features of ``data`` unless
        it comes from the same steps; where its dimensions are features, they are put in the reference's order.
    patient_key, label_key
        Columns of ``data.obs`` with the patient of each cell and the patient's class. Needed to align, and to measure
        the shift. With ``patient_key`` alone the coverage is measured against reference patients that the mixture does
        not know, but no shift.
    %(donor_key)s Donors are what is exchanged to measure the shift.
    reference_patient_key, reference_label_key, reference_donor_key
        The same of the reference, where they have other names there.
    shared_classes
        Classes to compare and align the cohorts on. ``None``: all that both have. Leave out classes that are not the
        same in both.
    %(missing_values)s ``None`` warns of names that look like it.
    %(mask_obs)s All cells are assigned, and moved.
    reference_mask_obs
        The same of the reference. ``None``: the cells that its mixture was fitted on.
    reference_key
        Where the reference object keeps its mixture.
    store_proba
        Also store the probability of each component for each cell.
    key_added
        Key under which the results are stored.
    %(mixture_device)s
    random_state
        Seed of the cells that are compared where there are many, of the permutations and of the folds.
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obs[key_added]``, ``obs[f"{key_added}_log_density"]`` and, with ``store_proba``, ``obsm[f"{key_added}_proba"]``
        As by :func:`repatient.tl.gmm`.
    ``obsm[use_rep]``
        Where it was computed by the steps of the reference, the embedding, with them in ``uns``; under
        ``f"{use_rep}_of_reference"`` where there is another one by that name.
    ``obsm[f"{use_rep}_aligned"]``
        Where the cohorts were aligned, the moved embedding (with ``_{key_added}`` behind it for other keys than the
        default). ``params["use_rep"]`` remains the embedding that was moved.
    ``uns[key_added]``
        The mixture, ``params`` and ``reference``, which holds

        - ``alignment``, ``use_rep`` (the embedding that was assigned) and, where it was used, ``shared_classes``;
        - ``coverage``: share of the cells denser than the first percentile of the reference's cells, .99 for
          cells like the reference's; and ``coverage_raw``, the same without alignment;
        - ``quantiles``: whether that percentile is one of ``"held-out"`` cells, of patients that the mixture was not
          fitted on, or of those that it was fitted on, ``"in-sample"``, where it is not known whose cells they are;
        - ``log_likelihood``: mean of a cell;
        - ``shift``: a table, one row a shared class with two donors or more in both cohorts. ``mmd`` is the squared
          maximum mean discrepancy between the cohorts' cells as they were assigned and ``p_value`` that of
          exchanging donors; ``mmd_raw`` and ``p_value_raw`` are those without alignment.
          From a recipes file, which holds no cells, they are those of a linear kernel: the squared distance of the class
          means in standard deviations of the features, and its p-value by the spread of the donors. ``n_patients`` and
          ``n_reference_patients`` count patients; from a recipes file, donors;
        - ``matrix`` and ``offset`` of the map, with ``align="moments"``.

    Raises
    ------
    ImportError
        If ``align="ot"`` and POT is not installed.
    KeyError
        If the reference holds no mixture, ``data`` not the embedding, or a column does not exist.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the embedding has other dimensions than the mixture, NaN or infinity, or comes from other steps than the
        reference's and is not aligned; if features are missing that these steps begin with; if no class is shared, the
        reference does not hold what the alignment needs, or torch does not have the device.

    Warns
    -----
    UserWarning
        If less than .8 of the cells are covered, or the cells of a shared class differ (p ≤ .01, Bonferroni-corrected
        for several classes): a batch shift that makes the recipes of one cohort wrong for the other. The p-value after
        alignment is optimistic, as the same cells served to align. If an embedding of other steps is aligned.

    Notes
    -----
    Moments are those of the cells of each shared class with every patient counting the same, averaged over the classes:
    neither patients with many cells nor a cohort with more patients of one class move the map.

    Embeddings that are not in memory are read piece by piece, as by :func:`repatient.tl.gmm`; a moved embedding is a
    result, and is held in memory.

    See Also
    --------
    repatient.tl.recipes : Take over the recipe of a class from another cohort.
    repatient.evaluation.mmd_test : The test of cells, for arrays.
    repatient.sampling.mean_shift : That of a recipes file.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> other, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60, random_state=1)
    >>> rp.tl.gmm(other, 5, covariance_type="diag")
    >>> rp.tl.assign(adata, other)
    >>> adata.obs["gmm"].cat.categories.tolist()
    ['0', '1', '2', '3', '4']
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    check_integer(random_state, "random_state", minimum=0)
    how = "raw" if align is None else align
    check_option(how, "align", ALIGNMENTS)
    if label_key is not None and patient_key is None:
        msg = "`patient_key` is needed beside `label_key`: a class is one of patients, and they are what is exchanged."
        raise ValueError(msg)
    if donor_key is not None and label_key is None:
        msg = "`patient_key` and `label_key` are needed beside `donor_key`: donors are exchanged to measure the shift."
        raise ValueError(msg)
    source = reference_entry(reference := read_reference(reference), reference_key)
    their_rep = str(source["params"]["use_rep"])
    origin = origin_of(reference, their_rep) if _store.embedding_of_mixture(source) == their_rep else None
    found = in_reference(data, origin, use_rep, aligned=how != "raw")
    embedding, use_rep = _store.read_embedding(found.data, found.use_rep or their_rep, lazy=True)
    _check_dimensions(embedding, use_rep, source)
    covariance_type = str(source["params"]["covariance_type"])
    mixture = GaussianMixture.from_parameters(
        source["weights"], source["means"], source["covariances"], covariance_type=covariance_type, device=device
    )
    theirs = read_counterpart(
        reference,
        source,
        mixture,
        patient_key=reference_patient_key or patient_key,
        label_key=reference_label_key or label_key,
        donor_key=reference_donor_key or donor_key,
        missing_values=missing_values,
        mask_obs=reference_mask_obs,
        random_state=random_state,
    )
    ours = None
    if patient_key is not None and label_key is not None:
        mask = _store.read_mask(data, mask_obs)
        keys = (patient_key, label_key, donor_key, mask)
        ours = _store.read_cohort(found.data, use_rep, *keys, missing_values=missing_values)
    check_alignment(how, ours, theirs)
    names = [] if ours is None else shared_names(ours, theirs, shared_classes, how)
    move = None if how == "raw" or ours is None else fit_map(how, ours, theirs, names, random_state)
    aligned = None if move is None else move_all(move, embedding)

    labels, log_density, *proba = mixture.predict_with_density(
        embedding if aligned is None else aligned, return_proba=store_proba
    )
    key_aligned = _aligned_key(use_rep, key_added)
    report = {
        "alignment": how,
        "use_rep": use_rep if aligned is None else key_aligned,
        "params": source["params"],
        **_coverage(log_density, theirs),
    }
    if aligned is not None:
        report["coverage_raw"] = _coverage(mixture.predict_with_density(embedding)[1], theirs)["coverage"]
    if isinstance(move, AffineMap):
        report |= {"matrix": move.matrix, "offset": move.offset}
    if ours is not None and names:
        report |= {"shared_classes": np.array(names, dtype=object)} | _shift(ours, theirs, names, move, random_state)
    who = "patients" if donor_key is None else "donors"
    by = f"the spread of the {who}" if theirs.cohort is None else f"exchanging {who}"
    warn_if_unsafe(report["coverage"], report.get("shift"), "unlabelled" if ours is None else how, by)

    entry = mixture_entry(mixture)
    entry["log_density_quantiles"] = source["log_density_quantiles"]
    if "names" in source:
        entry["names"] = source["names"]
    entry["params"] = _store.record(
        n_components=len(mixture.weights_),
        covariance_type=covariance_type,
        use_rep=use_rep,
        reference_key=reference_key,
        patient_key=patient_key,
        label_key=label_key,
        donor_key=donor_key,
        missing_values=_store.storable_missing_values(missing_values),
        mask_obs=_store.storable_mask(mask_obs),
        random_state=random_state,
    )
    entry["reference"] = report
    data = data.copy() if copy else data
    found.write(data)
    _store.write_components(data, key_added, labels, log_density, proba[0] if store_proba else None, entry)
    if aligned is not None:
        data.obsm[key_aligned] = aligned
    return data if copy else None


def _check_dimensions(embedding: Any, use_rep: str, source: dict[str, Any]) -> None:
    n_dimensions = source["means"].shape[1]
    if embedding.shape[1] != n_dimensions:
        msg = (
            f"`use_rep`: the embedding {use_rep!r} has {embedding.shape[1]} dimensions and the reference's mixture "
            f"{n_dimensions}; both cohorts need the embedding of one model."
        )
        raise ValueError(msg)


def _aligned_key(use_rep: str, key_added: str) -> str:
    suffix = "aligned" if key_added == _store.keys.GMM else f"aligned_{key_added}"
    return f"{use_rep.replace(':', '_')}_{suffix}"


def _coverage(log_density: NDArray[Any], theirs: Counterpart) -> dict[str, Any]:
    return {
        "coverage": float((log_density >= theirs.threshold).mean()),
        "quantiles": "held-out" if theirs.held_out else "in-sample",
        "log_likelihood": float(np.mean(log_density, dtype=np.float64)),
    }


def _shift(
    ours: _store.LabelledCells,
    theirs: Counterpart,
    names: list[str],
    move: Callable[[NDArray[Any]], NDArray[np.float64]] | None,
    random_state: int,
) -> dict[str, pd.DataFrame]:
    """Shift of each shared class, as assigned and raw; nothing where there are no cells or patients to compare."""
    if theirs.cohort is None:
        raw, table = measure_mean_shift(ours, theirs, names, move if isinstance(move, AffineMap) else None)
    else:
        samples = draw_samples(ours, theirs.cohort, names, random_state)
        raw = measure_shift(samples, lambda rows: rows, random_state)
        table = raw if move is None else measure_shift(samples, move, random_state)
    if raw.empty:
        return {}
    return {"shift": table.assign(mmd_raw=raw["mmd"], p_value_raw=raw["p_value"])}
