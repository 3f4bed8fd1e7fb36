"""The page is read as a browser and as a reader do; its numbers are those of the object."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import repatient as rp

ANCHORS = "summary cohort gain scores roc calibration drivers elsewhere generated recipes record limits".split()


class Page(HTMLParser):
    """Tags with their attributes, and the text of each section."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.anchor, self.rows = [], {}, "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.anchor = dict(attrs)["id"]
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        self.text[self.anchor] = self.text.get(self.anchor, "") + data
        if self.tags and self.tags[-1][0] in {"td", "th"} and data.strip():
            self.rows[-1].append(data)


@pytest.fixture
def page(tmp_path):
    def write(data, **kwargs):
        path = tmp_path / "report.html"
        rp.io.write_report(data, path, **kwargs)
        return Page(path)

    return write


@pytest.fixture(scope="module")
def complete(_trained, _of_patients, make_evaluation, tmp_path_factory):
    """The cohort with all results that a page has a section for, as it was before, and its page."""
    adata = _trained[0].copy()
    rp.tl.audit(adata, n_permutations=9, n_repeats=1)
    adata.uns["evaluation"] = make_evaluation(_of_patients, {"mean": 1.0, "mean+recipe": 1.5, "size_only": 0.0})
    second = adata.obs["patient"].cat.codes.to_numpy() % 2 == 1
    adata.obs["run"] = np.where(second, "run B", "run A")
    before = adata.copy()
    path = tmp_path_factory.mktemp("report") / "report.html"
    rp.io.write_report(adata, path, title="A & B", method="mean+recipe", batch_key="run")
    return adata, before, Page(path)


def test_one_page_that_asks_for_nothing(complete):
    _, _, made = complete
    assert [attrs["id"] for tag, attrs in made.tags if tag == "section"] == ANCHORS
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in made.tags}
    addresses = [attrs[name] for _, attrs in made.tags for name in ("src", "href", "srcset", "action") if name in attrs]
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "url(" not in made.source
    assert "@import" not in made.source
    policy = next(attrs["content"] for tag, attrs in made.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    images = [attrs for tag, attrs in made.tags if tag == "img"]
    assert len(images) >= 9
    assert all(len(attrs["alt"].split()) > 5 for attrs in images)
    assert "To have it" not in made.source
    assert "<h1>A &amp; B</h1>" in made.source


def test_numbers_are_those_of_the_object(complete):
    adata, _, made = complete
    table = rp.evaluation.compare(adata.uns["evaluation"])
    gain = table.loc["mean+recipe"]
    row = next(row for row in made.rows if row[0] == "mean of cells + RECIPE" and "yes" in row)
    assert row[1:4] == [f"{gain[name]:.3f}" for name in ("mean", "sd", "difference")]
    for name, patient in rp.get.scores(adata, "mean+recipe").iterrows():
        row = next(row for row in made.rows if row[0] == name)
        assert row[1:4] == [patient["label"], patient["predicted"], str(patient["n_splits"])]
        assert row[-1].startswith(f"{patient['probability_disease']:.2f}")
    contribution = adata.obs.groupby(["patient", "gmm"], observed=False)["mil_contribution"].sum().unstack()
    label = adata.obs.groupby("patient", observed=True)["label"].first()
    row = next(row for row in made.rows if row[0] == "2" and len(row) == 5)
    assert row[4] == f"{contribution.loc[label == 'disease', '2'].mean():.3f}"
    assert "16 patients (8 healthy, 8 disease)" in made.text["summary"]
    assert "random_state" in made.text["record"]


def test_without_results_a_section_says_what_to_call(plain, page):
    made = page(plain)
    for anchor, call in {
        "gain": "rp.tl.evaluate(",
        "scores": "rp.tl.evaluate(",
        "drivers": "rp.tl.mil(",
        "generated": "rp.tl.audit(",
        "recipes": "rp.tl.recipes(",
    }.items():
        assert call in made.text[anchor]
    assert not [tag for tag, _ in made.tags if tag == "img"]
    assert "batches" in made.text["limits"]


def test_traps_are_named(plain, page):
    params = {"patient_key": "patient", "label_key": "label", "donor_key": None}
    plain.uns["mil"] = {"params": params, "predictions": pd.DataFrame()}
    plain.obs["run"] = plain.obs["label"].astype(str)
    text = page(plain, batch_key="run").text["cohort"]
    assert "whatever sets the classes apart here may be the batch" in text
    assert "Every patient counts as a person" in text
    assert "Fewer than 10 patients: healthy (8), disease (8)" in text
    plain.obs["donor"] = "donor " + plain.obs["patient"].astype(str).str[:-1]
    lone = plain.obs.loc[plain.obs["label"] == "disease", "patient"].unique()[:2]
    plain.obs["run"] = np.where(plain.obs["patient"].isin(lone), "lone", "shared")
    params["donor_key"] = "donor"
    made = page(plain, batch_key="run")
    assert f"from {plain.obs['donor'].nunique()} donors" in made.text["cohort"]
    assert "Of one class only: lone." in made.text["cohort"]


def test_names_are_text_whatever_they_look_like(several_classes, page):
    wicked = "<script>alert(1)</script>"
    entry = several_classes.uns["evaluation"]
    entry["predictions"]["label"] = entry["predictions"]["label"].cat.rename_categories({"severe": wicked})
    renamed = {"probability_severe": f"probability_{wicked.replace('/', '|')}"}
    entry["predictions"] = entry["predictions"].rename(columns=renamed)
    made = page(several_classes, title=wicked)
    assert wicked not in made.source
    assert "script" not in {tag for tag, _ in made.tags}
    assert "&lt;script&gt;" in made.source


def test_the_object_stays_as_it_is_and_the_page_is_the_same(complete, page, same_content):
    adata, before, made = complete
    same_content(adata, before)
    again = page(before, title="A & B", method="mean+recipe", batch_key="run")
    assert again.source == made.source


def test_bad_requests_leave_the_old_page(held_out, tmp_path):
    path = tmp_path / "report.html"
    rp.io.write_report(held_out, path)
    old = path.read_bytes()
    for kwargs, error, match in (
        ({"mil_key": "other"}, KeyError, "`mil_key`.*'other'"),
        ({"batch_key": "nothing"}, KeyError, "`batch_key`"),
        ({"method": "best"}, ValueError, "`method`"),
        ({"title": 3}, TypeError, "`title`"),
    ):
        with pytest.raises(error, match=match):
            rp.io.write_report(held_out, path, **kwargs)
    assert path.read_bytes() == old
    with pytest.raises(IsADirectoryError, match="`path`"):
        rp.io.write_report(held_out, tmp_path)
    with pytest.raises(FileNotFoundError):
        rp.io.write_report(held_out, tmp_path / "nowhere" / "report.html")


def test_a_browser_prints_it(held_out, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium")
    rp.io.write_report(held_out, tmp_path / "report.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    printed = tmp_path / "report.pdf"
    command = [browser, *flags, f"--print-to-pdf={printed}", (tmp_path / "report.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert printed.read_bytes().startswith(b"%PDF")


@pytest.fixture
def read_trained(_trained):
    return lambda: _trained[0].copy()


def test_what_others_contribute(page, read_trained, tmp_path):
    """A class that only another cohort has: what was used and checked stands on the page, number by number."""
    adata = read_trained()
    other, here = adata.copy(), adata[adata.obs["label"] == adata.obs["label"].cat.categories[0]].copy()
    rp.io.write_recipes(other, tmp_path / "r.h5", min_cells=1, min_donors=1)
    rp.tl.mil(here, patient_key="patient", label_key="label", reference=str(tmp_path / "r.h5"))
    found = page(here)
    reference = here.uns["mil"]["reference"]
    assert all(sentence in found.text["elsewhere"] for sentence in reference["used"])
    assert f"{reference['check']['weight'].iloc[0]:.3g}" in found.text["elsewhere"]
    if "certainty" in reference:
        assert all(f"{reference['certainty']:.2f}" in found.text[part] for part in ("summary", "elsewhere"))
    del here.uns["mil"]["reference"]
    assert "elsewhere" not in page(here).text
