"""Reads the named statements of the .sql files beside this one."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString

_MARK = "-- name: "


@cache
def statements(file: str = "queries.sql") -> dict[str, LiteralString]:
    """Return the statements of a file by their names."""
    text = (files("authority.ledger") / file).read_text()
    blocks = text.split(_MARK)[1:]
    parsed = (block.partition("\n") for block in blocks)
    return {name.strip(): body.strip() for name, _, body in parsed}
