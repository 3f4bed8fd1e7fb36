"""Progress bars, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str,
    total: int | None = None,
    enabled: bool | None = None,
    unit: str = "it",
) -> tqdm:
    """Bar that shows itself after a second; ``enabled=None`` means only where a person can see it."""
    disable = None if enabled is None else not enabled
    return tqdm(iterable, desc=desc, total=total, disable=disable, delay=1.0, leave=False, unit=unit)
