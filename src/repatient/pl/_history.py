from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from repatient import _store
from repatient._docs import shared_docs
from repatient.pl._axes import axes_or_new, check_axes, finish, open_frame
from repatient.pl._palette import CLASS_COLOURS

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save


@shared_docs
def history(
    data: AnnData | MuData,
    *,
    mil_key: str = _store.keys.MIL,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw the losses of the model's training, epoch by epoch.

    Parameters
    ----------
    %(data)s
    mil_key
        Where :func:`repatient.tl.mil` stored its results.
    %(ax)s

    Returns
    -------
    The axes, with the training loss and, if there were validation patients, their loss and the epoch whose weights
    were kept: that of the lowest validation loss.

    Raises
    ------
    KeyError
        If no classifier was trained.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If names of observations are not unique, or the model is no network.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model=rp.mil.Attention(n_steps=20))
    >>> ax = rp.pl.history(adata)
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, mil_key, "mil_key", "mil")
    table, of_values = entry["history"], _store.is_continuous(entry["params"])
    if table.empty:
        msg = f'`mil_key`: the model of {mil_key!r} has no network of its own, so no losses; train `model="attention"`.'
        raise ValueError(msg)
    ax = axes_or_new(ax, 5.0, 3.4)
    ax.plot(table["epoch"], table["train_loss"], color=CLASS_COLOURS[0], label="training")
    if table["validation_loss"].notna().any():
        ax.plot(table["epoch"], table["validation_loss"], color=CLASS_COLOURS[1], label="validation")
        kept = table.loc[table["validation_loss"].idxmin()]
        ax.axvline(kept["epoch"], color="#777777", linestyle="--", linewidth=1, zorder=1)
        ax.plot(
            kept["epoch"],
            kept["validation_loss"],
            "o",
            color=CLASS_COLOURS[1],
            label=f"kept, epoch {kept['epoch']:.0f}",
        )
    if not of_values:
        ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("Epoch")
    ax.set_ylabel(
        "Loss (negative log-density of the\nstandardised value, nats)" if of_values else "Loss (cross-entropy, nats)"
    )
    ax.legend(frameon=False)
    open_frame(ax)
    return finish(ax, "history", show=show, save=save)
