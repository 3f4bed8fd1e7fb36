"""Members of the default ensemble."""

from __future__ import annotations

from typing import Any

from repatient.mil._attention import Attention
from repatient.mil._cells import Cells
from repatient.mil._linear import Linear

# A class of so few patients is not for a network.
RARE = 2
# What few patients say of the spread of a feature is drawn towards that of all: with one patient a class, a feature that is
# standardised over two patients differs by as much whether it means anything or not.
_MODERATION = 4.0
MEMBERS: list[tuple[str, Any]] = [
    ("kernel_mean", Linear("kernel_mean", C=0.1, moderation=_MODERATION)),
    ("smooth_kernel_mean", Linear("kernel_mean", C=0.001, moderation=_MODERATION)),
    ("mean", Linear("mean", moderation=_MODERATION)),
    ("cells", Cells()),
    ("quantiles", Linear("quantiles", C=0.1, moderation=_MODERATION)),
    ("composition", Linear("composition", C=0.1, n_components=10, moderation=_MODERATION)),
    ("attention", Attention(calibrate=False)),
]
# One or two patients of a class are too few for a network.
RARE_MEMBERS = [pair for pair in MEMBERS if pair[0] != "attention"]
