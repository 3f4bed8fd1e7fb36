from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, listed
from repatient._docs import shared_docs
from repatient._messages import warn
from repatient.tl._synthesize_apply import apply_translator, source_of
from repatient.tl._synthesize_inputs import read_pairs, read_sides, split, thinned
from repatient.tl._synthesize_links import links_frame, read_links
from repatient.tl._view_input import steps_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    from repatient.tl._synthesize_inputs import Modality, Split
    from repatient.views import Translator

_SEED_STEP = 1000


@shared_docs
def synthesize(
    data: AnnData | MuData,
    source: str,
    target: str,
    *,
    target_data: AnnData | None = None,
    generator: str = "auto",
    pairs: Any = None,
    links: Any = None,
    source_rep: str | None = None,
    target_rep: str | None = None,
    mask_obs: Any = None,
    target_mask_obs: Any = None,
    evaluation_pairs: Any = None,
    groupby: str | None = None,
    n_seeds: int = 1,
    n_steps: int | None = None,
    allow_unanchored: bool = False,
    settings: Mapping[str, Any] | None = None,
    translator: Translator | None = None,
    store: bool | None = None,
    device: str = "auto",
    key_added: str | None = None,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> Translator | tuple[Translator, AnnData | MuData]:
    """Learn to translate one modality into another, and make that view of every observation :cite:p:`Farndale2024`.

    The modalities need not be of the same observations. What is learnt from, in order of how much it says: ``pairs``,
    ``links``, and for images the two distributions alone.

    Parameters
    ----------
    data
        MuData with both modalities, or the AnnData of the source.
    source
        Modality to translate.
    target
        Modality to translate into.
    target_data
        AnnData of the target, where ``data`` is that of the source.
    generator
        ``"cyclegan"`` (two generators and their adversaries; images, or vectors with pairs or links), ``"ot"`` (optimal
        transport between linked features of vectors), ``"regression"`` (pairs), or ``"auto"``, which takes regression
        from 100 pairs on, and else ``"cyclegan"`` for images and ``"ot"`` for vectors.
    pairs
        Observations of both that belong together: ``"obs_names"`` where equal names mean the same observation, or a table
        (n_pairs, 2) of row numbers of source and target. ``None``: none, whatever their names; equal names alone prove
        nothing.
    links
        Features of source and target that rise together: a mapping of a feature of the source to one of the target (or
        several); ``"names"``, which links features of the same name, and genes to the proteins that they encode; or a list
        of both, such as ``["names", {"CCR7": "CD45RA"}]``.
    source_rep, target_rep
        View of each modality: a key of ``obsm``, vectors (n, d) or images (n, channels, height, width). ``None``: ``X``.
    mask_obs
        Boolean column of ``obs`` of the MuData (or, with ``target_data``, of each AnnData that has it), or array: learn
        from these observations alone. All of the source are translated.
    target_mask_obs
        Likewise for the target alone.
    evaluation_pairs
        Pairs in the form of ``pairs`` that fidelity is measured on and nothing is learnt from. With masks, those outside
        of them. ``None``: the ``pairs`` outside of the masks, or, without masks, a fifth of the pairs, where there are 50.
    groupby
        Column of ``obs`` of the modalities with the kind of each observation, such as cell types: fidelity is reported by
        group, and groups that the target lacks are found.
    n_seeds
        Translators to fit, to see whether they agree: the first on all training observations, the others with seeds of
        their own on four fifths of them. The first one is returned.
    n_steps
        Gradient steps. ``None``: 2,000 for images and 1,000 for vectors.
    allow_unanchored
        Go on with vectors that have neither links nor pairs.
    settings
        Other parameters of :class:`repatient.views.Translator`.
    translator
        A fitted translator to apply. Nothing is learnt, and the target need not be there. It finds the features that it was
        trained on by their names in any order, and computes an embedding of :func:`repatient.pp.embed` by its steps.
    store
        Whether to store the synthetic view. ``None``: vectors are, images are not; what is returned makes them on the fly.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``. Equal bits are promised for the CPU.
    key_added
        Key under which the results are stored. ``None``: ``f"X_{target}_synthetic"``.
    %(random_state)s
    %(progress)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    The translator; with ``copy=True``, the translator and the copy. Written are, in the source modality,

    ``obsm[key_added]``
        The synthetic view, float32, in the units of the target.
    ``uns[key_added]``
        ``params``; ``trained``, which observations of the source were learnt from; ``links``; ``history``; ``fidelity``:
        on held-out pairs ``foscttm`` (0 is perfect, .5 is chance), ``feature_correlation`` and ``neighbour_overlap``;
        without pairs ``link_correlation``, ``distribution_match`` (0 is best, 1 worst), ``cycle_error_weak`` and
        ``seed_agreement``; with ``groupby`` and a mask, on held-out rows the errors of a linear reader of groups,
        ``group_error_raw`` and ``group_error_translation``; ``by_feature``; ``by_group``; ``composition``, shares of groups, or clusters, in both. With
        ``translator``, ``params`` alone.

    Raises
    ------
    KeyError
        If a modality, a view, a linked feature or a column does not exist, or features that ``translator`` needs.
    TypeError, ValueError
        If ``settings`` names what a translator does not have, source and target are the same, names of observations are
        not unique, a view is neither vectors nor images with channels first and sides divisible by 4, is constant, has
        NaN, infinity, values beyond ±1e15 or fewer than two rows, linked features do not vary or are not the only ones of
        their name, or vectors have neither links nor pairs.
    FloatingPointError
        If the loss, or the transport plan, does not stay finite.
    ImportError
        If the generator needs a package that is not installed.

    Warns
    -----
    UserWarning
        If the source holds kinds of observations that the target lacks: their translations are made up. If the source
        itself, as features, tells the groups of held-out rows as well as its translation does.

    See Also
    --------
    repatient.tl.distill : Learn an embedding of the source from the synthetic view.
    repatient.pl.views : Look at translations and their fidelity.
    repatient.views.Translator : The estimator, for arrays.

    Examples
    --------
    %(example_views)s
    >>> translator = rp.tl.synthesize(mdata, "panel", "rna", pairs="obs_names", n_steps=5)
    >>> mdata["panel"].obsm["X_rna_synthetic"].shape[0] == panel.n_obs
    True
    """
    check_integer(random_state, "random_state", minimum=0)
    check_integer(n_seeds, "n_seeds", minimum=1)
    key = _store.keys.synthetic(target) if key_added is None else key_added
    check_key(key, "key_added")
    if translator is not None:
        return apply_translator(data, source, target, translator, source_rep, key, store=store, copy=copy)
    sides = read_sides(
        data, target_data, (source, target), (source_rep, target_rep), (mask_obs, target_mask_obs), groupby
    )
    taught = read_pairs(pairs, *sides, "pairs")
    parts = split(*sides, taught, read_pairs(evaluation_pairs, *sides, "evaluation_pairs"), random_state)
    table = read_links(links, sides[0].features, sides[1].features)
    others = {
        "generator": generator,
        "n_steps": n_steps,
        "allow_unanchored": allow_unanchored,
        "device": device,
        "progress": progress,
    }
    seeds = [random_state + _SEED_STEP * i for i in range(n_seeds)]
    drawn = [parts, *(thinned(parts, seed) for seed in seeds[1:])]
    chosen = _merged(others, settings)
    fitted = [_fit(sides, part, table, chosen, seed) for part, seed in zip(drawn, seeds, strict=True)]
    return _finish(
        data,
        sides,
        parts,
        table,
        fitted,
        key,
        copy=copy,
        store=store,
        record={
            "pairs": pairs if pairs is None or isinstance(pairs, str) else "table",
            "source_rep": source_rep,
            "target_rep": target_rep,
            "mask_obs": _store.storable_mask(mask_obs),
            "target_mask_obs": _store.storable_mask(target_mask_obs),
            "groupby": groupby,
            "random_state": random_state,
            "device": device,
        },
    )


def _merged(others: dict[str, Any], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    twice = sorted((others.keys() | {"random_state"}) & dict(settings or {}).keys())
    if twice:
        msg = f"`settings` names {listed(twice)}, which are arguments of their own; pass them as such."
        raise ValueError(msg)
    from repatient.views import Translator

    available = sorted(Translator().get_params().keys() - others.keys() - {"random_state"})
    unknown = sorted(dict(settings or {}).keys() - set(available))
    if unknown:
        msg = f"`settings`: a translator has no {listed(unknown)}; there are {listed(available)}."
        raise ValueError(msg)
    return {**others, **dict(settings or {})}


def _fit(
    sides: tuple[Modality, Modality], parts: Split, links: np.ndarray | None, settings: dict[str, Any], seed: int
) -> Translator:
    from repatient.views import Translator

    source, target = sides
    translator = Translator(**settings, random_state=seed)
    translator.fit(source.rows[parts.source], target.rows[parts.target], pairs=parts.taught_in_training, links=links)
    translator.source_names_ = [str(name) for name in source.features] if source.named else None
    translator.target_names_ = [str(name) for name in target.features] if target.named else None
    translator.source_steps_, translator.target_steps_ = (steps_of(side.adata, side.rep) for side in sides)
    return translator


def _finish(
    data: AnnData | MuData,
    sides: tuple[Modality, Modality],
    parts: Split,
    links: np.ndarray | None,
    fitted: list[Translator],
    key: str,
    *,
    copy: bool,
    store: bool | None,
    record: dict[str, Any],
) -> Any:
    """Measure, then write, then warn."""
    from repatient.tl._synthesize_fidelity import measure

    translator, (source, target) = fitted[0], sides
    fidelity = measure(fitted, sides, parts, links, int(record["random_state"]))
    keep = source.rows.ndim == 2 if store is None else store
    view = translator.translate(source.rows) if keep else None
    trained = np.zeros(len(source.rows), dtype=bool)
    trained[parts.source] = True
    entry: dict[str, Any] = {
        "params": _store.record(
            source=source.name,
            target=target.name,
            generator=translator.generator_,
            reason=translator.reason_,
            settings=json.dumps(translator.get_params(), default=str),
            n_source=translator.n_source_,
            n_target=translator.n_target_,
            n_pairs=translator.n_pairs_,
            n_links=len(translator.links_),
            stored=keep,
            **record,
        ),
        "trained": trained,
        "history": pd.DataFrame(translator.history_).rename(index=str),
        **fidelity.entry(),
    }
    if links is not None:
        entry["links"] = links_frame(links, source.features, target.features)
    data = data.copy() if copy else data
    written = source_of(data, source.name)
    if view is not None:
        written.obsm[key] = view
    written.uns[key] = entry
    for warning in fidelity.warnings:
        warn(warning)
    return (translator, data) if copy else translator
