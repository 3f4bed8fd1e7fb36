"""What a training's bags are made by: names and augmenters, with what the object holds for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_key, listed

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.mil import Augmenter
    from repatient.recipe import Recipes


@dataclass(frozen=True)
class Augmentation:
    """What the bags of a training step are made by.

    Parameters
    ----------
    augmenter
        The augmenter.
    name
        What to record of it.
    classes
        Classes without a training patient that it generates patients of.
    params
        What else to record.
    """

    augmenter: Augmenter
    name: str
    classes: list[str]
    params: dict[str, str]


def read_augmentation(
    data: AnnData | MuData,
    augment: Any,
    classes: list[str],
    *,
    use_rep: str,
    gmm_key: str | None,
    recipes_key: str,
    random_state: int,
) -> Augmentation | None:
    """Build what ``augment`` asks for; ``classes`` are those of the training patients.

    Recipes are over components that are fitted on the training patients, unless a stored mixture is named, or classes
    without a training patient have a reference's recipe, which is one of the components of a stored mixture.
    """
    if augment is None:
        return None
    from repatient.mixing import RecipeMix, make_augmenter, parse_augment

    parts = parse_augment(augment)
    in_parts = "recipe" in parts
    recipes, settings, params = _stored_recipes(data, classes, gmm_key, recipes_key) if in_parts else (None, {}, {})
    if "components" in settings:
        # Several numbers of components are for mixtures that are fitted for the training.
        def make_recipe(**own: Any) -> Augmenter:
            return RecipeMix(**{**own, **settings})
    else:

        def make_recipe(**own: Any) -> Augmenter:
            return RecipeMix(**own, **settings, random_state=random_state, standardize=False, cache=mixtures)

    mixtures: dict[Any, Any] = {}
    return Augmentation(
        augmenter=make_augmenter(augment, make_recipe=make_recipe, standardize=_store.has_own_units(use_rep)),
        name="+".join(part if isinstance(part, str) else repr(part) for part in parts),
        classes=[] if recipes is None else list(recipes.classes),
        params=params,
    )


def _stored_recipes(
    data: AnnData | MuData, classes: list[str], gmm_key: str | None, recipes_key: str
) -> tuple[Recipes | None, dict[str, Any], dict[str, str]]:
    """Another cohort's recipes of classes without a training patient, settings of recipes, and what to record."""
    check_key(recipes_key, "recipes_key")
    recipes: Recipes | None = None
    settings: dict[str, Any] = {}
    params: dict[str, str] = {}
    missing: list[str] = []
    if gmm_key is not None:
        _store.uns_entry(data, gmm_key, "gmm_key", "gmm")
    if recipes_key in data.uns:
        entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
        recipes, origin = _store.read_recipes_entry(entry, recipes_key)
        settings = {"kind": recipes.kind, "shrinkage": float(entry["params"]["shrinkage"])}
        # A recipe of this cohort would have been learnt from patients that training must not see.
        sources = zip(recipes.classes, origin, strict=True)
        missing = [name for name, source in sources if source == "reference" and name not in classes]
        params = {"recipes_key": recipes_key}
        of_recipes = str(entry["params"]["gmm_key"])
        if missing and gmm_key not in (None, of_recipes):
            msg = (
                f"`gmm_key`: the reference's recipes of {listed(missing)} are over the components of {of_recipes!r}, not "
                f"of {gmm_key!r}."
            )
            raise ValueError(msg)
        if missing:
            gmm_key = of_recipes
            remedy = "Learn them again with `rp.tl.recipes`."
            _store.check_mixture(data, entry["params"]["mixture"], gmm_key, "The recipes", remedy)
    if gmm_key is not None:
        components, n_components = _store.read_components(data, gmm_key)
        settings |= {"components": components, "n_components": n_components}
        params |= {"gmm_key": gmm_key}
    recipes = recipes.take(missing) if recipes is not None and missing else None
    return recipes, {**settings, **({} if recipes is None else {"recipes": recipes})}, params
