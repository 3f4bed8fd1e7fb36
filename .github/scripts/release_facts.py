"""Compare what files say of the release: version, date, dependencies of the recipe; and, of a folder, licences and SBOM.

python .github/scripts/release_facts.py [FOLDER]

Without a folder it prints the version. Needs jinja2, packaging and PyYAML.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# Licences that a BSD package may depend on and be passed on with; what else turns up is for a person to read.
FREE = (
    "apache",
    "bsd",
    "hpnd",
    "isc",
    "mit",
    "mozilla",
    "mpl",
    "psf",
    "python software",
    "unlicense",
    "zlib",
    "cc0",
    "0bsd",
)
# Names of conda-forge that are not those of PyPI.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def recipe(sdist: str = "") -> dict[str, Any]:
    """The conda recipe, rendered as conda-build does."""
    text = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    environ = os.environ | ({"REPATIENT_SDIST": sdist} if sdist else {})
    rendered = Environment(undefined=StrictUndefined, autoescape=False).from_string(text)
    return yaml.safe_load(rendered.render(environ=environ, PYTHON="python"))


def conda_requirements(dependencies: list[str]) -> set[str]:
    """Requirements of PyPI under their names and in the spelling of conda-forge."""
    found = set()
    for requirement in map(Requirement, dependencies):
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        found.add(f"{name} {requirement.specifier}".strip())
    return found


def problems() -> list[str]:
    """In what the files disagree."""
    found, of_project = [], project()
    version = of_project["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    listing = yaml.safe_load((ROOT / "meta.yaml").read_text(encoding="utf-8"))
    rendered = recipe()
    for name, said in (
        ("CITATION.cff", citation["version"]),
        ("meta.yaml", listing["version"]),
        ("recipe/meta.yaml", rendered["package"]["version"]),
    ):
        if str(said) != version:
            found.append(f"{name} has version {said}, pyproject.toml {version}")
    run = set(rendered["requirements"]["run"])
    wanted = conda_requirements(of_project["dependencies"]) | {f"python {of_project['requires-python']}"}
    if run != wanted:
        found.append(f"recipe/meta.yaml lacks {sorted(wanted - run)} and has {sorted(run - wanted)} too many")
    if not re.search(rf"^## \[?{re.escape(version)}\]?.*\d{{4}}-\d{{2}}-\d{{2}}", changelog(), re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading of {version} with a date")
    return found


def changelog() -> str:
    """What CHANGELOG.md holds."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def report(folder: Path) -> None:
    """Say what the lists of licences and of components hold."""
    rows = (folder / "licences.md").read_text(encoding="utf-8").splitlines()[2:]
    licences = {
        cells[1]: cells[3] for cells in (list(map(str.strip, row.split("|"))) for row in rows) if len(cells) > 3
    }
    unknown = {name: what for name, what in licences.items() if not any(word in what.lower() for word in FREE)}
    print(f"{len(licences)} packages in {folder / 'licences.md'}; to be read by a person: {unknown or 'none'}")
    (bom,) = folder.glob("repatient-*.cdx.json")
    content = json.loads(bom.read_text(encoding="utf-8"))
    if content["bomFormat"] != "CycloneDX":
        sys.exit(f"{bom} is of the format {content['bomFormat']}, not CycloneDX")
    print(f"{len(content['components'])} components in {bom}, CycloneDX {content['specVersion']}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        report(Path(sys.argv[1]))
    else:
        disagreements = problems()
        if disagreements:
            sys.exit("\n".join(disagreements))
        print(project()["version"])
