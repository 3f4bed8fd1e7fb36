"""Shapes of markers, so that classes are told apart where colours are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.markers import MarkerStyle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.collections import PathCollection

_SHAPES = ("o", "s", "^", "v", "P", "X", "<", ">")


def class_shapes(classes: Iterable[str]) -> dict[str, str]:
    """A marker for each class, by its place among the names; the first ones come again where there are more than eight."""
    return {name: _SHAPES[i % len(_SHAPES)] for i, name in enumerate(sorted(classes))}


def give_shapes(points: PathCollection, of_points: Sequence[str | None], shapes: Mapping[str, str]) -> None:
    """Draw each point of a scatter in the shape of its class, a circle where it has none."""
    styles = [MarkerStyle(shapes.get(name, "o") if name is not None else "o") for name in of_points]
    points.set_paths([style.get_path().transformed(style.get_transform()) for style in styles])
