"""Who calls: what a credential stands for, what it may do, and whose things it may name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from authority.domain.ids import PLATFORM

SUBMISSIONS_PER_MINUTE_MAX = 1_000_000


class Scope(StrEnum):
    """What a caller may do."""

    SPEND = "SPEND"
    SUBMIT = "SUBMIT"
    READ = "READ"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made the call under way.

    `tenant` is the one that the caller is bound to; `platform` is bound to none.
    """

    id: str
    display_name: str
    tenant: str
    scopes: frozenset[Scope]
    submissions_per_minute: int = 0

    @property
    def bound_to(self) -> str:
        """The only tenant whose things the caller may name; '' if it may name all."""
        return "" if self.tenant == PLATFORM else self.tenant

    @property
    def actor(self) -> str:
        """The caller as the record of changes names it."""
        return f"{self.display_name} ({self.id})" if self.display_name else self.id

    def may(self, scope: Scope) -> bool:
        """Say whether the caller has a scope; ADMIN includes READ."""
        return scope in self.scopes or (scope is Scope.READ and Scope.ADMIN in self.scopes)


class Cause(NamedTuple):
    """Who asked for a change, as `Caller.actor` says, and why, as the caller said."""

    actor: str
    reason: str


ROOT = Caller("root", "root token", PLATFORM, frozenset(Scope))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A credential, without its secret. `submissions_per_minute` is 0 for no limit of its own."""

    api_key_id: str
    tenant: str
    scopes: frozenset[Scope]
    display_name: str
    create_time: datetime
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    submissions_per_minute: int = 0

    def caller(self) -> Caller:
        """Return whom the key lets in."""
        return Caller(
            self.api_key_id,
            self.display_name,
            self.tenant,
            self.scopes,
            self.submissions_per_minute,
        )


@dataclass(frozen=True, slots=True)
class ApiKeyChange:
    """What to change of an API key; None leaves it as it is."""

    display_name: str | None = None
    submissions_per_minute: int | None = None

    def apply(self, key: ApiKey) -> ApiKey:
        """Return the key as it is to be."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(key, **given)


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """A credential as it is kept."""

    key: ApiKey
    secret_hash: bytes


class ApiKeyStore(Protocol):
    """Where API keys are kept. Every method raises Unavailable."""

    async def insert(self, key: ApiKey, secret_hash: bytes, cause: Cause) -> None:
        """Add an API key, and record it."""
        ...

    async def find(self, api_key_id: str) -> StoredKey | None:
        """Return an API key with the hash of its secret."""
        ...

    async def list(self, tenant: str, after: str, limit: int) -> list[ApiKey]:
        """Return a page in the order of the ids; of all tenants if `tenant` is ''."""
        ...

    async def update(
        self, api_key_id: str, change: ApiKeyChange, change_time: datetime, cause: Cause
    ) -> ApiKey | None:
        """Change an API key, record it, and return the key; None if there is none."""
        ...

    async def revoke(self, api_key_id: str, revoke_time: datetime, cause: Cause) -> ApiKey | None:
        """End an API key, record it, and return the key; None if there is none."""
        ...
