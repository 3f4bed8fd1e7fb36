"""How the site is built: `make docs`, without a network, with every warning an error.

Names of other packages (numpy, anndata, …) are links only where ``REPATIENT_INTERSPHINX`` is set, as on Read the Docs,
because their inventories have to be fetched; elsewhere they are plain text. Names of repatient itself must always
resolve.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "repatient"
author = "The repatient developers"
copyright = f"2026, {author}"
version = release = version_of("repatient")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    # Those of this folder, in _ext; each says what it is for.
    "contract",
    "docstrings",
    "gallery",
    "measured",
    "names",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates", "**/.ipynb_checkpoints"]
nitpicky = True
# Benchmarks print headings below those of the page that they are put into.
suppress_warnings = ["myst.header"]

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "mixed"
napoleon_attr_annotations = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# Notebooks are executed by `make notebooks`; the site shows what they left.
nb_execution_mode = "off"

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["cards.css"]
html_title = "repatient"
html_theme_options = {
    "repository_url": "https://github.com/repatient/repatient",
    "use_repository_button": True,
    "path_to_docs": "docs",
    "show_navbar_depth": 1,
}

if os.environ.get("REPATIENT_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "mudata": ("https://mudata.readthedocs.io/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }
