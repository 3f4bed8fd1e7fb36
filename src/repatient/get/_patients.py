from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial.distance import pdist, squareform

from repatient import _store
from repatient._docs import shared_docs
from repatient.get._patient_table import append_generated, constant_columns, generated_before, read_predictions
from repatient.recipe import proportions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

_BLOCK_ROWS = 1 << 16
_CLR, _DISTANCES, _MEAN = "X_clr", "X_clr_distances", "X_mean"


@shared_docs
def patients(
    data: AnnData | MuData,
    *,
    recipes_key: str = _store.keys.RECIPES,
    use_rep: str | None = None,
    covariates: Sequence[str] | None = None,
    mil_key: str | None = None,
    generated_key: str | None = None,
    selected: bool | None = None,
    annotation_key: str | None = None,
    mask_obs: Any = None,
    distances: bool = False,
) -> AnnData:
    """Make an object with one row a patient: compositions, covariates and predictions.

    It goes where an object of cells goes: ``sc.pp.neighbors(p, use_rep="X_clr")``, ``sc.tl.umap(p)`` and
    ``sc.pl.umap(p, color=...)`` make a map of patients.

    Parameters
    ----------
    %(data)s
    recipes_key
        Where :func:`repatient.tl.recipes` stored the recipes; they say which columns of ``obs`` are the patients, their
        classes and donors, and the components. All patients of ``data`` are taken, whichever the recipes were learnt from.
    use_rep
        Embedding whose mean over the cells each patient gets. ``None``: that of the mixture.
    covariates
        Columns of ``obs``, with one value a patient. ``None``: all that have; those that vary within a patient are left
        out.
    mil_key
        Where :func:`repatient.tl.mil` stored its predictions. ``None``: ``uns["mil"]``, where there is one of these
        patients.
    generated_key
        Where :func:`repatient.tl.generate` stored patients to append. ``None``: none of them.
    selected
        ``True``: only the generated patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the
        selected ones where a selection was made.
    annotation_key
        Column of ``obs`` to name components by, such as the cell type: the value that most cells of each have.
    mask_obs
        Boolean column of ``obs``, or array (n_obs,): count these cells alone.
    distances
        Also write the distances between all pairs of patients, whose number grows with the square.

    Returns
    -------
    A new AnnData, real patients first. Columns of ``obs`` have the names that they have in ``data``.

    ``X``, ``layers["counts"]``
        Proportions of the components, (patients, K), rows summing to 1, and numbers of cells.
    ``obs``
        The patient (also the index), class, donor, ``n_cells``, the covariates and, as ``mil_predicted``,
        ``mil_probability_<class>`` and so on, the predictions. With ``generated_key``, ``is_generated``; generated
        patients are their own donors and have no covariates but those that they were generated at, nor predictions.
    ``var``
        ``weight`` of each component in the mixture and, with ``annotation_key``, a column of that name and
        ``<annotation_key>_share``, the share of the component's cells that have it.
    ``obsm["X_clr"]``
        Centred log-ratios, natural logarithms, of the counts with half a cell added to each component, as zeros have no
        logarithm. Euclidean distances between them are Aitchison's.
    ``obsp["X_clr_distances"]``
        With ``distances``, these, patients × patients.
    ``obsm["X_mean"]``
        Mean of the embedding over each patient's cells, (patients, d).
    ``uns["patients"]``
        ``params``. The colours of the classes are where scanpy looks for them.

    Raises
    ------
    KeyError
        If there are no recipes, or a column, the embedding, predictions or generated patients that are asked for.
    TypeError, ValueError
        If a covariate that is named varies within a patient or is called as another column, cells have no patient, a
        generated patient is called as a real one, or the mixture was refitted since.

    Notes
    -----
    patpy scores representations of patients: ``patpy.tl.evaluation.knn_prediction_score(p, schema)`` takes the object,
    and ``patpy.tl.evaluate_representation`` the distances with a column of ``obs``. It looks for them in a frame:
    ``p.obsm["X_clr_distances"] = pd.DataFrame(p.obsp["X_clr_distances"], p.obs_names, p.obs_names)``, with
    ``p.uns["sample_representations"] = ["X_clr"]``. Its methods that start from cells
    take ``data`` itself, with ``sample_key`` the patients and ``cell_group_key`` the components (``"gmm"``).

    pertpy's distances compare groups of rows: of patients as
    ``pt.tl.Distance("edistance", obsm_key="X_clr").pairwise(p, groupby="label")``, of the cells of patients as
    ``pt.tl.Distance("edistance", obsm_key="X_pca").pairwise(data, groupby="patient")``.

    References
    ----------
    Centred log-ratios and their distance: Aitchison (1983), Biometrika 70, 57.

    Examples
    --------
    %(example_recipes)s
    >>> rp.get.patients(adata).shape
    (12, 5)
    """
    _store.check_data(data)
    mask = _store.read_mask(data, mask_obs)
    recipes = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    keys = recipes["params"]
    gmm_key = str(keys["gmm_key"])
    _store.check_recipes(data, recipes)
    mixture = _store.uns_entry(data, gmm_key, "gmm_key", "gmm")
    components, n_components = _store.read_components(data, gmm_key)
    who = _store.read_recorded_patients(data, keys, mask)
    use_rep = use_rep or _store.embedding_of_mixture(mixture)
    drawn = None if generated_key is None else _store.read_generated(data, generated_key).selected(selected)
    obs = _table(data, who, keys, covariates, mil_key, drawn)
    annotation = None if annotation_key is None else _annotation(data, annotation_key, components, n_components)
    embedding, use_rep = _store.read_embedding(data, use_rep, patient_key=keys["patient_key"], lazy=True)

    inside = np.flatnonzero(who.codes >= 0)
    member = _indicator(who.codes[inside], inside, (len(who.names), data.n_obs))
    counts = _compositions(member, components, n_components)
    means = _means(member, embedding)
    if drawn is not None:
        counts = np.concatenate([counts, drawn.compositions(components, n_components)])
        of_drawn = sp.csc_matrix(drawn.counts.T)
        means = np.concatenate([means, _means(of_drawn, drawn.cells(embedding, use_rep))])
    logs = np.log(counts + 0.5)
    result = ad.AnnData(
        X=proportions(counts),
        obs=obs,
        var=pd.DataFrame({"weight": np.asarray(mixture["weights"])}, index=[str(k) for k in range(n_components)]),
        layers={"counts": counts},
        obsm={_CLR: logs - logs.mean(axis=1, keepdims=True), _MEAN: means},
    )
    if annotation is not None:
        result.var = result.var.join(annotation)
    if distances:
        result.obsp[_DISTANCES] = squareform(pdist(result.obsm[_CLR]))
    result.uns["patients"] = {
        "params": _store.record(
            **{name: keys[name] for name in ("patient_key", "label_key", "donor_key", "gmm_key", "mixture")},
            use_rep=use_rep,
            generated_key=generated_key,
            mask_obs=_store.storable_mask(mask_obs),
        )
    }
    _keep_colours(data, result, keys["label_key"])
    return result


def _table(
    data: AnnData | MuData,
    who: _store.Patients,
    keys: dict[str, Any],
    covariates: Any,
    mil_key: str | None,
    drawn: _store.Generated | None,
) -> pd.DataFrame:
    """``obs`` of the patients."""
    frame = _store.patients_frame(who)
    label = who.labels.astype(np.float64) if _store.is_continuous(keys) else frame["label"]
    own = {keys["patient_key"]: pd.Categorical(frame.index), keys["label_key"]: label}
    if keys["donor_key"] is not None:
        own[keys["donor_key"]] = frame["donor"]
    own["n_cells"] = frame["n_cells"]
    predictions = read_predictions(data, mil_key, str(keys["patient_key"]))
    of_model = [] if predictions is None else list(predictions.columns)
    gmm_key = str(keys["gmm_key"])
    taken = {*own, *of_model, "is_generated", gmm_key, _store.keys.log_density(gmm_key)}
    known = constant_columns(data, who, covariates, taken)
    table = pd.DataFrame({**own, **{name: column.array for name, column in known.items()}}, index=frame.index)
    if predictions is not None:
        table = table.join(predictions)
    before = generated_before(data, who)
    if drawn is not None or before.any():
        table["is_generated"] = before
    if drawn is not None:
        table = append_generated(table, drawn.table, keys)
    return table.rename_axis(None)


def _annotation(data: AnnData | MuData, key: str, components: np.ndarray, n_components: int) -> pd.DataFrame:
    """Most frequent value of a column in each component, and the share of its cells that have it."""
    codes, values = pd.factorize(_store.obs_column(data, key, "annotation_key"), sort=True)
    known = codes >= 0
    if not known.any():
        msg = f"`annotation_key`: {key!r} has no value in any cell."
        raise ValueError(msg)
    counts = np.zeros((n_components, len(values)), dtype=np.int64)
    np.add.at(counts, (components[known], codes[known]), 1)
    sizes = np.bincount(components, minlength=n_components)
    names = pd.Categorical(np.asarray(values, dtype=object).astype(str)[counts.argmax(axis=1)])
    share = counts.max(axis=1) / np.maximum(sizes, 1)
    return pd.DataFrame({key: names, f"{key}_share": share}, index=[str(k) for k in range(n_components)])


def _indicator(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csc_matrix:
    return sp.csc_matrix((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape)


def _compositions(member: sp.csc_matrix, components: np.ndarray, n_components: int) -> np.ndarray:
    """Cells of each patient in each component, (patients, K)."""
    cells = np.arange(len(components))
    return np.asarray((member @ _indicator(cells, components, (len(cells), n_components))).toarray())


def _means(member: sp.csc_matrix, embedding: Any) -> np.ndarray:
    """Mean of the embedding over the cells of each patient, (patients, d); it is read in blocks."""
    total = np.zeros((member.shape[0], embedding.shape[1]))
    for start in range(0, member.shape[1], _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        total += member[:, part] @ np.asarray(embedding[part], dtype=np.float64)
    return total / np.asarray(member.sum(axis=1))


def _keep_colours(data: AnnData | MuData, result: AnnData, label_key: str) -> None:
    """Give the classes the colours that they have in ``data``."""
    key = f"{label_key}_colors"
    column = _store.obs_column(data, label_key, "label_key")
    kinds = (column.dtype, result.obs[label_key].dtype)
    if not isinstance(data.uns.get(key), list | tuple | np.ndarray) or not all(
        isinstance(kind, pd.CategoricalDtype) for kind in kinds
    ):
        return
    of = dict(zip(map(str, column.cat.categories), data.uns[key], strict=False))
    classes = list(result.obs[label_key].cat.categories)
    if all(name in of for name in classes):
        result.uns[key] = [of[name] for name in classes]
