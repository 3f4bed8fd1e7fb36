from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient._progress import progress_bar
from repatient.tl._evaluate_views_map import MAP_ARMS, Grid, advised, map_errors
from repatient.tl._view_pair import ViewPair, read_rows
from repatient.tl._view_partners import read_synthetic, to_comparable

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.views import Comparison, Translator


@shared_docs
def evaluate_views(
    data: AnnData | MuData,
    primary: str,
    privileged: str,
    *,
    label_key: str,
    scenario: str = "arms",
    translator: Translator | Sequence[Translator] | None = None,
    synthetic_key: str | None = None,
    pairs: Any = None,
    primary_rep: str | None = None,
    privileged_rep: str | None = None,
    mask_obs: Any = None,
    patient_key: str | None = None,
    test_fraction: float = 0.3,
    arms: Sequence[str] | None = None,
    n_pairs: int | Sequence[int] = 100,
    budgets: Sequence[float] = (0.1, 0.3, 1.0),
    n_labels: int | Sequence[int] = 50,
    n_seeds: int = 3,
    encoder: Mapping[str, Any] | None = None,
    key_added: str = _store.keys.VIEWS,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, AnnData | MuData]:
    """Measure what synthetic partners are worth, beside a single modality, measured partners and controls.

    Every arm makes a representation of the primary modality, with encoders trained for the same number of steps on the
    training observations; simple readers then learn labels on it from the training observations and are tested on the
    others.

    Parameters
    ----------
    data
        MuData with both modalities, or the AnnData of the primary one.
    primary, privileged
        Modalities, as for :func:`repatient.tl.distill`.
    label_key
        Column of ``obs`` with what is to be read; observations without a label train encoders,
        but no reader, and are not tested on.
    scenario
        ``"arms"``: the arms below, with one number of labels and of pairs. ``"map"``: over several numbers of labels and of
        measured pairs, which representation to take, with what certainty, in a sentence. Every encoder is trained once, so
        that a map takes about as long as the arms; with 6 seeds or more, its bounds begin to say something.
    translator
        Makes the synthetic view: one, or one for every seed, so that intervals hold the chance in translators, too. It
        must not have seen the test observations' partners. ``None``: the view is read from ``obsm``.
    synthetic_key, primary_rep, privileged_rep
        As for :func:`repatient.tl.distill`.
    pairs
        Observations that were measured in both modalities, as for :func:`repatient.tl.distill`; of a table, the first
        ``n_pairs`` are the few pairs, of ``"obs_names"`` random ones. ``None``: the arms of measured pairs are left out.
    mask_obs
        Boolean column of ``obs``, or array over the observations of the primary modality: the training observations.
        ``None``: a random part, of whole patients where ``patient_key`` is given, another one for every seed.
    patient_key
        Column of ``obs`` with the patients.
    test_fraction
        Share of the observations (or patients) that are held out where there is no ``mask_obs``.
    arms
        Some of ``"raw"`` (the primary view itself), ``"random"`` (an untrained encoder), ``"single"`` (no partner),
        ``"contrastive_few"`` (``n_pairs`` measured pairs by the objective alone), ``"authentic_few"`` (the same pairs, and
        heads that predict the measured partner, as ``"synthetic"`` has them), both at the best of ``budgets``, chosen on
        the test rows, which flatters them, ``"shuffled"`` (partners of other observations), ``"translation"`` (the
        synthetic view as features), ``"synthetic"``, ``"spi"`` (the same with the synthetic view beside it, where the
        embedding loses some of it: what :func:`repatient.tl.distill` hands on) and ``"authentic_all"``. ``None``: all of
        them. Not for a map, which has its own.
    n_pairs
        Number of the few pairs; for a map several, or one for .4, 1 and 4 times as many.
    budgets
        Shares of the steps that the two arms of few pairs are trained for.
    n_labels
        Labelled observations of the reader with few labels; for a map several, or one for .4, 1 and 4 times as many.
    n_seeds
        Repetitions with other seeds.
    encoder
        Parameters of :class:`repatient.views.Encoder`.
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(progress)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    One row an arm, seed and metric, with the columns ``arm``, ``seed``, ``metric`` (``"linear"``: error of a linear reader
    with all labels, ``"linear_few"``: with few, ``"knn"``: of 15 nearest neighbours) and ``value``; with ``copy=True``, this
    table and the copy. Written are, in ``uns[key_added]`` of ``data``, ``results``, this table, ``ratios``, how many times
    the error of ``"synthetic"`` every other arm has, geometric means over seeds with 95 %% intervals, and ``params``. Of a
    map, metrics are ``"linear"`` and ``f"linear_{n}"`` for each number of labels, arms of pairs are ``f"authentic_{n}"``,
    ``ratios`` are to ``"spi"``, and ``advice`` (a table: for each metric what to take, whether that is certain, and the
    corrected one-sided bound of each ratio) and ``sentence`` are written, too; the table that is returned has the sentence
    in ``attrs["sentence"]``.

    Raises
    ------
    KeyError
        If a modality, a view, a column or the synthetic partner does not exist.
    TypeError, ValueError
        If a view is of a form that encoders do not take, there are fewer than two classes, nothing is left to test on, an
        arm is unknown or named twice, or all arms need measured pairs and there are not two to train on.
    FloatingPointError
        If the loss of an encoder does not stay finite.

    See Also
    --------
    repatient.views.compare_arms : The comparison of one seed, for arrays.
    repatient.views.error_ratios : The ratios.

    Examples
    --------
    %(example_views)s
    >>> translator = rp.tl.synthesize(mdata, "panel", "rna", pairs="obs_names", n_steps=5)
    >>> results = rp.tl.evaluate_views(
    ...     mdata, "panel", "rna", label_key="panel:state", pairs="obs_names", arms=["raw"], n_labels=10, n_seeds=1
    ... )
    >>> results["arm"].unique().tolist()
    ['raw']
    """
    from repatient.views import ARMS, compare_arms, error_ratios

    views = ViewPair.of(data, primary, privileged)
    check_key(key_added, "key_added")
    check_option(scenario, "scenario", ("arms", "map"))
    is_map = scenario == "map"
    grid = Grid.of(n_labels, n_pairs)
    check_integer(n_seeds, "n_seeds", minimum=1)
    check_integer(random_state, "random_state", minimum=0)
    if is_map and arms is not None:
        msg = "`arms`: a map has its own arms; leave them out, or take `scenario='arms'`."
        raise ValueError(msg)
    if not is_map and (isinstance(n_pairs, Sequence) or isinstance(n_labels, Sequence)):
        msg = "`n_pairs`, `n_labels`: several numbers are for `scenario='map'`; pass one number of each."
        raise ValueError(msg)
    chosen = list(MAP_ARMS if is_map else ARMS if arms is None else arms)
    for arm in chosen:
        check_option(arm, "arms", ARMS)
    if len(set(chosen)) < len(chosen):
        msg = f"`arms` names some more than once: {listed(chosen)}."
        raise ValueError(msg)
    source = _Source(views, label_key, patient_key, translator, synthetic_key, pairs, primary_rep, privileged_rep)
    mask = views.mask(mask_obs)
    check_number(test_fraction, "test_fraction", above=0, maximum=1)
    records: list[dict[str, Any]] = []
    with progress_bar(desc="arms", total=n_seeds * len(chosen), enabled=progress, unit="arm") as bar:
        for seed in range(random_state, random_state + n_seeds):
            training = source.split(test_fraction, seed) if mask is None else mask
            comparison = source.comparison(training, seed, seed - random_state)
            settings = {"progress": False, **(encoder or {})}
            if is_map:
                records += map_errors(comparison, grid, budgets, settings, seed)
                bar.update(len(chosen))
                continue
            for arm, errors in compare_arms(
                comparison,
                arms=chosen,
                n_pairs=cast("int", n_pairs),
                budgets=budgets,
                n_labels=cast("int", n_labels),
                encoder=settings,
                random_state=seed,
            ):
                records += [{"arm": arm, "seed": seed, "metric": m, "value": v} for m, v in errors.items()]
                bar.update()
    if not records:
        msg = f"`arms`: {listed(chosen)} learn from measured pairs, and there are not two in the training part."
        raise ValueError(msg)
    frame = pd.DataFrame(records)
    params = _store.record(
        primary=primary,
        privileged=privileged,
        label_key=label_key,
        scenario=scenario,
        patient_key=patient_key,
        synthetic_key=synthetic_key,
        translator=translator is not None,
        pairs=pairs if pairs is None or isinstance(pairs, str) else "table",
        primary_rep=primary_rep,
        privileged_rep=privileged_rep,
        mask_obs=_store.storable_mask(mask_obs),
        test_fraction=test_fraction,
        arms=chosen,
        n_pairs=grid.pairs if is_map else n_pairs,
        budgets=list(budgets),
        n_labels=grid.labels if is_map else n_labels,
        n_seeds=n_seeds,
        encoder=json.dumps(dict(encoder or {}), default=repr),
        random_state=random_state,
    )
    entry: dict[str, Any] = {"results": frame.rename(index=str), "params": params}
    if is_map:
        advice, sentence = advised(frame)
        entry |= {"ratios": error_ratios(frame, reference="spi").rename(index=str)}
        entry |= {"advice": advice.rename(index=str), "sentence": sentence}
        frame.attrs["sentence"] = sentence
    elif "synthetic" in chosen:
        entry["ratios"] = error_ratios(frame).rename(index=str)
    data = data.copy() if copy else data
    data.uns[key_added] = entry
    return (frame, data) if copy else frame


class _Source:
    """Reads the object once, and cuts it into training and test rows for every seed."""

    def __init__(
        self,
        views: ViewPair,
        label_key: str,
        patient_key: str | None,
        translator: Any,
        synthetic_key: str | None,
        pairs: Any,
        primary_rep: str | None,
        privileged_rep: str | None,
    ) -> None:
        column = views.column(label_key, "label_key")
        self.labelled = column.notna().to_numpy()
        # Those of no class are told by the mask alone.
        self.labels = np.where(self.labelled, _store.as_names(column, "label_key"), "").astype(str)
        if len(np.unique(self.labels[self.labelled])) < 2:
            msg = f"`label_key`: {label_key!r} has fewer than two classes; there is nothing to tell apart."
            raise ValueError(msg)
        n_obs = views.primary.n_obs
        self.patients = views.patients(patient_key)
        self.groups = np.arange(n_obs) if self.patients is None else self.patients
        self.views, self.synthetic_key = views, synthetic_key
        self.primary_rep, self.privileged_rep = primary_rep, privileged_rep
        self.rows = read_rows(views.primary, primary_rep, "primary_rep", finite=True)
        self.translators = list(translator) if isinstance(translator, Sequence) else [translator]
        self.shuffle_pairs = isinstance(pairs, str)
        self.table = None if pairs is None else views.pairs(pairs, "`evaluate_views` with measured pairs")
        self.measured = None if pairs is None else views.measured(privileged_rep, "`pairs`")

    def split(self, test_fraction: float, seed: int) -> np.ndarray:
        """Training rows, by whole patients where there are any."""
        names = np.unique(self.groups)
        n_test = max(round(test_fraction * len(names)), 1)
        return ~np.isin(self.groups, np.random.default_rng(seed).permutation(names)[:n_test])

    def comparison(self, training: np.ndarray, seed: int, number: int) -> Comparison:
        """What the arms of a seed are trained and tested on."""
        from repatient.views import Comparison, Side

        translator = self.translators[number % len(self.translators)]
        synthetic = read_synthetic(self.views, self.primary_rep, translator, self.synthetic_key, self.privileged_rep)
        test = ~training & self.labelled
        if not test.any() or len(np.unique(self.labels[training & self.labelled])) < 2:
            msg = (
                f"`mask_obs`: of {training.sum()} training and {(~training).sum()} other observations, there must be a "
                "label of the latter and two classes of the former."
            )
            raise ValueError(msg)
        paired, authentic = self._pairs(training, seed, translator, synthetic)
        of = np.flatnonzero(training)
        return Comparison(
            training=Side(self.rows[of], synthetic[of], self.labels[of], self.labelled[of]),
            test=Side(self.rows[test], synthetic[test], self.labels[test], np.ones(test.sum(), dtype=bool)),
            paired=np.searchsorted(of, paired),
            authentic=authentic,
            groups=None if self.patients is None else self.patients[of],
        )

    def _pairs(
        self, training: np.ndarray, seed: int, translator: Translator | None, synthetic: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Training rows that were measured in both modalities, and their measured partners."""
        if self.table is None or self.measured is None:
            return np.empty(0, dtype=np.int64), synthetic[:0]
        table = self.table[training[self.table[:, 0]]]
        if self.shuffle_pairs:
            table = np.random.default_rng(seed).permutation(table)
        return table[:, 0], to_comparable(self.views, self.privileged_rep, translator, self.measured)[table[:, 1]]
