from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, check_option, listed
from repatient._docs import shared_docs
from repatient._messages import warn
from repatient.tl._view_encoder import Carrier, ViewEncoder
from repatient.tl._view_input import ViewInput
from repatient.tl._view_pair import ViewPair, read_rows
from repatient.tl._view_partners import read_synthetic, to_comparable

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

    from repatient.views import Translator

PARTNERS = ("synthetic", "authentic", "both", "none")
# Above this FOSCTTM (0 is perfect, .5 is chance) partners are too often those of other rows to be trusted alone.
_TRUSTED = 0.2


@shared_docs
def distill(
    data: AnnData | MuData,
    primary: str,
    privileged: str,
    *,
    partner: str = "synthetic",
    translator: Translator | None = None,
    synthetic_key: str | None = None,
    pairs: Any = None,
    primary_rep: str | None = None,
    privileged_rep: str | None = None,
    mask_obs: Any = None,
    patient_key: str | None = None,
    objective: str = "infonce",
    branches: int | None = None,
    distill: float = 1.0,
    teacher: str | None = None,
    dim: int = 128,
    n_steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    encoder: Mapping[str, Any] | None = None,
    carry: bool | None = None,
    label_key: str | None = None,
    checkpoint: str | PathLike[str] | None = None,
    device: str = "auto",
    key_added: str = _store.keys.SPI,
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> ViewEncoder | tuple[ViewEncoder, AnnData | MuData]:
    """Train an encoder of one modality against another, synthetic one :cite:p:`Farndale2024`, and embed it.

    The encoder learns an embedding of the primary modality that agrees with the privileged one. New observations need
    the primary modality alone.

    Parameters
    ----------
    data
        MuData with both modalities, or the AnnData of the primary one, where its synthetic partner is stored or a
        ``translator`` makes it.
    primary
        Modality to embed.
    privileged
        Modality to learn from.
    partner
        ``"synthetic"``: the view that :func:`repatient.tl.synthesize` made of every observation. ``"authentic"``: the
        measured view of ``pairs``, on these alone. ``"both"``: the measured view of ``pairs``, and the synthetic view of
        all others. ``"none"``: no partner, the baseline of a single modality.
    translator
        Makes the synthetic view on the fly. ``None``: it is read from ``obsm``.
    synthetic_key
        Key of ``obsm`` of the primary modality with the synthetic view. ``None``: ``f"X_{privileged}_synthetic"``.
    pairs
        ``"obs_names"`` where equal names mean the same observation, or a table (n_pairs, 2) of row numbers of both
        modalities.
    primary_rep, privileged_rep
        View of each modality: a key of ``obsm``, vectors (n, d) or images (n, channels, height, width). ``None``: ``X``.
    mask_obs
        Boolean column of ``obs`` (of the primary modality or of the MuData), or array over the observations of the
        primary modality: train on these alone. All are embedded.
    patient_key
        Column of ``obs`` with the patient: rows that stop the training are of whole patients.
    objective
        ``"infonce"``, ``"vicreg"`` or ``"barlow"``; see :class:`repatient.views.Encoder`.
    branches
        2 or 3; 3 trusts the partner as far as rows predict it. ``None``: 2 where partners are measured, or synthetic with
        a FOSCTTM of .2 or less on held-out pairs, and 3 elsewhere; a warning says so where nothing is known of them.
    distill
        Weight of heads that predict the partner from the encoder, beside the objective; 0 for none.
    teacher
        Key of ``obsm`` of the primary modality with features (n_obs, f) that a head predicts in place of the partner, such
        as an embedding by another model. ``None``: the partner.
    dim
        Dimensions of the embedding.
    n_steps, batch_size, learning_rate
        Of the training.
    encoder
        Other parameters of :class:`repatient.views.Encoder`, such as ``augmentation``.
    carry
        Whether the synthetic view itself, as features, follows the embedding in what is written. ``None``: where a linear
        reader of the embedding finds less than 95 %% of the variance of synthetic partners on rows that were held out, or
        there are none; then what is handed on is not worse than the synthetic view. New observations then need that view,
        too, which is made by ``translator`` where it was passed.
    label_key
        Column of ``obs`` with a label that the embedding is meant for. It trains nothing; a warning says where the primary
        view or the synthetic one, as features, tells held-out rows as well. ``None``: the ``groupby`` of
        :func:`repatient.tl.synthesize`, where there was one.
    checkpoint
        File in which training is kept, from which the same call goes on after an interruption.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``. Equal bits are promised for the CPU.
    key_added
        Key under which the results are stored.
    %(random_state)s
    %(progress)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    The encoder, whose ``embed`` takes new data; with ``copy=True``, the encoder and the copy. Written are, in the primary
    modality,

    ``obsm[key_added]``
        Embedding (n_obs, dim), float32, followed by the synthetic view where it is carried. Every dimension has mean 0 and variance 1 over the training rows, so that
        ``rp.tl.gmm(use_rep=...)`` takes it as it is.
    ``uns[key_added]``
        ``params``, with ``kept``, the share of the variance of partners that the embedding keeps, and ``carried``, whether
        the synthetic view follows it; ``history``, a table with the losses; ``held_out_errors`` of a linear reader of the
        primary view, the synthetic one and what was written, where there are labels.

    Raises
    ------
    KeyError
        If a modality, a view, a column or the synthetic partner does not exist.
    TypeError, ValueError
        If a view is neither vectors nor images with channels first, has NaN, infinity, values beyond ±1e15 or fewer than
        two rows, measured and synthetic partners are of different views, or an argument is none of those above.
    FloatingPointError
        If the loss does not stay finite.

    Warns
    -----
    UserWarning
        If nothing is known of how good synthetic partners are, too few rows are left to stop the training by, or something
        simpler tells the labels of held-out rows as well.

    See Also
    --------
    repatient.tl.synthesize : Make the synthetic view.
    repatient.tl.evaluate_views : Whether it helps, beside baselines and controls.
    repatient.views.Encoder : The estimator, for arrays.

    Examples
    --------
    %(example_views)s
    >>> encoder = rp.tl.distill(mdata, "panel", "rna", partner="authentic", pairs="obs_names", n_steps=5)
    >>> mdata["panel"].obsm["X_spi"].shape[0] == panel.n_obs
    True
    """
    from repatient.views import Encoder

    views = ViewPair.of(data, primary, privileged)
    check_key(key_added, "key_added")
    check_option(partner, "partner", PARTNERS)
    check_integer(random_state, "random_state", minimum=0)
    mask = views.mask(mask_obs)
    patients = views.patients(patient_key)
    rows = read_rows(views.primary, primary_rep, "primary_rep", finite=True)
    if carry is not None and not isinstance(carry, bool):
        msg = f"`carry` is True, False or None, not {carry!r}."
        raise TypeError(msg)
    labels = _labels(views, label_key, synthetic_key, partner)
    synthetic = None
    if partner in ("synthetic", "both"):
        synthetic = read_synthetic(views, primary_rep, translator, synthetic_key, privileged_rep)
    of, partners = _partners(views, synthetic, len(rows), partner, translator, pairs, privileged_rep, mask)
    if carry and synthetic is None:
        msg = f"`carry=True` is for synthetic partners; with `partner={partner!r}` there is no synthetic view to carry."
        raise ValueError(msg)
    features = None if teacher is None else read_rows(views.primary, teacher, "teacher")
    chosen = _branches(views, partner, synthetic_key) if branches is None else branches
    settings: dict[str, Any] = {
        "objective": objective,
        "branches": chosen,
        "distill": distill,
        "dim": dim,
        "n_steps": n_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "random_state": random_state,
    }
    others = dict(encoder or {})
    _refuse_twice(settings, others)
    model = Encoder(**settings, **others, device=device, progress=progress)
    model.fit(
        rows[of],
        partners,
        teacher=None if features is None else features[of],
        groups=None if patients is None else patients[of],
        checkpoint=checkpoint,
    )
    # By itself no image is carried: its pixels would be most of the embedding.
    by_itself = model.carries_ and synthetic is not None and synthetic.ndim == 2
    carried = synthetic is not None and (by_itself if carry is None else carry)
    params = _store.record(
        primary=primary,
        privileged=privileged,
        partner=partner,
        synthetic_key=synthetic_key,
        translator=translator is not None,
        pairs=pairs if pairs is None or isinstance(pairs, str) else "table",
        primary_rep=primary_rep,
        privileged_rep=privileged_rep,
        mask_obs=_store.storable_mask(mask_obs),
        patient_key=patient_key,
        teacher=teacher,
        encoder=json.dumps(others, default=repr),
        device=device,
        n_trained=len(of),
        n_held_out=len(model.held_out_),
        best_step=model.best_step_,
        kept=model.kept_,
        carried=carried,
        label_key=label_key,
        **settings,
    )
    embedding = model.embed(rows, synthetic if carried else None)
    entry: dict[str, Any] = {"params": params, "history": pd.DataFrame(model.history_).rename(index=str)}
    warning = None
    if labels is not None and synthetic is not None:
        errors, warning = _judged(
            {"raw": rows, "translation": synthetic, "spi": embedding}, labels, of, model.held_out_
        )
        if errors:
            entry["held_out_errors"] = errors
    data = data.copy() if copy else data
    target = ViewPair.of(data, primary, privileged).primary
    target.obsm[key_added] = embedding
    target.uns[key_added] = entry
    carrier = Carrier.of(views, synthetic_key, privileged_rep, translator) if carried else None
    result = ViewEncoder(model, primary=primary, source=ViewInput.of(views.primary, primary_rep), carrier=carrier)
    if warning is not None:
        warn(warning)
    return (result, data) if copy else result


def _partners(
    views: ViewPair,
    synthetic: np.ndarray | None,
    n_rows: int,
    partner: str,
    translator: Translator | None,
    pairs: Any,
    privileged_rep: str | None,
    mask: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows to train on, rising, and their partners."""
    inside = np.ones(n_rows, dtype=bool) if mask is None else mask
    everything = np.flatnonzero(inside)
    if partner == "none":
        return everything, None
    if partner == "synthetic" and synthetic is not None:
        return everything, synthetic[everything]
    purpose = f"`partner={partner!r}`"
    table = views.pairs(pairs, purpose)
    table = table[inside[table[:, 0]]]
    measured = to_comparable(views, privileged_rep, translator, views.measured(privileged_rep, purpose))[table[:, 1]]
    if synthetic is None:
        order = np.argsort(table[:, 0])
        return table[order, 0], measured[order]
    partners = synthetic.copy()
    if measured.shape[1:] != partners.shape[1:]:
        msg = (
            f"`partner='both'`: measured rows have shape {measured.shape[1:]} and synthetic ones {partners.shape[1:]}; "
            "`privileged_rep` is to be the view that was synthesized."
        )
        raise ValueError(msg)
    partners[table[:, 0]] = measured
    return everything, partners[everything]


def _labels(views: ViewPair, label_key: str | None, synthetic_key: str | None, partner: str) -> pd.Series | None:
    """Labels that the embedding is meant for, as far as anything is known of them."""
    if label_key is not None:
        return views.column(label_key, "label_key")
    if partner not in ("synthetic", "both"):
        return None
    entry = views.primary.uns.get(synthetic_key or _store.keys.synthetic(views.names[1]))
    params = entry.get("params") if isinstance(entry, Mapping) else None
    key = params.get("groupby") if isinstance(params, Mapping) else None
    known = isinstance(key, str) and (key in views.primary.obs or key in views.data.obs)
    return views.column(key, "label_key") if known else None


def _judged(
    views: dict[str, np.ndarray], labels: pd.Series, of: np.ndarray, held_out: np.ndarray
) -> tuple[dict[str, float], str | None]:
    """Errors on the rows that the encoder was not trained on, and what they warn of."""
    from repatient.views import as_read, simpler_warning

    tested = np.zeros(len(of), dtype=bool)
    tested[held_out] = True
    labelled = labels.notna().to_numpy()[of]
    return simpler_warning(
        {name: as_read(view[of][~tested], view[of]) for name, view in views.items()},
        labels.astype(str).to_numpy()[of],
        training=labelled & ~tested,
        test=labelled & tested,
        reference="spi",
    )


def _branches(views: ViewPair, partner: str, synthetic_key: str | None) -> int:
    """Two where partners can be trusted, three where they cannot, with a word where nobody knows."""
    if partner in ("authentic", "none"):
        return 2
    entry = views.primary.uns.get(synthetic_key or _store.keys.synthetic(views.names[1]))
    fidelity = entry.get("fidelity") if isinstance(entry, Mapping) else None
    foscttm = fidelity.get("foscttm") if isinstance(fidelity, Mapping) else None
    if foscttm is None or not np.isfinite(foscttm):
        msg = (
            "`branches`: nothing is known of how good the synthetic partners are (no FOSCTTM on held-out pairs), so that "
            "three branches are trained, which depend less on them. Pass `branches` to decide yourself."
        )
        warn(msg)
        return 3
    return 2 if float(foscttm) <= _TRUSTED else 3


def _refuse_twice(settings: dict[str, Any], others: dict[str, Any]) -> None:
    twice = sorted((settings.keys() | {"device", "progress"}) & others.keys())
    if twice:
        msg = f"`encoder` names {listed(twice)}, which are arguments of their own; pass them as such."
        raise ValueError(msg)
