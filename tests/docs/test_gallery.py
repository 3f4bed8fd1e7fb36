"""Every function of `rp.pl` has a figure with a caption in the gallery; `make docs` draws them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import repatient as rp

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "_ext" / "figures.py"
HELPERS = {"cohort", "two_views"}
DRAWN = {
    node.name: node
    for node in ast.parse(FIGURES.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name not in HELPERS
}


def test_every_function_has_a_figure():
    assert {name.partition("__")[0] for name in DRAWN} == set(rp.pl.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_captions_say_what_to_see(name):
    assert len((ast.get_docstring(DRAWN[name]) or "").split()) >= 5


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_one_call_of_its_function(name):
    """It is shown as code, as a user would write it."""
    last = DRAWN[name].body[-1]
    assert isinstance(last, ast.Return)
    assert ast.unparse(last.value).startswith(f"rp.pl.{name.partition('__')[0]}(")
