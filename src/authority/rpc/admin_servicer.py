"""AdminService: the audit, how things are, and the parts that are about one kind of thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from authority.domain.errors import NotFound
from authority.recovery.audit import Report
from authority.recovery.rebuild import Rebuilt
from authority.rpc.account_servicing import AccountServicing
from authority.rpc.api_key_servicing import ApiKeyServicing
from authority.rpc.change_servicing import ChangeServicing
from authority.rpc.grant_servicing import GrantServicing
from authority.rpc.ledger_servicing import LedgerServicing
from authority.rpc.plan_servicing import PlanServicing
from authority.rpc.price_servicing import PriceServicing
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.usecases.api_keys import ApiKeys
from authority.usecases.context import Context
from authority.usecases.past import Past
from authority.v1 import admin_service_pb2 as messages

Call = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(
    ApiKeyServicing,
    AccountServicing,
    PlanServicing,
    GrantServicing,
    PriceServicing,
    ChangeServicing,
    LedgerServicing,
):
    """What the owners and the operators of budgets do."""

    def __init__(
        self,
        context: Context,
        audit: Callable[[str], Awaitable[Report]],
        status: Callable[[], Awaitable[messages.GetStatusResponse]],
        api_keys: ApiKeys,
        shield: Shield,
        past: Past,
        rebuild: Callable[[str], Awaitable[Rebuilt]],
    ) -> None:
        super().__init__(api_keys)
        self._past = past
        self._rebuild = rebuild
        self._context = context
        self._shield = shield
        self._audit = audit
        self._status = status

    async def Audit(self, request: messages.AuditRequest, context: Call) -> messages.AuditResponse:
        if request.tenant:
            reader = Reader()
            reader.tenant(request.tenant)
            reader.finish()
            if await self._context.ledger.policy(request.tenant) is None:
                raise NotFound("tenant", request.tenant)
        report = await self._audit(request.tenant)
        return messages.AuditResponse(
            differences=[messages.AuditDifference(**row._asdict()) for row in report.differences],
            tenant_count=report.tenant_count,
            operation_count=report.operation_count,
            window_count=report.window_count,
            reservation_count=report.reservation_count,
        )

    async def GetStatus(
        self, request: messages.GetStatusRequest, context: Call
    ) -> messages.GetStatusResponse:
        return await self._status()
