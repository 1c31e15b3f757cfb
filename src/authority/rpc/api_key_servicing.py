"""AdminService's part about API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc

from authority.domain.callers import SUBMISSIONS_PER_MINUTE_MAX, ApiKey, ApiKeyChange, Scope
from authority.domain.ids import PLATFORM
from authority.domain.tokens import is_api_key_id
from authority.rpc.caller import current_caller, read_cause
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader, enum_name
from authority.usecases.api_keys import ApiKeys, create_api_key, revoke_api_key, update_api_key
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]
_DISPLAY_NAME_LENGTH_MAX = 128
_NOT_YET = datetime.fromtimestamp(0, UTC)


class ApiKeyServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """Makes, lists and revokes API keys."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def CreateApiKey(
        self, request: messages.CreateApiKeyRequest, context: Call
    ) -> messages.CreateApiKeyResponse:
        reader = Reader()
        wanted = _read_api_key(reader, request.api_key)
        cause = read_cause(reader, request.reason)
        reader.finish()
        made, token = await create_api_key(self._api_keys, wanted, cause)
        return messages.CreateApiKeyResponse(api_key=_to_proto(made), token=token.text)

    async def ListApiKeys(
        self, request: messages.ListApiKeysRequest, context: Call
    ) -> messages.ListApiKeysResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        if request.tenant and request.tenant != PLATFORM:
            reader.tenant(request.tenant)
        reader.finish()
        scope = ["api_keys", request.tenant]
        (after,) = read_page_token(request.page_token, scope, [""])
        rows = await self._api_keys.store.list(request.tenant, after, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].api_key_id]) if len(rows) > size else ""
        return messages.ListApiKeysResponse(api_keys=map(_to_proto, page), next_page_token=more)

    async def UpdateApiKey(
        self, request: messages.UpdateApiKeyRequest, context: Call
    ) -> messages.UpdateApiKeyResponse:
        reader, wanted = Reader(), request.api_key
        _read_api_key_id(reader, wanted.api_key_id, "api_key.api_key_id")
        mask = reader.mask(request.update_mask, ("display_name", "submissions_per_minute"))
        change = ApiKeyChange(
            display_name=_read_display_name(reader, wanted) if "display_name" in mask else None,
            submissions_per_minute=(
                _read_rate(reader, wanted) if "submissions_per_minute" in mask else None
            ),
        )
        cause = read_cause(reader, request.reason)
        reader.finish()
        changed = await update_api_key(
            self._api_keys, wanted.api_key_id, change, current_caller(), cause
        )
        return messages.UpdateApiKeyResponse(api_key=_to_proto(changed))

    async def RevokeApiKey(
        self, request: messages.RevokeApiKeyRequest, context: Call
    ) -> messages.RevokeApiKeyResponse:
        reader = Reader()
        _read_api_key_id(reader, request.api_key_id, "api_key_id")
        cause = read_cause(reader, request.reason)
        reader.finish()
        caller = current_caller()
        revoked = await revoke_api_key(self._api_keys, request.api_key_id, caller, cause)
        return messages.RevokeApiKeyResponse(api_key=_to_proto(revoked))


def _read_api_key(reader: Reader, wanted: messages.ApiKey) -> ApiKey:
    if wanted.tenant != PLATFORM:
        _read_tenant(reader, wanted.tenant)
    if wanted.api_key_id:
        reader.wrong("api_key.api_key_id", "is chosen by the authority; leave it out")
    if not wanted.scopes:
        reader.wrong("api_key.scopes", "must name one scope or more")
    expire_time = None
    if wanted.HasField("expire_time"):
        try:
            expire_time = wanted.expire_time.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            reader.wrong("api_key.expire_time", "must be a time of the years 1 to 9999")
    made = ApiKey(
        api_key_id="",
        tenant=wanted.tenant,
        scopes=frozenset(
            reader.word(
                f"api_key.scopes[{index}]", "SCOPE", enum_name(messages.Scope, number), Scope, None
            )
            for index, number in enumerate(wanted.scopes[: len(Scope)])
        ),
        display_name=_read_display_name(reader, wanted),
        create_time=_NOT_YET,
        expire_time=expire_time,
        submissions_per_minute=_read_rate(reader, wanted),
    )
    if len(wanted.scopes) > len(Scope):
        reader.wrong("api_key.scopes", f"must name at most {len(Scope)} scopes")
    return made


def _read_api_key_id(reader: Reader, api_key_id: str, field: str) -> None:
    if not is_api_key_id(api_key_id):
        reader.wrong(field, "must be an API key's id, which is its part behind `pm_`")


def _read_display_name(reader: Reader, wanted: messages.ApiKey) -> str:
    return reader.text("api_key.display_name", wanted.display_name, _DISPLAY_NAME_LENGTH_MAX)


def _read_rate(reader: Reader, wanted: messages.ApiKey) -> int:
    rate = wanted.submissions_per_minute
    if not 0 <= rate <= SUBMISSIONS_PER_MINUTE_MAX:
        reader.wrong(
            "api_key.submissions_per_minute",
            f"must be from 1 to {SUBMISSIONS_PER_MINUTE_MAX}, or 0 for no limit, not {rate}",
        )
    return rate


def _read_tenant(reader: Reader, tenant: str) -> None:
    if "/" in tenant:
        reader.wrong("api_key.tenant", "must be a tenant or `platform`, not an account below one")
    else:
        reader.account(tenant, "api_key.tenant")


def _to_proto(key: ApiKey) -> messages.ApiKey:
    made = messages.ApiKey(
        api_key_id=key.api_key_id,
        tenant=key.tenant,
        scopes=[messages.Scope.Value(f"SCOPE_{scope}") for scope in Scope if scope in key.scopes],
        display_name=key.display_name,
        submissions_per_minute=key.submissions_per_minute,
    )
    made.create_time.FromDatetime(key.create_time)
    if key.expire_time is not None:
        made.expire_time.FromDatetime(key.expire_time)
    if key.revoke_time is not None:
        made.revoke_time.FromDatetime(key.revoke_time)
    return made
