"""API keys: who may call the authority, and what for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as messages
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.channel import Client
from clients.convert import api_key_from_proto
from clients.key_types import ApiKey, NewApiKey, Scope
from clients.requests import message, scopes_to_proto, time_to_proto

_PAGE_SIZE = 500


class KeyCalls(Client):
    """The part of the admin's client that is about API keys."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    async def create_api_key(
        self,
        tenant: str,
        scopes: Sequence[Scope],
        *,
        display_name: str = "",
        expire_time: datetime | None = None,
        submissions_per_minute: int = 0,
        reason: str = "",
    ) -> NewApiKey:
        """Make an API key of a tenant, or of `platform`; what it answers can't be read again."""
        wanted = message(
            messages.ApiKey,
            tenant=tenant,
            scopes=scopes_to_proto(scopes),
            display_name=display_name,
            expire_time=time_to_proto(expire_time),
            submissions_per_minute=submissions_per_minute,
        )
        request = message(messages.CreateApiKeyRequest, api_key=wanted, reason=reason)
        response = await self._call(self._stub.CreateApiKey, request, repeatable=False)
        return NewApiKey(api_key_from_proto(response.api_key), response.token)

    async def list_api_keys(self, *, tenant: str = "") -> AsyncIterator[ApiKey]:
        """Yield all API keys, or those of one tenant, in the order of their ids."""
        token = ""
        while True:
            request = message(
                messages.ListApiKeysRequest, page_size=_PAGE_SIZE, page_token=token, tenant=tenant
            )
            response = await self._call(self._stub.ListApiKeys, request)
            for key in response.api_keys:
                yield api_key_from_proto(key)
            token = response.next_page_token
            if not token:
                return

    async def update_api_key(
        self,
        api_key_id: str,
        *,
        display_name: str | None = None,
        submissions_per_minute: int | None = None,
        reason: str = "",
    ) -> ApiKey:
        """Change what is given; it binds within seconds."""
        changes = {
            "display_name": display_name,
            "submissions_per_minute": submissions_per_minute,
        }
        wanted = message(
            messages.ApiKey,
            api_key_id=api_key_id,
            display_name=display_name or "",
            submissions_per_minute=submissions_per_minute or 0,
        )
        mask = FieldMask(paths=[name for name, value in changes.items() if value is not None])
        request = message(
            messages.UpdateApiKeyRequest, api_key=wanted, update_mask=mask, reason=reason
        )
        response = await self._call(self._stub.UpdateApiKey, request)
        return api_key_from_proto(response.api_key)

    async def revoke_api_key(self, api_key_id: str, *, reason: str = "") -> ApiKey:
        """End an API key; every process refuses it within seconds."""
        request = message(messages.RevokeApiKeyRequest, api_key_id=api_key_id, reason=reason)
        response = await self._call(self._stub.RevokeApiKey, request)
        return api_key_from_proto(response.api_key)
