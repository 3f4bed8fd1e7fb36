"""Re-mix the cells of a data-scarce cohort into new patients."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from repatient import datasets, evaluation, get, io, mil, mixing, mixture, pl, pp, recipe, sampling, tl, views

__all__ = [
    "__version__",
    "datasets",
    "evaluation",
    "get",
    "io",
    "mil",
    "mixing",
    "mixture",
    "pl",
    "pp",
    "recipe",
    "sampling",
    "tl",
    "views",
]

__version__ = version("repatient")


def __getattr__(name: str) -> ModuleType:
    # A notebook pays for torch, scanpy and matplotlib at the first call that needs them, not at the import.
    if name in __all__:
        return import_module(f"repatient.{name}")
    msg = f"module 'repatient' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
