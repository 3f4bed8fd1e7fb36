"""The recipes file: what it is called, and which version is written."""

from __future__ import annotations

FORMAT = "repatient recipes"
# 2 added the part "cohort", and sub-types and covariates of recipes; 3 the checksum in front, see `_seal.py`; 4 the
# offsets, and holds tables as arrays; 5 the part "embedding".
VERSION = 5
FIRST_SEALED_VERSION = 3

GMM, RECIPES, COHORT, EMBEDDING = "gmm", "recipes", "cohort", "embedding"


class Refused(ValueError):
    """What was read is no recipes file, or a damaged one; the message says so in full."""
