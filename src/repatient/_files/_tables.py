"""Tables as CSV files that no spreadsheet runs anything of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index: UTF-8 with a header, numbers in full precision, no formulas."""
    harmless_table(table).to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def harmless_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose names and texts have an apostrophe in front where a spreadsheet would take them for formulas."""
    table = table.rename(columns=_harmless)
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column.dtype):
            table[name] = column.astype(object).map(_harmless)
    return table


def _harmless(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
