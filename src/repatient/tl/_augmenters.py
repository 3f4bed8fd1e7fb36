"""Augmenters of training by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_key, listed

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.mil import Augmenter
    from repatient.recipe import Recipes

_RECIPE = "recipe"
# Of generated patients that take turns with other ways of mixing, which have soft labels, too.
_LABEL_MIXING_IN_TURNS = 0.5
NAMES = (_RECIPE, "psemix", "rankmix", "remix", "mixup", "insmix", "same_class", "oversampling")


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
    data: AnnData | MuData, augment: Any, classes: list[str], *, gmm_key: str, recipes_key: str
) -> Augmentation | None:
    """Build what ``augment`` asks for; ``classes`` are those of the training patients."""
    if augment is None:
        return None
    parts = _parts(augment)
    recipes: Recipes | None = None
    settings: dict[str, Any] = {}
    if _RECIPE in parts:
        recipes, settings = _stored_recipes(data, classes, gmm_key, recipes_key)
        settings["label_mixing"] = _LABEL_MIXING_IN_TURNS if len(parts) > 1 else 0.0
    built = [_build(data, part, gmm_key, recipes, settings) if isinstance(part, str) else part for part in parts]
    return Augmentation(
        augmenter=built[0] if len(built) == 1 else _alternating(built),
        name="+".join(part if isinstance(part, str) else repr(part) for part in parts),
        classes=[] if recipes is None else list(recipes.classes),
        params={"gmm_key": gmm_key, "recipes_key": recipes_key} if _RECIPE in parts else {},
    )


def _parts(augment: Any) -> list[Any]:
    """Names and augmenters that take turns."""
    if isinstance(augment, str):
        parts: list[Any] = augment.split("+")
    else:
        parts = list(augment) if isinstance(augment, Sequence) else [augment]
    for part in parts:
        if isinstance(part, str) and part not in NAMES:
            msg = f"`augment` is one of {listed(NAMES)}, several joined by '+', or an augmenter, not {part!r}."
            raise ValueError(msg)
        if not isinstance(part, str) and (isinstance(part, type) or not callable(getattr(part, "bind", None))):
            msg = f"`augment` is a name, an object of `repatient.mixing`, or a sequence of them, not {part!r}."
            raise TypeError(msg)
    if not parts:
        msg = f"`augment` is an empty sequence; name one or more of {listed(NAMES)}, or pass None."
        raise ValueError(msg)
    return parts


def _stored_recipes(
    data: AnnData | MuData, classes: list[str], gmm_key: str, recipes_key: str
) -> tuple[Recipes | None, dict[str, Any]]:
    """Another cohort's recipes of classes without a training patient, and the settings of the stored recipes."""
    _store.uns_entry(data, gmm_key, "gmm_key", "gmm")
    check_key(recipes_key, "recipes_key")
    if recipes_key not in data.uns:
        return None, {}
    entry = data.uns[recipes_key]
    remedy = "Learn them again with `rp.tl.recipes`."
    _store.check_mixture(data, entry["params"]["mixture"], gmm_key, "The recipes", remedy)
    recipes, origin = _store.read_recipes_entry(entry, recipes_key)
    # A recipe of this cohort would have been learnt from patients that training must not see.
    missing = [
        name
        for name, source in zip(recipes.classes, origin, strict=True)
        if source == "reference" and name not in classes
    ]
    settings = {"kind": recipes.kind, "shrinkage": float(entry["params"]["shrinkage"])}
    return (recipes.take(missing) if missing else None), settings


def _build(
    data: AnnData | MuData, name: str, gmm_key: str, recipes: Recipes | None, settings: dict[str, Any]
) -> Augmenter:
    from repatient import mixing

    if name == _RECIPE:
        components, n_components = _store.read_components(data, gmm_key)
        return mixing.RecipeMix(components, n_components, recipes=recipes, **settings)
    rivals = {
        "psemix": mixing.PseMix,
        "rankmix": mixing.RankMix,
        "remix": mixing.ReMix,
        "mixup": mixing.Mixup,
        "insmix": mixing.InsMix,
        "same_class": mixing.SameClassMixing,
        "oversampling": mixing.Oversampling,
    }
    return rivals[name]()


def _alternating(augmenters: list[Augmenter]) -> Augmenter:
    from repatient.mixing import Alternating

    return Alternating(*augmenters)
