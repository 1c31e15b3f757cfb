"""AdminService: plans."""

from __future__ import annotations

from typing import Any

import grpc

from authority.rpc.caller import current_caller, read_cause
from authority.rpc.convert import plan_to_proto
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.plan_requests import read_plan, read_plan_change, read_plan_id
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.usecases import plans
from authority.usecases.context import Context
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class PlanServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """The part of AdminService that is about plans."""

    _context: Context
    _shield: Shield

    async def CreatePlan(
        self, request: messages.CreatePlanRequest, context: Call
    ) -> messages.CreatePlanResponse:
        reader = Reader()
        plan = read_plan(reader, request.plan)
        cause = read_cause(reader, request.reason)
        reader.finish()
        made = await plans.create_plan(self._context, plan, cause)
        return messages.CreatePlanResponse(plan=plan_to_proto(made))

    async def UpdatePlan(
        self, request: messages.UpdatePlanRequest, context: Call
    ) -> messages.UpdatePlanResponse:
        reader = Reader()
        plan = read_plan_id(reader, request.plan.plan, "plan.plan")
        change = read_plan_change(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        changed = await self._shield.run(plans.update_plan(self._context, plan, change, cause))
        return messages.UpdatePlanResponse(plan=plan_to_proto(changed))

    async def GetPlan(
        self, request: messages.GetPlanRequest, context: Call
    ) -> messages.GetPlanResponse:
        reader = Reader()
        plan = read_plan_id(reader, request.plan)
        if request.version < 0:
            reader.wrong("version", "must be one of the plan's versions, or 0 for the present one")
        reader.finish()
        ledger = self._context.ledger
        if request.version:
            found = await ledger.plan_version(plan, request.version)
        else:
            found = await ledger.plan(plan)
        return messages.GetPlanResponse(plan=plan_to_proto(found))

    async def ListPlanVersions(
        self, request: messages.ListPlanVersionsRequest, context: Call
    ) -> messages.ListPlanVersionsResponse:
        reader = Reader()
        plan = read_plan_id(reader, request.plan)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["plan_versions", plan]
        (before,) = read_page_token(request.page_token, scope, [""])
        await self._context.ledger.plan(plan)
        rows = await self._context.ledger.list_plan_versions(plan, page_number(before), size + 1)
        page = rows[:size]
        more = make_page_token(scope, [str(page[-1].plan.version)]) if len(rows) > size else ""
        # Who works for the platform, and why, is not for its tenants.
        shows_cause = not current_caller().bound_to
        versions = [
            messages.PlanVersion(
                plan=plan_to_proto(row.plan),
                actor=row.cause.actor if shows_cause else "",
                reason=row.cause.reason if shows_cause else "",
            )
            for row in page
        ]
        return messages.ListPlanVersionsResponse(versions=versions, next_page_token=more)

    async def ListPlans(
        self, request: messages.ListPlansRequest, context: Call
    ) -> messages.ListPlansResponse:
        reader = Reader()
        size = reader.page_size(request.page_size)
        reader.finish()
        (after,) = read_page_token(request.page_token, ["plans"], [""])
        rows = await self._context.ledger.list_plans(after, size + 1)
        page = rows[:size]
        more = make_page_token(["plans"], [page[-1].plan]) if len(rows) > size else ""
        return messages.ListPlansResponse(plans=map(plan_to_proto, page), next_page_token=more)
