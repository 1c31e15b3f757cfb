"""AdminService: grants."""

from __future__ import annotations

from typing import Any

import grpc

from authority.domain.grants import Grant
from authority.domain.money import Unit
from authority.rpc.caller import read_cause
from authority.rpc.convert import grant_to_proto
from authority.rpc.grant_requests import read_create_grant, read_grant_id
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.requests import Reader, enum_name
from authority.rpc.shield import Shield
from authority.usecases import grants
from authority.usecases.context import Context
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc, resources_pb2

Call = grpc.aio.ServicerContext[Any, Any]


class GrantServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """The part of AdminService that is about grants."""

    _context: Context
    _shield: Shield

    async def CreateGrant(
        self, request: messages.CreateGrantRequest, context: Call
    ) -> messages.CreateGrantResponse:
        work = grants.create_grant(self._context, read_create_grant(request))
        grant, replayed = await self._shield.run(work)
        return messages.CreateGrantResponse(grant=await self._shown(grant), replayed=replayed)

    async def VoidGrant(
        self, request: messages.VoidGrantRequest, context: Call
    ) -> messages.VoidGrantResponse:
        reader = Reader()
        key = reader.key(request.idempotency_key)
        grant_id = read_grant_id(reader, request.grant_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = grants.void_grant(self._context, key, grant_id, cause)
        grant, replayed = await self._shield.run(work)
        return messages.VoidGrantResponse(grant=await self._shown(grant), replayed=replayed)

    async def GetGrant(
        self, request: messages.GetGrantRequest, context: Call
    ) -> messages.GetGrantResponse:
        reader = Reader()
        grant_id = read_grant_id(reader, request.grant_id)
        reader.finish()
        grant = await grants.find_grant(self._context, grant_id)
        return messages.GetGrantResponse(grant=await self._shown(grant))

    async def ListGrants(
        self, request: messages.ListGrantsRequest, context: Call
    ) -> messages.ListGrantsResponse:
        reader = Reader()
        account = reader.account(request.account)
        size = reader.page_size(request.page_size)
        unit: Unit | None = None
        unit_name = enum_name(resources_pb2.Unit, request.unit)
        if unit_name != "UNIT_UNSPECIFIED":
            unit = reader.unit("unit", unit_name)
        reader.finish()
        await self._context.policies.of(account)
        scope = ["grants", account, unit or ""]
        (before,) = read_page_token(request.page_token, scope, [""])
        rows = await self._context.ledger.list_grants(account, unit, before, size + 1)
        page = await grants.balances(self._context, account, rows[:size])
        more = make_page_token(scope, [rows[size - 1].grant_id]) if len(rows) > size else ""
        return messages.ListGrantsResponse(grants=map(grant_to_proto, page), next_page_token=more)

    async def _shown(self, grant: Grant) -> resources_pb2.Grant:
        """Return a grant as it is now, with its counts."""
        stored = await grants.find_grant(self._context, grant.grant_id)
        (balance,) = await grants.balances(self._context, grant.account, [stored])
        return grant_to_proto(balance)
