"""Every public function ends with an example, and all of them run."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import repatient as rp

EXAMPLES = {
    f"{room}.{name}": inspect.getdoc(getattr(getattr(rp, room), name)) or ""
    for room in ("tl", "pp", "io", "get", "pl", "datasets")
    for name in getattr(rp, room).__all__
    if callable(getattr(getattr(rp, room), name))
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_docstring_ends_with_an_example_that_runs(name, tmp_path, monkeypatch, capsys):
    before, heading, example = EXAMPLES[name].partition("\nExamples\n--------\n")
    assert heading, "no section Examples"
    assert before
    assert "\n----" not in example, "something stands below the examples"
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(example, {}, name, None, 0)
    assert test.examples[0].source.startswith(("import ", "from ")), "it does not stand on its own"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = doctest.DocTestRunner(verbose=False).run(test)
    plt.close("all")
    assert done.attempted >= 3
    assert done.failed == 0, capsys.readouterr().out


def test_help_of_mil_fits_on_two_screens():
    assert len(pydoc.plain(pydoc.render_doc(rp.tl.mil)).splitlines()) < 80 + len(_wrapped_signature())


def _wrapped_signature() -> list[str]:
    """Lines that newer Pythons write the parameters of the heading in, one each."""
    heading = pydoc.plain(pydoc.render_doc(rp.tl.mil)).partition("Train a model")[0]
    return heading.splitlines()[3:]


def test_every_name_is_on_the_page_of_names():

    page = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "names.md").read_text(encoding="utf-8")
    names = {*rp.mil.PREDICTORS, *rp.mixing.augmenters()}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
