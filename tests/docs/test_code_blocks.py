"""The code on the pages of the documentation runs as it stands, block after block."""

from __future__ import annotations

import re
import warnings
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import repatient as rp

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Measured pages have no Python, included ones stand outside.
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"benchmarks", "_build", "_generated"} & {*page.parts})
BLOCKS = {page: re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S) for page in PAGES}
WITH_CODE = [page for page in PAGES if BLOCKS[page]]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Twenty splits of long trainings take minutes; nothing else is changed.
    quick = partial(short, rp.tl.evaluate)
    monkeypatch.setattr(rp.tl, "evaluate", quick)
    names = {"__name__": page.stem}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in BLOCKS[page]:
            exec(compile(block, str(page), "exec"), names)
    plt.close("all")


def short(evaluate, *args, **kwargs):
    """An evaluation of two splits and three steps, with the variants that were asked for."""
    return evaluate(*args, **kwargs | {"n_splits": 2, "n_steps": 3, "progress": False})


def test_pages_are_found():
    assert {"start", "images", "does_it_help"} <= {page.stem for page in WITH_CODE}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_is_left_out(page):
    """A block in another spelling would not be run."""
    fences = re.findall(r"^ *(?:```+|~~~+) *([\w{}-]*)", page.read_text("utf-8"), flags=re.M)
    opened = [name for name in fences if name]
    assert opened.count("python") == len(BLOCKS[page])
    assert {name for name in opened if not name.startswith("{")} <= {"python", "bash"}
    assert not {"{code-cell}", "{code-block}", "{doctest}"} & {*opened}
