"""Import every public name of the installed package, and say where it was found."""

from __future__ import annotations

from importlib import import_module

import repatient as rp

for room in rp.__all__:
    if room != "__version__":
        module = import_module(f"repatient.{room}")
        for name in module.__all__:
            getattr(module, name)
import_module("repatient.cli")
print(f"repatient {rp.__version__} in {rp.__file__}")
