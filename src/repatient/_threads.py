"""Threads of the numerical libraries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_found: tuple[int, ThreadpoolController] | None = None


def one_thread() -> AbstractContextManager[Any]:
    """One thread in every numerical library while the context is open, so that sums run in one order.

    Finding the libraries takes milliseconds, more than much of what is computed in such a context. They come with modules,
    so they are looked for again only after modules were imported.
    """
    global _found
    n_modules = len(sys.modules)
    if _found is None or _found[0] != n_modules:
        _found = n_modules, ThreadpoolController()
    return _found[1].limit(limits=1)
