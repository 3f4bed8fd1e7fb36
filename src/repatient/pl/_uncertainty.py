from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from repatient import _store
from repatient._docs import shared_docs
from repatient.pl._axes import axes_or_new, check_axes, finish, legend_beside, open_frame, with_number
from repatient.pl._colours import class_colours
from repatient.pl._stacked import name_classes
from repatient.pl._swarm import swarm
from repatient.pl._values import draw_uncertainty

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_MEASURES = {
    "entropy": "Uncertainty (entropy, nats)",
    "epistemic": "Epistemic uncertainty (nats)",
    "margin": "Uncertainty (1 - margin)",
    "random": "Random number",
}


@shared_docs
def uncertainty(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw how uncertain the classifier is of each generated patient, and which ones were selected.

    Parameters
    ----------
    %(data)s
    %(generated_key)s :func:`repatient.tl.select` must have run.
    palette
        Colours of the classes: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
    %(ax)s

    Returns
    -------
    The axes, one column of markers a class: filled if selected, a cross if predicted as another class. The colours
    that were used are in ``uns[f"{label_key}_colors"]``. Patients with values stand at these instead, in one colour.

    Raises
    ------
    KeyError
        If there are no generated patients, or none was selected from them.
    ValueError
        If they belong to a mixture that was refitted since, or the palette is unknown or too short.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_generated)s
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean", generated_key="generated")
    >>> rp.tl.select(adata, model)
    >>> ax = rp.pl.uncertainty(adata)
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    table = _store.read_generated(data, generated_key).table
    if "uncertainty" not in table:
        msg = (
            f"`generated_key`: `uns[{generated_key!r}]['patients']` has no column 'uncertainty'; it is written by "
            "`rp.tl.select`."
        )
        raise KeyError(msg)
    entry = data.uns[generated_key]
    if _store.is_continuous(entry["params"]):
        ax = axes_or_new(ax, 5.0, 4.0)
        draw_uncertainty(ax, table, str(entry["params"]["label_key"]), str(entry["selection"]["by"]))
        open_frame(ax)
        return finish(ax, "uncertainty", show=show, save=save)
    classes = list(dict.fromkeys(table["label"].astype(str)))
    if table["predicted"].cat.ordered:
        classes = [name for name in table["predicted"].cat.categories.astype(str) if name in classes]
    colours = class_colours(data, entry["params"]["label_key"], classes, palette)

    ax = axes_or_new(ax, 2.8 + 0.9 * len(classes), 4.0)
    _draw(ax, table, classes, colours.of)
    ax.set_xlim(-0.5, len(classes) - 0.5)
    numbers = table["label"].astype(str).value_counts()
    name_classes(ax, [with_number(name, int(numbers[name])) for name in classes])
    ax.set_ylabel(_MEASURES[str(entry["selection"]["by"])])
    open_frame(ax)
    legend_beside(ax, handles=_handles())
    colours.store(data)
    return finish(ax, "uncertainty", show=show, save=save)


def _draw(ax: Axes, table: pd.DataFrame, classes: list[str], colours: dict[str, str]) -> None:
    """One collection each of the selected and the others, as their class and as another."""
    labels = table["label"].astype(str).to_numpy()
    values = table["uncertainty"].to_numpy(dtype=np.float64)
    of_patients = np.array([colours[label] for label in labels])
    x = swarm(values, labels, classes)
    selected = table["selected"].to_numpy(dtype=bool)
    right = table["predicted"].astype(str).to_numpy() == labels
    for marker, size, shape in (("o", 24, right), ("X", 34, ~right)):
        for filled, chosen in ((False, shape & ~selected), (True, shape & selected)):
            ax.scatter(
                x[chosen],
                values[chosen],
                s=size,
                marker=marker,
                facecolors=of_patients[chosen] if filled else "white",
                edgecolors=of_patients[chosen],
                linewidths=0.9,
            )


def _handles() -> list[Line2D]:
    grey = "#555555"
    kinds = {
        "selected": ("o", grey),
        "not selected": ("o", "white"),
        "predicted as\nanother class": ("X", grey),
    }
    return [
        Line2D([], [], linestyle="none", marker=marker, label=label, markerfacecolor=face, markeredgecolor=grey)
        for label, (marker, face) in kinds.items()
    ]
