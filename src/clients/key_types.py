"""API keys as callers see them. Times are in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What an API key may do; ADMIN includes READ."""

    SPEND = "SPEND"
    SUBMIT = "SUBMIT"
    READ = "READ"
    ADMIN = "ADMIN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What lets a caller in, without its secret. `platform` is the tenant of those for all.

    `submissions_per_minute` is how many generations it may submit, 0 for no limit of its own.
    """

    api_key_id: str
    tenant: str
    scopes: Sequence[Scope]
    display_name: str
    create_time: datetime | None
    expire_time: datetime | None
    revoke_time: datetime | None
    submissions_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key and its token, which is shown this once and can't be had again."""

    api_key: ApiKey
    token: str = field(repr=False)
