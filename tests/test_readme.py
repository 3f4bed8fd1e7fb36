"""The code that the README shows runs as it stands."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import matplotlib.pyplot as plt

import repatient as rp

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_first_screen_says_what_for_whom_when_not_and_what_it_needs():
    screen = README.read_text(encoding="utf-8").partition("\n## ")[0]
    assert len(screen.splitlines()) <= 40
    assert all(f"**{words}**" in screen for words in ("Use it if", "Leave it if", "It needs"))
    assert "```python" in screen


def test_python_blocks(plain, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    # Twenty splits of long trainings take minutes; nothing else is changed.
    few = 'label_key="label", methods=["mean"], n_splits=2'
    blocks[0] = blocks[0].replace(
        'rp.tl.evaluate(adata, patient_key="patient", label_key="label"',
        f'rp.tl.evaluate(adata, patient_key="patient", {few}',
    )
    blocks[2] = blocks[2].replace('scenario="low_data"', 'scenario="low_data", methods=["auto"], n_splits=2, n_steps=3')
    plain.write_h5ad(tmp_path / "cohort.h5ad")
    new = plain.copy()
    del new.obs["label"]
    new.write_h5ad(tmp_path / "new_patients.h5ad")
    monkeypatch.chdir(tmp_path)
    names = {"external": plain.copy(), "rp": rp}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
    plt.close("all")
    assert len(names["predictions"]) == 16
    assert (tmp_path / "report.html").is_file()
    assert "n_splits=2" in blocks[2]
    assert set(names["adata"].uns["evaluation"]["results"]["metric"]) >= {"auroc", "brier"}
    assert set(names["adata"].uns["generated"]["patients"]["label"]) == {"healthy", "disease"}
