"""Reads the named statements of the .sql files beside this one."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, NamedTuple

_MARK = "-- name: "
_PARAMETER = re.compile(r"%\((\w+)\)s")


@cache
def statements(file: str = "queries.sql") -> dict[str, LiteralString]:
    """Return the statements of a file by their names."""
    text = (files("authority.ledger") / file).read_text()
    blocks = text.split(_MARK)[1:]
    parsed = (block.partition("\n") for block in blocks)
    return {name.strip(): body.strip() for name, _, body in parsed}


class Numbered(NamedTuple):
    """A statement whose parameters have numbers, as Postgres takes it, and their names in order."""

    text: LiteralString
    names: tuple[str, ...]


def numbered(statement: LiteralString) -> Numbered:
    """Number the parameters of a statement: psycopg does it anew each time for a long one."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    text = _PARAMETER.sub(lambda match: numbers[match[1]], statement)
    return Numbered(text, names)
