"""Files of the user that a writer meets are kept, with an error that names them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient._files._sealed_json import SEAL, write_sealed

PRECIOUS = b"precious"


@pytest.fixture
def slides(tmp_path):
    """Two samples as h5ad files, and their table."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("s0", "s1"):
        ad.AnnData(np.ones((5, 3), np.float32)).write_h5ad(folder / f"{name}.h5ad")
    return folder, pd.DataFrame({"slide": ["s0", "s1"], "patient": ["a", "b"]})


def test_features_are_not_written_over_a_cohort_of_the_user(slides, tmp_path):
    pytest.importorskip("dask")
    pytest.importorskip("xarray")
    folder, table = slides
    own = tmp_path / "own.h5ad"
    ad.AnnData(np.zeros((2, 2))).write_h5ad(own)
    before = own.read_bytes()
    with pytest.raises(FileExistsError, match=r"`to`.*own\.h5ad.*no cohort of this package"):
        rp.io.read_features(folder, table, to=own)
    assert own.read_bytes() == before
    written = tmp_path / "new.h5ad"
    for _ in range(2):
        rp.io.read_features(folder, table, to=written).file.close()
    with pytest.raises(FileExistsError, match=r"`to`.*new\.h5ad.*exists"):
        rp.io.read_features(folder, table, to=written, overwrite=False)


def test_features_are_not_written_over_one_of_their_files(slides):
    folder, table = slides
    before = (folder / "s0.h5ad").read_bytes()
    with pytest.raises(ValueError, match=r"`to`.*s0\.h5ad.*what the result reads from"):
        rp.io.read_features(folder, table, to=folder / "s0.h5ad")
    assert (folder / "s0.h5ad").read_bytes() == before


def test_a_page_of_the_user_is_no_report(tiny, tmp_path):
    path = tmp_path / "notes.html"
    path.write_bytes(PRECIOUS)
    with pytest.raises(FileExistsError, match=r"`path`.*notes\.html.*no report of this package"):
        rp.io.write_report(tiny, path)
    assert path.read_bytes() == PRECIOUS
    path.write_bytes(b'<meta name="generator" content="repatient">')
    with pytest.raises(FileExistsError, match="overwrite=True"):
        rp.io.write_report(tiny, path, overwrite=False)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_figures_do_not_follow_links(tiny, tmp_path):
    victim, link = tmp_path / "victim.png", tmp_path / "figure.png"
    victim.write_bytes(PRECIOUS)
    link.symlink_to(victim)
    with pytest.raises(FileExistsError, match="is a link"):
        rp.pl.recipes(tiny, save=link, show=False)
    assert victim.read_bytes() == PRECIOUS
    link.unlink()
    rp.pl.recipes(tiny, save=link, show=False)
    assert link.read_bytes().startswith(b"\x89PNG")


def places(content, name, way=()):
    """Ways to each value of a name in nested JSON."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            if key == name:
                yield (*way, key)
            yield from places(value, name, (*way, key))


@pytest.mark.parametrize("model", ["auto", "attention", "likelihood"])
def test_temperatures_that_cannot_be_are_refused_wherever_they_stand(model, tmp_path):
    rng = np.random.default_rng(0)
    bags = rp.mil.Bags.from_codes(rng.standard_normal((96, 2)).astype(np.float32), np.arange(96) // 12, 8)
    settings = {"n_steps": 1} if model == "attention" else {}
    fitted = rp.mil.make_predictor(model, progress=False, device="cpu", **settings).fit(bags, np.arange(8) % 2)
    fitted.save(tmp_path / "model")
    path = Path(tmp_path, "model", "model.json")
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != SEAL}
    ways = [way for name in ("temperature", "temperature_") for way in places(content, name)]
    assert len(ways) >= (2 if model == "auto" else 1)
    for way in ways:
        inner = content
        for key in way[:-1]:
            inner = inner[key]
        before = inner[way[-1]]
        for value in (-1.0, 0.0, float("inf"), float("nan"), [1, 2], "x", None, True):
            inner[way[-1]] = value
            write_sealed(path, content)
            with pytest.raises(ValueError, match="temperature"):
                rp.mil.load_model(tmp_path / "model", device="cpu")
        inner[way[-1]] = before
    write_sealed(path, content)
    rp.mil.load_model(tmp_path / "model", device="cpu")
