"""Colours of components and classes, kept in ``uns`` where scanpy keeps those of a column of ``obs``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.colors import is_color_like, to_hex
from mudata import MuData

from repatient import _store
from repatient._checks import is_storable, listed, name_of
from repatient.pl._palette import CLASS_COLOURS, COMPONENT_START, distinct_colours

if TYPE_CHECKING:
    from anndata import AnnData

Palette: TypeAlias = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Colours:
    """Colours by name, and those of the categories of a column, in their order, as they are kept.

    Parameters
    ----------
    of
        Hexadecimal colour of each name.
    key
        Column of ``obs``.
    categories
        The column's categories; none where there is no such column, and nothing to keep.
    """

    of: dict[str, str]
    key: str
    categories: list[str]

    def store(self, data: AnnData | MuData) -> None:
        """Write the colours to ``uns``; not to a view, which would become a copy in memory."""
        # Of a column whose name files take for a folder, scanpy would not find them again.
        if self.categories and not data.is_view and is_storable(self.key):
            data.uns[_uns_key(self.key)] = [self.of[name] for name in self.categories]


def component_colours(
    data: AnnData | MuData, gmm_key: str, n_components: int, palette: Palette | None = None
) -> Colours:
    """Colours of the components ``"0"`` to ``"K-1"``."""
    return column_colours(data, gmm_key, [str(k) for k in range(n_components)], palette, COMPONENT_START)


def class_colours(
    data: AnnData | MuData, label_key: str, classes: Sequence[str], palette: Palette | None = None
) -> Colours:
    """Colours of the classes."""
    return column_colours(data, label_key, classes, palette, CLASS_COLOURS)


def column_colours(
    data: AnnData | MuData, key: str, names: Sequence[str], palette: Palette | None, start: tuple[str, ...]
) -> Colours:
    """Colours from a palette, or those kept for the column, or new ones."""
    categories = _categories(data, key)
    every = list(dict.fromkeys([*names, *categories]))
    if palette is not None:
        return Colours(dict(zip(every, _from_palette(palette, every), strict=True)), key, categories)
    kept = _kept(data, key, categories)
    new = [name for name in every if name not in kept]
    drawn = distinct_colours(len(every), tuple(kept.values()) or start)[len(kept) :]
    return Colours(kept | dict(zip(new, drawn, strict=True)), key, categories)


def _uns_key(key: str) -> str:
    return f"{key}_colors"


def _categories(data: AnnData | MuData, key: str) -> list[str]:
    modality, _, name = key.partition(":")
    inside = isinstance(data, MuData) and modality in data.mod and name in data.mod[modality].obs
    if key not in data.obs and not inside:
        return []
    return [str(name) for name in _store.as_categories(_store.obs_column(data, key, "key"), "key").categories]


def _kept(data: AnnData | MuData, key: str, categories: list[str]) -> dict[str, str]:
    """Colours in ``uns``, if there is one for each category."""
    values: Any = data.uns.get(_uns_key(key))
    is_list = isinstance(values, list | tuple | np.ndarray) and len(values) == len(categories)
    if not categories or not is_list or not all(is_color_like(value) for value in values):
        return {}
    return {name: to_hex(value) for name, value in zip(categories, values, strict=True)}


def _from_palette(palette: Any, names: list[str]) -> list[str]:
    if isinstance(palette, str):
        return _from_colormap(palette, len(names))
    if isinstance(palette, Mapping):
        of_names = {name_of(name, names): colour for name, colour in palette.items()}
        missing = [name for name in names if name not in of_names]
        if missing:
            msg = f"`palette` has no colour for {listed(missing)}."
            raise ValueError(msg)
        values = [of_names[name] for name in names]
    elif isinstance(palette, Iterable):
        values = list(palette)[: len(names)]
    else:
        msg = f"`palette` is a list of colours, a dictionary or the name of a colormap, not {palette!r}."
        raise TypeError(msg)
    if len(values) < len(names):
        msg = f"`palette` has {len(values)} colours; {len(names)} are needed, for {listed(names)}."
        raise ValueError(msg)
    wrong = [value for value in values if not is_color_like(value)]
    if wrong:
        msg = f"`palette`: {listed(wrong)} are not colours that matplotlib knows."
        raise ValueError(msg)
    return [to_hex(value) for value in values]


def _from_colormap(name: str, n: int) -> list[str]:
    if name not in mpl.colormaps:
        msg = f"`palette`: matplotlib knows no colormap {name!r}; pass one that it knows, or a list of colours."
        raise ValueError(msg)
    colormap = mpl.colormaps[name]
    is_list_of_colours = colormap.N < 256
    if is_list_of_colours and colormap.N < n:
        msg = f"`palette`: the colormap {name!r} has {colormap.N} colours; {n} are needed."
        raise ValueError(msg)
    return [to_hex(colour) for colour in colormap(np.arange(n) if is_list_of_colours else np.linspace(0, 1, n))]
