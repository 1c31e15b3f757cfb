"""The form of an API key: `pm_<api_key_id>_<secret>`. Only a hash of the secret is ever kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Self

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 12
_SECRET_BYTES = 32
_API_KEY_ID = re.compile(rf"[a-z2-7]{{{_ID_LENGTH}}}")
# 32 bytes in base64url, without the padding.
_TOKEN = re.compile(rf"pm_({_API_KEY_ID.pattern})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A whole API key. Holds a secret: it has no repr."""

    api_key_id: str
    secret: str

    @classmethod
    def new(cls) -> Self:
        """Make one, with a secret of 256 random bits."""
        api_key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        return cls(api_key_id, secrets.token_urlsafe(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the API key that a text is; None if it has another form."""
        found = _TOKEN.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    @property
    def text(self) -> str:
        """The whole of it, as callers send it."""
        return f"pm_{self.api_key_id}_{self.secret}"

    @property
    def secret_hash(self) -> bytes:
        """What is kept. The secret is random, so that a slow hash would add nothing."""
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, secret_hash: bytes) -> bool:
        """Say whether it is the API key with that hash, in the same time for every answer."""
        return hmac.compare_digest(self.secret_hash, secret_hash)


def is_api_key_id(text: str) -> bool:
    """Say whether `text` has the form of an API key's id."""
    return _API_KEY_ID.fullmatch(text) is not None
