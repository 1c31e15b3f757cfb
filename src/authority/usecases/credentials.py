"""Who is behind a token: the platform's root token, or an API key of the ledger's.

API keys are kept in this process for KEY_SECONDS, so that a revocation binds within that time. One
that was seen outlives a fault of the ledger: it goes on as it was last read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from authority.domain.callers import ROOT, ApiKeyStore, Caller, StoredKey
from authority.domain.errors import NotSignedIn, Unavailable
from authority.domain.tokens import Token

KEY_SECONDS = 3.0
KEYS_MAX = 10_000
# How long a call with a key that was seen waits for the ledger to say that it still holds.
_READ_SECONDS_MAX = 0.5

_WAY_OUT = (
    "Send `authorization: Bearer TOKEN`, for instance with PAYMASTER_TOKEN_FILE naming the file "
    "that holds it. `paymaster keys create` makes a token; the first one with the root token, "
    "which is what the authority was started with as PAYMASTER_TOKEN."
)


@dataclass(slots=True)
class _Seen:
    """A key as it was last read, and till when nobody has to read it again."""

    stored: StoredKey
    fresh_until: float


class _Known(NamedTuple):
    """Whom a token let in, for as long as what was read of its key is fresh."""

    seen: _Seen
    caller: Caller
    expire_ms: float


class Credentials:
    """Lets callers in. `root_token` has every scope; '' if there is none."""

    def __init__(
        self,
        keys: ApiKeyStore,
        root_token: str,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._root = root_token.encode()
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._reads: dict[str, asyncio.Task[_Seen | None]] = {}
        # By a hash of the token: nothing keeps a secret.
        self._known: dict[bytes, _Known] = {}

    def known(self, text: str) -> Caller | None:
        """Return whom a token lets in; None if that is for `caller` to find out, or to refuse."""
        known = self._known.get(_hash_of(text))
        if known is None or self._seen.get(known.caller.id) is not known.seen:
            return None  # It was never here, or its key was read again since.
        if self._monotonic() >= known.seen.fresh_until or self._now_ms() >= known.expire_ms:
            return None
        return known.caller

    async def caller(self, text: str) -> Caller:
        """Return whom a token lets in.

        Raises NotSignedIn; Unavailable for a key that was not seen yet while the ledger is away.
        """
        if not text:
            raise NotSignedIn(f"The call has no token. {_WAY_OUT}")
        if self._root and hmac.compare_digest(text.encode(), self._root):
            return ROOT
        token = Token.parse(text)
        seen = token and await self._fresh(token.api_key_id)
        # One answer for all that is wrong with a secret or an id: a guess learns nothing from it.
        if not token or not seen or not token.matches(seen.stored.secret_hash):
            raise NotSignedIn(f"The token is wrong. {_WAY_OUT}")
        key = seen.stored.key
        if key.revoke_time is not None:
            raise NotSignedIn(f"The API key {key.api_key_id} was revoked; ask for a new one.")
        expire_ms = key.expire_time.timestamp() * 1000 if key.expire_time else math.inf
        if expire_ms <= self._now_ms():
            raise NotSignedIn(f"The API key {key.api_key_id} has expired; ask for a new one.")
        while len(self._known) >= KEYS_MAX:
            self._known.pop(next(iter(self._known)))
        known = self._known[_hash_of(text)] = _Known(seen, key.caller(), expire_ms)
        return known.caller

    def forget(self, api_key_id: str) -> None:
        """Read a key again before it next lets anybody in: this process has changed it."""
        if seen := self._seen.get(api_key_id):
            seen.fresh_until = 0.0

    async def _fresh(self, api_key_id: str) -> _Seen | None:
        seen = self._seen.get(api_key_id)
        if seen and self._monotonic() < seen.fresh_until:
            return seen
        read = self._read(api_key_id)
        if seen is None:
            return await asyncio.shield(read)
        try:
            # Not cancelled when the time is over: it may answer the calls after this one.
            async with asyncio.timeout(_READ_SECONDS_MAX):
                return await asyncio.shield(read)
        except (Unavailable, TimeoutError):
            seen.fresh_until = self._monotonic() + KEY_SECONDS
            return seen

    def _read(self, api_key_id: str) -> asyncio.Task[_Seen | None]:
        """Return the read that is under way, so that calls at one moment ask the ledger once."""
        task = self._reads.get(api_key_id)
        if task is None:
            task = self._reads[api_key_id] = asyncio.create_task(self._find(api_key_id))
            task.add_done_callback(lambda done: self._finished(api_key_id, done))
        return task

    async def _find(self, api_key_id: str) -> _Seen | None:
        fresh_until = self._monotonic() + KEY_SECONDS
        stored = await self._keys.find(api_key_id)
        if stored is None:
            self._seen.pop(api_key_id, None)
            return None
        while len(self._seen) >= KEYS_MAX and api_key_id not in self._seen:
            self._seen.pop(next(iter(self._seen)))
        seen = self._seen[api_key_id] = _Seen(stored, fresh_until)
        return seen

    def _finished(self, api_key_id: str, task: asyncio.Task[_Seen | None]) -> None:
        del self._reads[api_key_id]
        if not task.cancelled():
            task.exception()  # it was told to the callers, or they have left


def _hash_of(text: str) -> bytes:
    # Whatever a caller sends is a str, if need be one that can't be encoded.
    return hashlib.sha256(text.encode(errors="replace")).digest()
