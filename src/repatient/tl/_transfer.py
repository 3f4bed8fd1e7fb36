"""Recipes of another cohort, as they are or relative to a class that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient._checks import check_option, listed
from repatient.recipe import log_ratio_transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.recipe import Recipes

TRANSFERS = ("raw", "log_ratio")


def transferred(
    external: Recipes, own: Recipes | None, names: Sequence[str], transfer: str, shared_class: str | None
) -> Recipes:
    """Recipes of the classes ``names`` of another cohort, made fit for this one."""
    if transfer == "raw":
        return external.take(names)
    if own is None:
        msg = (
            f"`transfer={transfer!r}` compares the cohorts on a class that both have, and no class has a patient here."
        )
        raise ValueError(msg)
    shared = _shared(external, own, shared_class)
    return log_ratio_transfer(external, own.take([shared]), names)


def check_transfer(transfer: Any, shared_class: Any, *, has_reference: bool) -> None:
    """Refuse options that do not go together."""
    check_option(transfer, "transfer", TRANSFERS)
    if transfer != "raw" and not has_reference:
        msg = f"`transfer={transfer!r}` is about another cohort's recipes: pass them as `reference`."
        raise ValueError(msg)
    if shared_class is not None and transfer == "raw":
        msg = "`shared_class` is for `transfer='log_ratio'`; a raw transfer takes the recipes as they are."
        raise ValueError(msg)


def _shared(external: Recipes, own: Recipes, shared_class: str | None) -> str:
    """The class to compare the cohorts on."""
    common = [name for name in own.classes if name in external.classes]
    have = f"classes with patients here are {listed(own.classes)}, those of the reference {listed(external.classes)}"
    if shared_class is None:
        if len(common) == 1:
            return common[0]
        msg = f"`shared_class`: name the one class that both cohorts have to compare them on; {have}."
        raise ValueError(msg)
    if str(shared_class) not in common:
        msg = f"`shared_class`: {shared_class!r} is not in both cohorts; {have}."
        raise ValueError(msg)
    return str(shared_class)
