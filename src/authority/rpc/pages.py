"""Page tokens: opaque to callers, and good only for the listing that they were made in."""

from __future__ import annotations

import base64
import binascii
import json

from authority.domain.errors import InvalidRequest


def make_page_token(scope: list[str], after: list[str]) -> str:
    """Return a token for the page that begins after the row with the key `after`.

    Args:
        scope: the other arguments of the listing, which the token is bound to.
        after: the sort key of the last row of the page before.

    """
    return base64.urlsafe_b64encode(json.dumps([scope, after]).encode()).decode()


def read_page_token(token: str, scope: list[str], start: list[str]) -> list[str]:
    """Return the key that the page begins after; `start` if there is no token.

    Raises:
        InvalidRequest: the token is malformed or was made by another listing.

    """
    if not token:
        return start
    try:
        of, after = json.loads(base64.urlsafe_b64decode(token.encode()))
        valid = of == scope and isinstance(after, list) and len(after) == len(start)
        valid = valid and all(isinstance(part, str) for part in after)
    except (ValueError, TypeError, binascii.Error):
        valid = False
        after = []
    if not valid:
        raise InvalidRequest.of(
            "page_token", "must be the `next_page_token` of the same listing; leave it out to start"
        )
    return list(after)
