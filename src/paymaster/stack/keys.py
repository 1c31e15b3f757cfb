"""The API keys that a stack makes for itself, and keeps from one run to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from authority.domain.callers import ApiKey, Cause, Scope
from authority.domain.ids import PLATFORM
from authority.domain.tokens import Token
from authority.embedded import write_private
from authority.ledger.api_keys import ensure_api_key

_CAUSE = Cause("paymaster dev", "for the parts of the stack itself")


async def kept_token(
    database_url: str, file: Path, display_name: str, scopes: Iterable[Scope], now: datetime
) -> str:
    """Return the token in a file, good for the whole platform with these scopes.

    What the file has is good for an empty database too, as for one that was emptied; a new token
    is made where there is none, or where the one there was revoked. Raises psycopg.Error.
    """
    token = await asyncio.to_thread(_read, file)
    while True:
        if token is None:
            token = Token.new()
            # Written first: should this process die in between, the next run adds it.
            await asyncio.to_thread(write_private, file, f"{token.text}\n")
        key = ApiKey(token.api_key_id, PLATFORM, frozenset(scopes), display_name, create_time=now)
        if await ensure_api_key(database_url, token, key, _CAUSE):
            return token.text
        token = None


def _read(file: Path) -> Token | None:
    try:
        return Token.parse(file.read_text(encoding="utf-8").strip())
    except (FileNotFoundError, UnicodeDecodeError):
        return None
