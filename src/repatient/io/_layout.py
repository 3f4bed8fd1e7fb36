"""What the bytes of an HDF5 file may be laid out as before its library sees them.

The library is made for files that are as it wrote them: a global heap in which an object has no length keeps it busy for
ever, and others have crashed it. A checksum does not help where a stranger made it. So the file is walked through here
first, and has to be made of the few structures that this package's files have: groups in symbol tables, arrays in one
piece, and texts in global heaps (version 0 of the superblock and 1 of object headers in the HDF5 File Format Specification).
"""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = 2**64 - 1
# Kinds of messages of an object header; times, fill values and gaps say nothing that is read.
_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _MORE, _GROUP = 0x1, 0x3, 0x8, 0xC, 0x10, 0x11
_HARMLESS = {0x0, 0x4, 0x5, 0x12}
_SHARED = 2
# Of yes and no, as h5py has them: whole numbers of one byte with two names.
_BOOL = bytes.fromhex("0802000001000000 1008000001000000 0000 0800 46414c5345000000 5452554500000000 0001")
_NUMBERS = [f"{order}{kind}" for order in "<>" for kind in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]


class Odd(ValueError):
    """Bytes that no file of this package has; the message says which."""


class StoredArray(NamedTuple):
    """What a header says of an array or of an attribute: its shape (``None``: there is nothing) and its type."""

    shape: tuple[int, ...] | None
    size: int
    is_text: bool

    @property
    def n_items(self) -> int:
        """Numbers or texts."""
        return 0 if self.shape is None else math.prod(self.shape)


def check_layout(raw: memoryview, start: int) -> None:
    """Walk through all structures of a file.

    Parameters
    ----------
    raw
        The whole file.
    start
        Where HDF5 begins in it; addresses count from there.

    Raises
    ------
    Odd
        If something is of another kind, leads out of the file, is used twice or goes in circles.
    """
    try:
        _Walk(raw, start).all()
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        msg = "a structure that is cut off"
        raise Odd(msg) from error


class _Walk:
    """The way through one file; each structure is entered once, so that it ends."""

    def __init__(self, raw: memoryview, start: int) -> None:
        self._raw = raw[start:]
        self._start = start
        self._taken: set[int] = set()
        self._left = self._left_of_texts = len(self._raw)
        self._heaps: dict[int, dict[int, int]] = {}

    def all(self) -> None:
        """From the superblock to every array."""
        signature, versions, leaves, inner, _, base, free, end, driver = struct.unpack_from("<8s8sHHIQQQQ", self._raw)
        known = signature == SIGNATURE and versions == bytes((0, 0, 0, 0, 0, 8, 8, 0))
        if not known or base != self._start or free != _UNDEFINED or driver != _UNDEFINED:
            self._odd("a superblock of another kind")
        if end != self._start + len(self._raw) or not 0 < leaves <= 64 or not 0 < inner <= 256:
            self._odd("another length than it states")
        self._leaf_entries, self._inner_entries = 2 * leaves, 2 * inner
        _, root, _, _, _, _ = struct.unpack_from("<QQIIQQ", self._raw, 56)
        waiting = [root]
        while waiting:
            waiting += self._object(waiting.pop())

    def _odd(self, what: str) -> None:
        raise Odd(what)

    def _take(self, address: int, size: int, beginning: bytes = b"") -> memoryview:
        """Bytes of a structure that is entered here and nowhere else."""
        self._left -= size
        if address + size > len(self._raw) or address in self._taken or self._left < 0:
            self._odd("an address outside the file, or one that is used twice")
        self._taken.add(address)
        found = self._raw[address : address + size]
        if bytes(found[: len(beginning)]) != beginning:
            self._odd("an address of something else")
        return found

    def _object(self, address: int) -> list[int]:
        """Check an object, and return the addresses of those in it."""
        messages: dict[int, list[memoryview]] = {}
        for kind, content in self._messages(address):
            messages.setdefault(kind, []).append(content)
        unknown = set(messages) - _HARMLESS - {_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _GROUP}
        if unknown:
            self._odd(f"a message of kind {min(unknown)}")
        if any(len(messages.get(kind, ())) > 1 for kind in (_SPACE, _TYPE, _LAYOUT, _GROUP)):
            self._odd("an object that is described twice")
        for attribute in messages.get(_ATTRIBUTE, ()):
            self._attribute(attribute)
        is_group, is_array = _GROUP in messages, {_SPACE, _TYPE, _LAYOUT} <= set(messages)
        if is_group == is_array or (is_group and {_SPACE, _TYPE, _LAYOUT} & set(messages)):
            self._odd("an object that is neither a group nor an array")
        if is_group:
            tree, names = struct.unpack_from("<QQ", messages[_GROUP][0])
            return self._members(tree, names)
        self._array(*(messages[kind][0] for kind in (_SPACE, _TYPE, _LAYOUT)))
        return []

    def _messages(self, address: int) -> Iterator[tuple[int, memoryview]]:
        version, _, n_messages, _, size = struct.unpack_from("<BBHII", self._take(address, 16))
        if version != 1:
            self._odd("an object header of another version")
        parts, found = [self._take(address + 16, size)], 0
        while parts:
            part, at = parts.pop(), 0
            while at + 8 <= len(part):
                kind, length, flags = struct.unpack_from("<HHB", part, at)
                content = part[at + 8 : at + 8 + length]
                at, found = at + 8 + length, found + 1
                if len(content) < length or flags & _SHARED or length % 8:
                    self._odd("a message that is cut off, or stands elsewhere")
                if kind == _MORE:
                    parts.append(self._take(*struct.unpack_from("<QQ", content)))
                else:
                    yield kind, content
            if at != len(part):
                self._odd("an object header with a rest")
        if found != n_messages:
            self._odd("an object header with another number of messages than it states")

    def _members(self, tree: int, names: int) -> list[int]:
        heap = self._take(names, 32, b"HEAP\0\0\0\0")
        size, free, segment = struct.unpack_from("<QQQ", heap, 8)
        texts = bytes(self._take(segment, size))
        # 1 is the end of the list of free places; each has the address of the next one and its own size.
        places: set[int] = set()
        while free != 1:
            at = free
            free, length = struct.unpack_from("<QQ", texts, at)
            if at in places or length < 16 or at + length > size:
                self._odd("free places that are none")
            places.add(at)
        found: list[int] = []
        nodes = [(tree, -1)]
        while nodes:
            nodes += self._node(*nodes.pop(), texts.rfind(0), found)
        return found

    def _node(self, address: int, level: int, last_end: int, found: list[int]) -> list[tuple[int, int]]:
        """Nodes below a node of the tree of a group, whose names end by ``last_end``; objects are added to ``found``."""
        node = self._take(address, 24 + 16 * self._inner_entries + 8, b"TREE\0")
        own, used = struct.unpack_from("<BH", node, 5)
        if (level >= 0 and own != level) or used > self._inner_entries or own > 8:
            self._odd("a tree of groups that is none")
        children = [struct.unpack_from("<Q", node, 32 + 16 * i)[0] for i in range(used)]
        keys = [struct.unpack_from("<Q", node, 24 + 16 * i)[0] for i in range(used + 1)]
        if used and max(keys) > last_end:
            self._odd("a name that is not there")
        if own:
            return [(child, own - 1) for child in children]
        for child in children:
            table = self._take(child, 8 + 40 * self._leaf_entries, b"SNOD\1\0")
            (n_symbols,) = struct.unpack_from("<H", table, 6)
            if n_symbols > self._leaf_entries:
                self._odd("a table of names that is none")
            for i in range(n_symbols):
                name, header, cache_type = struct.unpack_from("<QQI", table, 8 + 40 * i)
                if name > last_end or cache_type not in (0, 1):
                    self._odd("a name that is not there, or a link")
                found.append(header)
        return []

    def _attribute(self, content: memoryview) -> None:
        version, _, n_name, n_type, n_space = struct.unpack_from("<BBHHH", content)
        if version not in (1, 3):
            self._odd("an attribute of another version")
        at, step = (8, 8) if version == 1 else (9, 1)
        parts = []
        for length in (n_name, n_type, n_space):
            parts.append(content[at : at + length])
            at += -(-length // step) * step
        if 0 not in bytes(parts[0]):
            self._odd("an attribute without a name")
        stored = self._stored(parts[2], parts[1])
        self._check_data(stored, content[at : at + stored.n_items * stored.size])

    def _array(self, space: memoryview, kind: memoryview, layout: memoryview) -> None:
        stored = self._stored(space, kind)
        version, of_one_piece, address, size = struct.unpack_from("<BBQQ", layout)
        if (version, of_one_piece) != (3, 1):
            self._odd("an array that is not in one piece")
        n_bytes = stored.n_items * stored.size
        if address == _UNDEFINED:
            if n_bytes:
                self._odd("an array without its numbers")
            return
        if size != n_bytes:
            self._odd("an array of another size than it states")
        self._check_data(stored, self._take(address, size) if size else self._raw[:0])

    def _stored(self, space: memoryview, kind: memoryview) -> StoredArray:
        version, rank, flags = struct.unpack_from("<BBB", space)
        if version not in (1, 2) or rank > 32 or flags > 1:
            self._odd("a shape of another version")
        shape: tuple[int, ...] | None = struct.unpack_from(f"<{rank}Q", space, 8 if version == 1 else 4)
        if version == 2 and space[3] == 2:
            shape = None
        elif version == 2 and space[3] != (1 if rank else 0):
            self._odd("a shape that is none")
        if shape is not None and math.prod(shape) > len(self._raw):
            self._odd("an array larger than the file")
        known = _known_types()
        # The upper half of the first byte is the version of the description.
        given = bytes((kind[0] & 15,)) + bytes(kind[1:])
        for encoded, (size, is_text) in known.items():
            if given.startswith(encoded) and not any(given[len(encoded) :]):
                return StoredArray(shape, size, is_text)
        msg = "numbers of another type"
        raise Odd(msg)

    def _check_data(self, stored: StoredArray, content: memoryview) -> None:
        """Texts stand in heaps: each has to be there, as long as it is said to be."""
        if len(content) != stored.n_items * stored.size:
            self._odd("an array that is cut off")
        if not stored.is_text:
            return
        for length, address, index in struct.iter_unpack("<IQI", content):
            if address == 0 and length == 0:
                continue
            if address not in self._heaps:
                self._heaps[address] = self._heap(address)
            # No two texts are the same bytes: a thousand times one long text would fill the memory.
            self._left_of_texts -= length
            if self._left_of_texts < 0:
                self._odd("texts longer than the file")
            if length > self._heaps[address].get(index, -1):
                self._odd("a text that is not there")

    def _heap(self, address: int) -> dict[int, int]:
        """Length of each object of a global heap."""
        head = self._raw[address : address + 16] if address < len(self._raw) else self._raw[:0]
        (size,) = struct.unpack_from("<Q", head, 8)
        heap = self._take(address, size, b"GCOL\1\0\0\0")
        found: dict[int, int] = {}
        at = 16
        while at + 16 <= size:
            index, _, _, length = struct.unpack_from("<HHIQ", heap, at)
            # What is free has number 0, comes last, and counts its own sixteen bytes.
            step = length if index == 0 else 16 + -(-length // 8) * 8
            if index in found or step < 16 or at + step > size or (index == 0 and at + step != size):
                self._odd("a heap of texts that is none")
            found[index] = length
            at += step
        found.pop(0, None)
        return found


@cache
def _known_types() -> dict[bytes, tuple[int, bool]]:
    """How the types of this package's arrays are described, their size in the file, and whether they are texts."""
    types = {_encoded(np.dtype(code)): (np.dtype(code).itemsize, False) for code in _NUMBERS}
    types[_BOOL] = (1, False)
    for of_text in (h5py.string_dtype(), h5py.string_dtype("ascii")):
        # In memory a text is a pointer, in the file a length, an address of eight bytes and a number.
        encoded = _encoded(of_text)
        types[encoded[:4] + struct.pack("<I", 16) + encoded[8:]] = (16, True)
    return types


def _encoded(dtype: np.dtype) -> bytes:
    encoded = bytearray(h5py.h5t.py_create(dtype, logical=True).encode()[2:])
    encoded[0] &= 15
    return bytes(encoded)
