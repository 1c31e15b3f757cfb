"""Columns of rows as Postgres takes them fastest: each one parameter, an array in binary form.

Nothing in it is quoted, so nothing can be quoted wrongly, and the server has nothing to parse. The
statement casts each parameter to its array (`%(amount)s::bigint[]`); the server refuses one whose
elements are of another type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

# The object ids of the elements' types, the same on every server.
_BOOLEAN, _BIGINT, _SMALLINT, _TEXT, _TIMESTAMPTZ, _UUID, _JSONB = 16, 20, 21, 25, 1184, 2950, 3802
_NULL = struct.pack(">i", -1)
_length = struct.Struct(">i").pack
# Timestamps are counted from the year 2000.
_EPOCH_MS = 946_684_800_000


class Column(bytes):
    """An array in binary form."""


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj


def register_columns(context: AdaptContext) -> None:
    """Let a connection take columns as parameters."""
    assert context.adapters is not None
    context.adapters.register_dumper(Column, _ColumnDumper)


def bigints(values: Sequence[int]) -> Column:
    """Return a bigint[]. Raises DataError for what is none."""
    return _header(_BIGINT, len(values), _fixed("iq", 8, values))


def smallints(values: Sequence[int]) -> Column:
    """Return a smallint[]. Raises DataError for what is none."""
    return _header(_SMALLINT, len(values), _fixed("ih", 2, values))


def booleans(values: Sequence[bool]) -> Column:
    """Return a boolean[]."""
    return _header(_BOOLEAN, len(values), _fixed("i?", 1, values))


def timestamps(values_ms: Sequence[int]) -> Column:
    """Return a timestamptz[] of Unix milliseconds."""
    micros = [(value - _EPOCH_MS) * 1000 for value in values_ms]
    return _header(_TIMESTAMPTZ, len(micros), _fixed("iq", 8, micros))


def uuids(values: Sequence[str]) -> Column:
    """Return a uuid[]. Raises DataError for what is none."""
    try:
        raw = [bytes.fromhex(value.replace("-", "")) for value in values]
    except ValueError as error:
        raise psycopg.DataError(f"Not a UUID: {error}.") from error
    return _variable(_UUID, raw)


def texts(values: Sequence[str]) -> Column:
    """Return a text[]."""
    return _variable(_TEXT, _all_encoded(values))


def optional_texts(values: Sequence[str | None]) -> Column:
    """Return a text[], with nulls for what is None."""
    encoded = _all_encoded([value or "" for value in values])
    lengths = [
        _NULL if value is None else _length(len(cell))
        for value, cell in zip(values, encoded, strict=True)
    ]
    return _interleaved(_TEXT, lengths, encoded)


def words(values: Sequence[str]) -> Column:
    """Return a text[] of values that come again and again, each encoded once."""
    cells = {value: _cell(value) for value in set(values)}
    return _header(_TEXT, len(values), b"".join([cells[value] for value in values]))


def jsonbs(values: Sequence[str]) -> Column:
    """Return a jsonb[] of JSON texts."""
    # The binary form is a version, then the text.
    return _variable(_JSONB, [b"\x01" + value for value in _all_encoded(values)])


def _all_encoded(values: Sequence[str]) -> list[bytes]:
    try:
        return [value.encode() for value in values]
    except UnicodeEncodeError:
        return [_encoded(value) for value in values]


def _cell(value: str) -> bytes:
    encoded = _encoded(value)
    return _length(len(encoded)) + encoded


def _encoded(value: str) -> bytes:
    # What is no Unicode is for the server to refuse, with the row that has it.
    return value.encode("utf-8", "surrogatepass")


def _fixed(layout: str, size: int, values: Sequence[int]) -> bytes:
    numbers = [size] * (2 * len(values))
    numbers[1::2] = values
    try:
        return struct.pack(">" + layout * len(values), *numbers)
    except struct.error as error:
        raise psycopg.DataError(f"Not a number of {size} bytes: {error}.") from error


def _variable(element: int, values: Sequence[bytes]) -> Column:
    return _interleaved(element, map(_length, map(len, values)), values)


def _interleaved(element: int, lengths: Iterable[bytes], values: Sequence[bytes]) -> Column:
    cells = [b""] * (2 * len(values))
    cells[::2] = lengths
    cells[1::2] = values
    return _header(element, len(values), b"".join(cells))


def _header(element: int, count: int, elements: bytes) -> Column:
    if not count:
        return Column(struct.pack(">iii", 0, 0, element))
    # Dimensions, whether nulls may come, the type; then the length and the first index.
    return Column(struct.pack(">iiiii", 1, 1, element, count, 1) + elements)
