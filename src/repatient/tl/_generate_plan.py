"""How many patients of what size, within what the pool and its donors can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_integer, check_number, check_option, listed, name_of
from repatient._messages import warn
from repatient.sampling import can_fit_donor_effects, most_per_donor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from repatient.recipe import Recipes
    from repatient.tl._generate_pool import Pool

_NEGLIGIBLE_SHARE = 1e-3
_MOST_MISSING = 0.5


def number_of_patients(n_patients: Any, classes: Sequence[str], patients: pd.DataFrame) -> dict[str, int]:
    """Patients to generate of each class."""
    if isinstance(n_patients, str):
        check_option(n_patients, "n_patients", ["balance"])
        real = patients["label"].value_counts()
        largest = int(real.max())
        numbers = {name: largest - int(real.get(name, 0)) for name in classes}
        numbers = {name: number for name, number in numbers.items() if number > 0}
        if not numbers:
            msg = f"`n_patients='balance'`: all classes have {largest} patients already; give a number."
            raise ValueError(msg)
        return numbers
    if not isinstance(n_patients, Mapping):
        number = check_integer(n_patients, "n_patients", minimum=1)
        return dict.fromkeys(classes, number)
    of_names = {name: name_of(name, classes) for name in n_patients}
    unknown = [name for name, found in of_names.items() if found is None]
    if unknown or not n_patients:
        msg = f"`n_patients`: no recipe of the classes {listed(unknown)}; there are {listed(classes)}."
        raise ValueError(msg)
    return {
        str(of_names[name]): check_integer(number, f"n_patients[{name!r}]", minimum=1)
        for name, number in n_patients.items()
    }


def check_donors(
    n_donors: int | None, max_donor_share: float | None, donors: np.ndarray, components: np.ndarray
) -> int:
    """Number of donors that each patient has at its disposal."""
    available = len(np.unique(donors[components >= 0]))
    if n_donors is not None:
        check_integer(n_donors, "n_donors", minimum=1)
        if n_donors > available:
            msg = f"`n_donors`: {n_donors} donors were asked for and the pool has {available}."
            raise ValueError(msg)
    at_disposal = available if n_donors is None else n_donors
    if max_donor_share is not None:
        share = check_number(max_donor_share, "max_donor_share", above=0, maximum=1)
        if share * at_disposal < 1 - 1e-9:
            msg = (
                f"`max_donor_share`: {at_disposal} donors of at most {share:g} each make less than a patient; "
                f"allow {1 / at_disposal:.3g} or more, or more donors."
            )
            raise ValueError(msg)
    return at_disposal


def check_strength(donor_effects: Any, n_donors: int | None) -> float | None:
    """Part of a real patient's offsets that generated patients get, 0 for none; ``None`` is left to the pool."""
    if donor_effects is None:
        return None if n_donors is None else 0.0
    if isinstance(donor_effects, bool | np.bool_):
        strength = float(donor_effects)
    else:
        strength = check_number(donor_effects, "donor_effects", above=0, maximum=1)
    if strength and n_donors is not None:
        msg = (
            "`donor_effects` and `n_donors` are two ways to make the cells of a patient belong together; give one of them, "
            "and `max_donor_share` with `donor_effects` if a donor is not to give too much."
        )
        raise ValueError(msg)
    return strength


def strengths_of_pool(source: Pool, pool: str, names: Iterable[str], n_components: int) -> dict[str, float]:
    """All of the offsets where the pool of every class has the cells to measure them on, else none.

    None either for a class without a patient: those of other classes would come with its recipe.
    """
    names = list(names)
    pools = (source.components_of(pool, name) for name in names)
    enough = all(can_fit_donor_effects(components, source.patients, n_components) for components in pools)
    present = {source.classes[code] for code in np.unique(source.labels[source.labels >= 0])}
    return {name: float(enough and name in present) for name in names}


def feasible_sizes(sizes: np.ndarray, n_donors: int, max_donor_share: float | None, *, exact: bool) -> np.ndarray:
    """Sizes that the donors can give without one exceeding its share: the next below, or else above, what was drawn.

    A share of half of an odd number of cells, for instance, is no whole number of cells.
    """
    if max_donor_share is None:
        return sizes
    candidates = np.arange(1, int(max(sizes.max(), np.ceil(2 * n_donors / max_donor_share))) + 1)
    feasible = candidates[most_per_donor(candidates, max_donor_share) * n_donors >= candidates]
    position = np.maximum(np.searchsorted(feasible, sizes, side="right") - 1, 0)
    adapted = feasible[position]
    if exact and (adapted != sizes).any():
        msg = (
            f"`n_cells`: {n_donors} donors of at most {max_donor_share:g} each cannot give exactly {sizes[0]} cells; "
            f"the nearest number that they can give is {adapted[0]}."
        )
        raise ValueError(msg)
    return adapted


def renormalise(compositions: np.ndarray, components: np.ndarray, recipe: Recipes) -> np.ndarray:
    """Compositions over the components that the pool has cells of."""
    has_cells = np.bincount(components[components >= 0], minlength=compositions.shape[1]) > 0
    name, mean = recipe.classes[0], recipe.mean[0]
    missing = float(mean[~has_cells].sum())
    if missing > _NEGLIGIBLE_SHARE:
        what = f"{missing:.1%} of the recipe of {name!r} is of components without a cell in the pool, {listed(np.flatnonzero(~has_cells))}"
        if missing > _MOST_MISSING:
            msg = f"{what}: the pool cannot make such patients. Widen `pool` or `mask_obs`."
            raise ValueError(msg)
        warn(f"{what}; the other components take their share.")
    kept = np.where(has_cells, compositions, 0)
    total = kept.sum(axis=1, keepdims=True)
    # A patient all of whose drawn composition is missing gets the mean one.
    fallback = np.where(has_cells, mean, 0) / (1 - missing)
    return np.where(total > 0, kept / np.maximum(total, np.finfo(float).tiny), fallback)
