from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from repatient.pl._palette import CLASS_COLOURS, COMPONENT_START, contrasting, distinct_colours, oklab


def lab(colours) -> np.ndarray:
    return oklab(np.array([to_rgb(colour) for colour in colours]))


def smallest_distance(colours) -> float:
    points = lab(colours)
    return np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(len(points), 1)].min()


@pytest.mark.parametrize(
    ("rgb", "expected"),
    # Published values of OKLab.
    [([1, 1, 1], [1, 0, 0]), ([1, 0, 0], [0.62796, 0.22486, 0.12585]), ([0, 0, 1], [0.45201, -0.03246, -0.31153])],
)
def test_oklab_has_its_published_values(rgb, expected):
    np.testing.assert_allclose(oklab(np.array(rgb, dtype=float)), expected, atol=2e-4)


def test_forty_colours_are_told_apart():
    from matplotlib import colormaps

    # The smallest difference within matplotlib's own palette of twenty, and twice as many colours.
    assert smallest_distance(distinct_colours(40, COMPONENT_START)) > smallest_distance(colormaps["tab20"].colors)


def test_a_colour_does_not_depend_on_how_many_follow():
    assert distinct_colours(40, COMPONENT_START)[:10] == distinct_colours(10, COMPONENT_START)


def test_more_classes_than_named_colours():
    colours = distinct_colours(12, CLASS_COLOURS)
    assert colours[: len(CLASS_COLOURS)] == CLASS_COLOURS
    assert len(set(colours)) == 12


def test_numbers_contrast_with_what_they_stand_on():
    assert contrasting("#ffff88") == "black"
    assert contrasting("#1f3080") == "white"
