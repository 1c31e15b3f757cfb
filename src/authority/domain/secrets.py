"""Secrets that webhooks are signed by, as Standard Webhooks writes them."""

from __future__ import annotations

import base64
import secrets

PREFIX = "whsec_"
_BYTES = 32


def new_webhook_secret() -> str:
    """Return a new secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """Return what signatures are made with."""
    return base64.b64decode(secret.removeprefix(PREFIX))
