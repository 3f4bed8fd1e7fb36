"""Version, recipe and listing say what pyproject.toml says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def facts():
    spec = importlib.util.spec_from_file_location("release_facts", ROOT / ".github" / "scripts" / "release_facts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_of_the_release_agree(facts, monkeypatch):
    # The heading of the changelog gets its date with the release itself.
    monkeypatch.setattr(facts, "changelog", lambda: f"## [{facts.project()['version']}] - 2026-01-01\n")
    assert facts.problems() == []


def test_disagreements_are_found(facts, monkeypatch):
    of_project = facts.project()
    changed = of_project | {"version": "9.9", "dependencies": [*of_project["dependencies"], "polars>=1"]}
    monkeypatch.setattr(facts, "project", lambda: changed)
    found = "\n".join(facts.problems())
    for name in ("CITATION.cff", "meta.yaml", "recipe/meta.yaml", "CHANGELOG.md"):
        assert name in found
    assert "polars >=1" in found


def test_the_recipe_builds_from_a_source_distribution(facts, tmp_path):
    assert facts.recipe(str(tmp_path / "a.tar.gz"))["source"]["url"] == str(tmp_path / "a.tar.gz")
    assert facts.recipe()["source"]["url"].endswith(f"repatient-{facts.project()['version']}.tar.gz")


def test_the_entry_in_the_list_of_packages_fits_its_schema():
    entry = yaml.safe_load((ROOT / "meta.yaml").read_text(encoding="utf-8"))
    required = {"name", "description", "project_home", "documentation_home", "install", "license", "tags", "version"}
    assert required | {"contact", "category", "tutorials_home"} <= set(entry)
    assert 1 <= len(set(entry["tags"])) == len(entry["tags"]) <= 10
    assert entry["contact"]
    assert entry["category"] == "ecosystem"
