"""Augmenters by name: the one place that training, evaluation and the documentation take them from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from repatient._checks import listed
from repatient.mixing._alternating import Alternating
from repatient.mixing._counterfactual import Counterfactual
from repatient.mixing._insmix import InsMix
from repatient.mixing._mixup import Mixup
from repatient.mixing._oversampling import Oversampling
from repatient.mixing._psemix import PseMix
from repatient.mixing._rankmix import RankMix
from repatient.mixing._recipe_mix import RecipeMix
from repatient.mixing._remix import ReMix
from repatient.mixing._same_class import SameClassMixing
from repatient.mixing._standardized import Standardized

if TYPE_CHECKING:
    from repatient.mil import Augmenter
    from repatient.mixing._reference import Reference

RECIPE, COUNTERFACTUAL = "recipe", "counterfactual"
# In turn with others, recipes are over few and over more components, which err in different ways, and half of the
# generated patients have soft labels, as those of the others have.
COMPONENTS_IN_TURN = (3, 8)
LABEL_MIXING_IN_TURN = 0.5


@dataclass(frozen=True)
class RegisteredAugmenter:
    """An augmenter that can be chosen by name.

    Parameters
    ----------
    name, aliases
        What it is called, and what else.
    factory
        A dataclass that is an augmenter (:class:`repatient.mil.Augmenter`); its fields are the settings.
    citation
        Where it is from.
    makes_missing
        Whether it can make patients of a class that has none, by another cohort's recipe.
    """

    name: str
    factory: Callable[..., Augmenter]
    aliases: tuple[str, ...] = ()
    citation: str = ""
    makes_missing: bool = False

    @property
    def settings(self) -> list[str]:
        """Names of what can be set; what training itself decides is left out."""
        found = [field.name for field in fields(self.factory) if field.init]  # type: ignore[arg-type]
        return [
            name
            for name in found
            if name not in ("components", "recipes", "reference", "random_state", "cache", "standardize")
        ]


_REGISTRY: dict[str, RegisteredAugmenter] = {}


def register_augmenter(
    name: str,
    factory: Callable[..., Augmenter],
    *,
    aliases: Sequence[str] = (),
    citation: str = "",
    makes_missing: bool = False,
) -> None:
    """Offer an augmenter under a name in :func:`repatient.tl.mil` and :func:`repatient.tl.evaluate`.

    Parameters
    ----------
    name, aliases
        What it is called, without ``"+"``, and what else.
    factory
        A dataclass that is an augmenter; its fields are the settings.
    citation
        Where it is from.
    makes_missing
        Whether it can make patients of a class that has none.

    Raises
    ------
    ValueError
        If a name is taken or holds a ``"+"``.
    """
    for given in (name, *aliases):
        if "+" in given or not given:
            msg = f"`name`: '+' joins names of augmenters, and {given!r} is to be one name."
            raise ValueError(msg)
        if given in _names():
            msg = f"`name`: there is an augmenter {given!r} already."
            raise ValueError(msg)
    _REGISTRY[name] = RegisteredAugmenter(name, factory, tuple(aliases), citation, makes_missing)


def unregister_augmenter(name: str) -> None:
    """Take an augmenter out of the registry again.

    Parameters
    ----------
    name
        What it was registered as.
    """
    del _REGISTRY[name]


def augmenters() -> dict[str, RegisteredAugmenter]:
    """All augmenters that can be chosen.

    Returns
    -------
    What is registered, by name.
    """
    return dict(_REGISTRY)


def find_augmenter(name: str) -> RegisteredAugmenter:
    """The augmenter of a name or alias.

    Parameters
    ----------
    name
        What it is called.

    Returns
    -------
    What is registered under it.

    Raises
    ------
    ValueError
        If there is none.
    """
    names = _names()
    if name not in names:
        msg = f"`augment` is one of {listed(_REGISTRY, 20)}, several joined by '+', or an augmenter, not {name!r}."
        raise ValueError(msg)
    return _REGISTRY[names[name]]


def _names() -> dict[str, str]:
    """Every name and alias, with the name that it stands for."""
    return {given: one.name for one in _REGISTRY.values() for given in (one.name, *one.aliases)}


def parse_augment(augment: Any) -> list[str | Augmenter]:
    """Parts that take turns: names as they are registered, and augmenters.

    Parameters
    ----------
    augment
        A name, several joined by ``"+"``, an augmenter, or a sequence of these.

    Returns
    -------
    The parts, names as they are registered.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or a name is unknown.
    """
    if isinstance(augment, str):
        given: list[Any] = augment.split("+")
    else:
        given = list(augment) if isinstance(augment, Sequence) else [augment]
    if not given:
        msg = f"`augment` is an empty sequence; name one or more of {listed(_REGISTRY, 20)}, or pass None."
        raise ValueError(msg)
    for part in given:
        if not isinstance(part, str) and (isinstance(part, type) or not callable(getattr(part, "bind", None))):
            msg = f"`augment` is a name, an object of `repatient.mixing`, or a sequence of them, not {part!r}."
            raise TypeError(msg)
    return [find_augmenter(part).name if isinstance(part, str) else part for part in given]


def augment_settings(parts: Sequence[str | Augmenter]) -> list[str]:
    """Names of all that can be set of some parts.

    Parameters
    ----------
    parts
        Names and augmenters, as :func:`parse_augment` gives them.

    Returns
    -------
    The names; augmenters that are given as objects have their settings already.
    """
    return list(dict.fromkeys(s for part in parts if isinstance(part, str) for s in _REGISTRY[part].settings))


def make_augmenter(
    augment: Any,
    *,
    settings: Mapping[str, Any] | None = None,
    make_recipe: Callable[..., Augmenter] = RecipeMix,
    reference: Reference | None = None,
    standardize: bool = False,
) -> Augmenter:
    """Build what makes the bags of every gradient step.

    Parameters
    ----------
    augment
        A name, several joined by ``"+"``, an augmenter, or a sequence of these, which take turns step by step. Of names,
        every other turn is one of ``"recipe"``, if it is among them: over 3 and over 8 components, each after one of the
        others, with half of the generated patients between two classes.
    settings
        What differs from the defaults of the parts; each part gets those that it has.
    make_recipe
        What builds the part ``"recipe"`` from its settings.
    reference
        The other cohort of the part ``"counterfactual"``.
    standardize
        Bind to standardised features, see :class:`repatient.mixing.Standardized`.

    Returns
    -------
    The augmenter.

    Raises
    ------
    TypeError, ValueError
        If a name or a setting is unknown.
    """
    parts = parse_augment(augment)
    settings = dict(settings or {})
    known = augment_settings(parts)
    unknown = [name for name in settings if name not in known]
    if unknown:
        msg = f"`augment`: {'+'.join(map(str, parts))!r} has no settings {listed(unknown)}; it has {listed(known, 30)}."
        raise ValueError(msg)
    parts = [
        Counterfactual(
            reference, standardize=standardize, **{k: v for k, v in settings.items() if k in _of(COUNTERFACTUAL)}
        )
        if part == COUNTERFACTUAL
        else part
        for part in parts
    ]
    if RECIPE in parts and len(parts) > 1:
        turns = _in_turn(parts, settings, make_recipe)
    else:
        turns = [_build(part, settings, make_recipe) for part in parts]
    built = turns[0] if len(turns) == 1 else Alternating(*turns)
    # Counterfactual patients are of a mixture that has its own scale, and of offsets in the units of the cells.
    return Standardized(built) if standardize and not any(isinstance(turn, Counterfactual) for turn in turns) else built


def _of(name: str) -> list[str]:
    return _REGISTRY[name].settings


def _in_turn(parts: list[Any], settings: dict[str, Any], make_recipe: Callable[..., Augmenter]) -> list[Augmenter]:
    """Each of the others before a recipe, over each of some numbers of components."""
    settings = {"label_mixing": LABEL_MIXING_IN_TURN, **settings}
    numbers = settings.pop("n_components", COMPONENTS_IN_TURN)
    numbers = numbers if isinstance(numbers, Sequence) else [numbers]
    others = [part for part in parts if part != RECIPE]
    n_pairs = max(len(numbers), len(others))
    pairs = islice(zip(cycle(others), cycle(numbers), strict=False), n_pairs)
    return [
        turn
        for other, number in pairs
        for turn in (
            _build(other, settings, make_recipe),
            _build(RECIPE, {**settings, "n_components": number}, make_recipe),
        )
    ]


def _build(part: str | Augmenter, settings: Mapping[str, Any], make_recipe: Callable[..., Augmenter]) -> Augmenter:
    if not isinstance(part, str):
        return part
    own = {name: value for name, value in settings.items() if name in _REGISTRY[part].settings}
    return make_recipe(**own) if part == RECIPE else _REGISTRY[part].factory(**own)


register_augmenter(RECIPE, RecipeMix, citation="Dasdelen2026", makes_missing=True)
register_augmenter("psemix", PseMix, citation="Liu2024")
register_augmenter("insmix", InsMix)
register_augmenter("same_class", SameClassMixing, aliases=("same_class_mixing",))
register_augmenter("oversampling", Oversampling)
register_augmenter("mixup", Mixup, citation="Zhang2018")
register_augmenter("rankmix", RankMix, citation="Chen2023")
register_augmenter("remix", ReMix, citation="Yang2022")
register_augmenter(COUNTERFACTUAL, Counterfactual, makes_missing=True)
