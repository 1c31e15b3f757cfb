"""API keys: made, listed and revoked in the ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from authority.domain.callers import ApiKey, ApiKeyChange, ApiKeyStore, Caller, Cause
from authority.domain.errors import InvalidRequest, NotAllowed, NotFound
from authority.domain.ids import PLATFORM
from authority.domain.tokens import Token
from authority.usecases.context import Context
from authority.usecases.credentials import Credentials


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """What the use cases below work with."""

    context: Context
    store: ApiKeyStore
    credentials: Credentials


async def create_api_key(keys: ApiKeys, wanted: ApiKey, cause: Cause) -> tuple[ApiKey, Token]:
    """Make an API key as `wanted`, but for its id and time; the token is not kept.

    Raises NotFound (the tenant), InvalidRequest, Unavailable.
    """
    if wanted.tenant != PLATFORM:
        await keys.context.policies.account(wanted.tenant)
    now = _now(keys)
    if wanted.expire_time is not None and wanted.expire_time <= now:
        raise InvalidRequest.of("api_key.expire_time", "must be in the future, or not set")
    token = Token.new()
    made = replace(wanted, api_key_id=token.api_key_id, create_time=now)
    await keys.store.insert(made, token.secret_hash, cause)
    return made, token


async def update_api_key(
    keys: ApiKeys, api_key_id: str, change: ApiKeyChange, caller: Caller, cause: Cause
) -> ApiKey:
    """Change an API key; it binds in every process within seconds, in this one at once.

    Raises NotFound, NotAllowed (it is of another tenant), Unavailable.
    """
    await _check_owner(keys, api_key_id, caller)
    changed = await keys.store.update(api_key_id, change, _now(keys), cause)
    if changed is None:
        raise NotFound("api_key", api_key_id)
    keys.credentials.forget(api_key_id)
    return changed


async def revoke_api_key(keys: ApiKeys, api_key_id: str, caller: Caller, cause: Cause) -> ApiKey:
    """End an API key; every process refuses it within seconds, this one at once.

    Raises NotFound, NotAllowed (it is of another tenant), Unavailable.
    """
    await _check_owner(keys, api_key_id, caller)
    revoked = await keys.store.revoke(api_key_id, _now(keys), cause)
    if revoked is None:
        raise NotFound("api_key", api_key_id)
    keys.credentials.forget(api_key_id)
    return revoked


async def _check_owner(keys: ApiKeys, api_key_id: str, caller: Caller) -> None:
    found = await keys.store.find(api_key_id)
    if found is None:
        raise NotFound("api_key", api_key_id)
    if caller.bound_to not in ("", found.key.tenant):
        raise NotAllowed(f"The API key {api_key_id} is of another tenant.", tenant=caller.bound_to)


def _now(keys: ApiKeys) -> datetime:
    return datetime.fromtimestamp(keys.context.clock.now_ms() / 1000, UTC)
