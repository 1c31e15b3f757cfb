"""AdminService: the record of changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc

from authority.domain.callers import Scope
from authority.domain.changes import Change, ChangeFilter
from authority.domain.ids import PLATFORM
from authority.rpc.caller import current_caller
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader
from authority.usecases.context import Context
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class ChangeServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """Lists who changed what."""

    _context: Context

    async def ListChanges(
        self, request: messages.ListChangesRequest, context: Call
    ) -> messages.ListChangesResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        if request.tenant and request.tenant != PLATFORM:
            reader.tenant(request.tenant)
        if request.account:
            reader.account(request.account)
        reader.finish()
        # The tenant of a caller that is bound to one was filled in when the call was let in.
        scope = ["changes", request.tenant, request.account]
        (before,) = read_page_token(request.page_token, scope, [""])
        wanted = ChangeFilter(
            request.tenant, request.account, with_api_keys=current_caller().may(Scope.ADMIN)
        )
        rows = await self._context.ledger.list_changes(wanted, page_number(before), size + 1)
        page = rows[:size]
        more = make_page_token(scope, [str(page[-1].change_number)]) if len(rows) > size else ""
        return messages.ListChangesResponse(changes=map(_to_proto, page), next_page_token=more)


def _to_proto(change: Change) -> messages.Change:
    message = messages.Change(
        change_number=change.change_number,
        tenant=change.tenant,
        method=change.method,
        resource_type=change.resource_type,
        resource=change.resource,
        actor=change.cause.actor,
        reason=change.cause.reason,
        before="" if change.before is None else _json(change.before),
        after=_json(change.after),
    )
    message.change_time.FromDatetime(change.change_time)
    return message


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
