"""The ids of accounts, reservations and keys, and what each must look like."""

from __future__ import annotations

import re

PLATFORM = "platform"
IDEMPOTENCY_KEY_LENGTH_MAX = 128
# Of what the authority books back by itself; no caller's key begins so.
REVERSAL_PREFIX = "cache-reversal/"
# Of what it corrects by a provider's bill.
BILL_PREFIX = "bill-adjustment/"

_TENANT = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
_LOCAL = r"[A-Za-z0-9](?:[A-Za-z0-9._@|+:~-]{0,98}[A-Za-z0-9])?"
_ACCOUNT = re.compile(rf"{_TENANT}(?:/{_LOCAL})?")
_BUDGET = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAN = re.compile(_TENANT)
_UUID7 = re.compile(
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}"
)
_OWNED = re.compile(rf"{_TENANT}/[0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}")

ACCOUNT_FORM = (
    "a tenant such as `acme` (lower-case letters, digits, hyphens, at most 40 characters), or an "
    "account below it such as `acme/alice`"
)


def is_account(text: str) -> bool:
    """Say whether `text` has the form of an account's id."""
    return _ACCOUNT.fullmatch(text) is not None


def is_budget(text: str) -> bool:
    """Say whether `text` has the form of a budget's id."""
    return _BUDGET.fullmatch(text) is not None


def is_plan(text: str) -> bool:
    """Say whether `text` has the form of a plan's id."""
    return _PLAN.fullmatch(text) is not None


def is_owned_id(text: str) -> bool:
    """Say whether `text` has the form of a reservation's or generation's id: `tenant/uuid`."""
    return _OWNED.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Say whether `text` may be an idempotency key: 1 to 128 printable characters."""
    return 1 <= len(text) <= IDEMPOTENCY_KEY_LENGTH_MAX and text.isprintable()


def tenant_of(name: str) -> str:
    """Return the tenant of an account, a reservation or a generation: the part before the slash."""
    return name.partition("/")[0]


def uuid_of(name: str) -> str:
    """Return the part of a reservation's id behind the slash."""
    return name.partition("/")[2]


def uuid7_floor(moment_ms: int) -> str:
    """Return what no UUIDv7 of that Unix time in milliseconds, or of a later one, sorts before."""
    digits = f"{moment_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def uuid7_milliseconds(text: str) -> int | None:
    """Return the Unix time in milliseconds that a UUIDv7 was made at; None for any other text."""
    if _UUID7.fullmatch(text) is None:
        return None
    return int(text[:8] + text[9:13], 16)
