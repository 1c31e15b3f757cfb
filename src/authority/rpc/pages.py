"""Page tokens: opaque to callers, and good only for the listing that they were made in."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from authority.domain.errors import InvalidRequest

# Two ids of 141 characters at the most, and the listing's own arguments.
_TOKEN_LENGTH_MAX = 1024
_NUMBER_LENGTH_MAX = 18  # fits 64 bits


def make_page_token(scope: list[str], after: list[str]) -> str:
    """Return a token for the page that begins after the row with the key `after`.

    Args:
        scope: the other arguments of the listing, which the token is bound to.
        after: the sort key of the last row of the page before.

    """
    return base64.urlsafe_b64encode(json.dumps([scope, after]).encode()).decode()


def read_page_token(
    token: str, scope: list[str], start: list[str], *, field: str = "page_token"
) -> list[str]:
    """Return the key that the page begins after; `start` if there is no token.

    Raises:
        InvalidRequest: the token is malformed or was made by another listing.

    """
    if not token:
        return start
    after = _decoded(token, scope)
    # What follows goes into a statement, and a token may have been made by anybody.
    if len(after) != len(start) or not all(_is_name(part) for part in after):
        raise _not_of_this_listing(field)
    return after


def page_number(part: str) -> int:
    """Read a number in a page's key; 0 for what is empty. Raises InvalidRequest."""
    if not part:
        return 0
    if not part.isascii() or not part.isdecimal() or len(part) > _NUMBER_LENGTH_MAX:
        raise _not_of_this_listing()
    return int(part)


def page_moment(part: str) -> str:
    """Read a day or a time in a page's key; '' for what is empty. Raises InvalidRequest."""
    try:
        return datetime.fromisoformat(part).isoformat() if part else ""
    except ValueError:
        raise _not_of_this_listing() from None


def _not_of_this_listing(field: str = "page_token") -> InvalidRequest:
    return InvalidRequest.of(
        field, "must be what the same listing has answered last; leave it out to start"
    )


def _decoded(token: str, scope: list[str]) -> list[Any]:
    """Return what a token of the listing holds; nothing if it is none."""
    if len(token) > _TOKEN_LENGTH_MAX:
        return []
    try:
        of, after = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError):
        return []
    return after if of == scope and isinstance(after, list) else []


def _is_name(part: object) -> bool:
    return isinstance(part, str) and part.isprintable()
