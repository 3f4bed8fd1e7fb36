"""Several references of one mixture as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repatient.mixing._aligned import alignment, moved
from repatient.mixing._reference import Reference
from repatient.recipe import pool_offsets, pool_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.recipe import Pooled


def pooled(references: Sequence[Reference]) -> tuple[list[Reference], dict[str, Pooled]]:
    """Pool the recipes and offsets of references that are of one mixture; the others stay as they are.

    Returns
    -------
    The references, those pooled first as one; and what was found of each that is pooled, ``"recipes"`` and ``"offsets"``.
    """
    known = [part for part in references if part.recipes is not None and part.mixture is not None]
    if len(known) < 2:
        return list(references), {}
    first = known[0]
    alike = [first, *(part for part in (_over(other, first) for other in known[1:]) if _one_mixture(part, first))]
    names = [part.name for part in alike]
    if len(alike) < 2 or not set.intersection(*(set(part.recipes.classes) for part in alike if part.recipes)):
        return list(references), {}
    found = {
        "recipes": pool_recipes(
            [part.recipes for part in alike if part.recipes is not None],
            names,
            n_donors=[part.n_donors or {} for part in alike],
        )
    }
    offsets = None
    if all(part.offsets is not None for part in alike):
        found["offsets"] = pool_offsets([part.offsets for part in alike if part.offsets is not None], names)
        offsets = found["offsets"].value
    total: dict[str, int] = {}
    for part in alike:
        for name, number in (part.n_donors or {}).items():
            total[name] = total.get(name, 0) + number
    one = replace(
        first,
        name=" and ".join(names),
        recipes=found["recipes"].value,
        offsets=offsets,
        n_donors=total,
        models=(),
        bags=None,
        labels=None,
        donors=None,
    )
    # What cannot be pooled stays with its cohort.
    rest = [replace(part, recipes=None, offsets=None) for part in references if part.models or part.bags is not None]
    others = [part for part in known if part.name not in names]
    return [one, *rest, *others], found


def _over(part: Reference, other: Reference) -> Reference:
    """A reference with recipes and offsets of another one's mixture, learnt anew from its patients, where they are there."""
    if part.bags is None or part.labels is None or other.mixture is None:
        return part
    move = alignment(part.bags, part.labels, part.donors, other).move
    bags = part.bags if move is None else moved(part.bags, move)
    fresh = Reference.learn(bags, part.labels, part.donors, name=part.name, mixture=other.mixture)
    return replace(fresh, models=part.models if move is None else ())


def _one_mixture(part: Reference, other: Reference) -> bool:
    return (
        part.mixture is not None and other.mixture is not None and part.mixture.fingerprint == other.mixture.fingerprint
    )
