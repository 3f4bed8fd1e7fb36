"""JSON files that say what they are, in which version, and carry the checksum of their content."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._files._read import MOST_BYTES_OF_JSON, parse_json, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SEAL = "sha256"
FIRST_SEALED_VERSION = 2


def plain(value: Any) -> Any:
    """Numpy scalars, of which users make parameters, as JSON."""
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{value!r} cannot be saved in a model."
    raise TypeError(msg)


def write_sealed(path: Path, content: Mapping[str, Any], default: Callable[[Any], Any] = plain) -> None:
    """Write a description with its checksum.

    Parameters
    ----------
    path
        The file; :func:`repatient._files._atomic.replace_when_whole` makes it appear as a whole.
    content
        What it holds, with its format and its version.
    default
        Turns values that JSON does not know into those that it does.
    """
    # The checksum is of what will be read back, where all keys are strings, for instance.
    read_back = json.loads(json.dumps(content, default=default))
    path.write_text(json.dumps(read_back | {SEAL: _digest(read_back)}, indent=1), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of one JSON object; refuse any other."""
    return parse_json(read_bytes(path, MOST_BYTES_OF_JSON), path)


def checked(content: dict[str, Any], path: Path, version_key: str, version: int) -> dict[str, Any]:
    """Content of a file without its checksum, if the checksum fits and the version is not a later one.

    Parameters
    ----------
    content
        What was read.
    path
        The file, for errors.
    version_key
        Name under which the version stands.
    version
        The latest that this version of the package reads.
    """
    found = content.get(version_key)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= version:
        msg = (
            f"{path} has format version {found!r}; this version reads up to {version}. Update repatient, or have the "
            "file written with the version that you use."
        )
        raise ValueError(msg)
    rest = {name: value for name, value in content.items() if name != SEAL}
    if (found >= FIRST_SEALED_VERSION or SEAL in content) and content.get(SEAL) != _digest(rest):
        msg = (
            f"{path} is damaged or was edited: its checksum does not fit. Copy it again from where it came from, or "
            "write it anew."
        )
        raise ValueError(msg)
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
