"""Descriptions of the parameters that functions share, written once."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., object])

_SHARED = {
    "data": """\
data
    AnnData or MuData, one row a cell (or image tile, or any other instance).""",
    "use_rep": """\
use_rep
    Embedding: a key of ``obsm``, ``"X"`` for the matrix, or ``"modality:key"`` in a MuData. ``None`` is
    ``X_pca`` where there is one.""",
    "patient_key": """\
patient_key
    Column of ``obs`` with the patient (sample, bag) of each cell.""",
    "label_key": """\
label_key
    Column of ``obs`` with the class of each cell's patient. Patients without one are not learnt from.""",
    "donor_key": """\
donor_key
    Column of ``obs`` with the donor, the person behind one or several patients. ``None``: every patient
    is a donor of its own.""",
    "mask_obs": """\
mask_obs
    Boolean column of ``obs``, or array (n_obs,): fit on these cells alone, for instance on those of the
    training patients.""",
    "gmm_key": """\
gmm_key
    Where :func:`repatient.tl.gmm` or :func:`repatient.tl.assign` stored the mixture.""",
    "recipes_key": """\
recipes_key
    Where :func:`repatient.tl.recipes` stored the recipes.""",
    "generated_key": """\
generated_key
    Where :func:`repatient.tl.generate` stored the generated patients.""",
    "random_state": """\
random_state
    Seed. The same seed gives the same result to the bit on one machine, on the CPU, whatever the number of threads.""",
    "progress": """\
progress
    Show a progress bar. ``None``: where a person can see it.""",
    "copy": """\
copy
    Return a copy with the results instead of writing to ``data``.""",
    "ax": """\
ax
    Axes to draw on. ``None`` makes a figure.""",
}


def shared_docs(function: F) -> F:
    """Put the shared descriptions in place of ``%(name)s`` in a docstring."""
    if function.__doc__ is not None:
        indented = {name: textwrap.indent(text, "    ").lstrip() for name, text in _SHARED.items()}
        function.__doc__ = function.__doc__ % indented
    return function
