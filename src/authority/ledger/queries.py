"""Reads the named statements of queries.sql."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_MARK = "-- name: "


@cache
def statements(package: str = "authority.ledger") -> dict[str, LiteralString]:
    """Return the statements of a package's queries.sql by their names."""
    text = (files(package) / "queries.sql").read_text()
    blocks = text.split(_MARK)[1:]
    parsed = (block.partition("\n") for block in blocks)
    # The text is our own file's, as constant as a literal.
    return {name.strip(): cast("LiteralString", body.strip()) for name, _, body in parsed}
