"""The first 512 bytes of a recipes file: its version and the checksum of all that follows, as text.

HDF5 skips such a block (it calls it the user block), so that every HDF5 library reads the file as it is. The checksum is
compared before HDF5 sees a byte: its library is not made for files in which bytes have changed.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from repatient.io._format import FIRST_SEALED_VERSION, FORMAT, VERSION, Refused
from repatient.io._layout import SIGNATURE

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_SIZE = 512
_HEADER = re.compile(rb"version (\d{1,9})\nsha256 ([0-9a-f]{64})\n\0*")
_BEGINNING = f"{FORMAT}\n".encode()


def seal(path: Path) -> None:
    """Fill the block of a file that is otherwise complete."""
    with path.open("r+b") as file:
        file.seek(BLOCK_SIZE)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        file.write(
            _BEGINNING + f"version {VERSION}\nsha256 {digest}\n".encode().ljust(BLOCK_SIZE - len(_BEGINNING), b"\0")
        )


def is_recipes_file(path: Path) -> bool:
    """Whether a file begins as one of recipes."""
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def open_sealed(path: Path) -> tuple[bytes, int | None]:
    """Content of a file, and the version that the block states: ``None`` for an earlier one, without a block.

    Raises
    ------
    Refused
        If the file is no recipes file, of a later version, or not as it was written.
    """
    with path.open("rb") as file:
        block = file.read(BLOCK_SIZE)
        if block.startswith(SIGNATURE):
            return block + file.read(), None
        version, digest = _parse(block, path)
        content = block + file.read()
    if hashlib.sha256(memoryview(content)[BLOCK_SIZE:]).hexdigest() != digest:
        msg = (
            f"{str(path)!r} is damaged or incomplete: its checksum does not fit. Copy it again from where it came from, "
            "or write it anew with `rp.io.write_recipes`."
        )
        raise Refused(msg)
    return content, version


def _parse(block: bytes, path: Path) -> tuple[int, str]:
    if not block.startswith(_BEGINNING):
        msg = f"{str(path)!r} is no recipes file; those are written by `rp.io.write_recipes`."
        raise Refused(msg)
    found = _HEADER.fullmatch(block, len(_BEGINNING))
    if found is None or len(block) < BLOCK_SIZE:
        msg = f"{str(path)!r} is damaged: the version and checksum at its beginning cannot be read. Copy it again."
        raise Refused(msg)
    version = int(found[1])
    if not FIRST_SEALED_VERSION <= version <= VERSION:
        msg = (
            f"{str(path)!r} has format version {version}; this version of the package reads up to {VERSION}. "
            "Update repatient, or have the file written with the version that you use."
        )
        raise Refused(msg)
    return version, found[2].decode()
