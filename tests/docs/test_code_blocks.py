"""The code on the pages of the documentation runs as it stands, block after block."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import pytest
from sklearn.metrics import roc_auc_score

import repatient as rp

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Measured pages have no Python, included ones stand outside.
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"benchmarks", "_build", "_generated"} & {*page.parts})
BLOCKS = {page: re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S) for page in PAGES}
# Pages that promise to tell patients apart whom nothing was learnt from.
SHOWS_HELD_OUT = ("start", "few_patients")
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
    found = [trained for value in names.values() if isinstance(value, ad.AnnData) for trained in models_of(value)]
    for predictions in found:
        check_result(predictions)
    if page.stem == "missing_class":
        assert names["auroc"] > 0.9
        assert names["accuracy"] > 0.8
    with_held_out = [predictions for predictions in found if len(held_out_of(predictions)) > 0]
    assert with_held_out or page.stem not in SHOWS_HELD_OUT


def models_of(adata):
    """Tables of predictions of the classes that the models of a page were trained on."""
    for entry in adata.uns.values():
        params = entry.get("params", {}) if isinstance(entry, Mapping) else {}
        if isinstance(entry, Mapping) and "predictions" in entry and params.get("outcome") == "class":
            yield entry["predictions"]


def held_out_of(predictions):
    return predictions[(predictions["split"] == "not trained on") & predictions["label"].notna()]


def check_result(predictions):
    """A page shows a model that is trained, and that knows patients whom it has not seen."""
    trained, unseen = predictions[predictions["split"] == "train"], held_out_of(predictions)
    assert area(trained) > 0.9
    if len(unseen):
        assert unseen["label"].nunique() > 1
        assert area(unseen) > 0.6


def area(predictions):
    label = str(predictions["label"].astype(str).max())
    if predictions["label"].nunique() < 2:
        return 1.0
    return roc_auc_score(predictions["label"].astype(str) == label, predictions[f"probability_{label}"])


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
