"""Plans: named sets of budgets, grants and limits, which accounts get by their name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from authority.v1 import admin_service_pb2 as messages
from authority.v1.admin_service_pb2_grpc import AdminServiceStub
from clients.amounts import Leg
from clients.channel import Client
from clients.convert_plans import plan_from_proto, plan_to_proto, version_from_proto
from clients.plan_types import AbusePolicy, Plan, PlanBudget, PlanGrant, PlanVersion
from clients.requests import changed_mask, message

_PAGE_SIZE = 500


class PlanCalls(Client):
    """The part of the admin's client that is about plans."""

    def _make_stub(self) -> None:
        self._stub = AdminServiceStub(self._channel)

    async def create_plan(
        self,
        plan: str,
        *,
        budgets: Sequence[PlanBudget] = (),
        grants: Sequence[PlanGrant] = (),
        per_request_limits: Sequence[Leg] = (),
        reserves_per_minute: int = 0,
        tier: str = "",
        submissions_per_minute: int | None = None,
        abuse: AbusePolicy | None = None,
        reason: str = "",
    ) -> Plan:
        """Make a plan. Without `submissions_per_minute` it is 10; 0 is for no limit."""
        wanted = plan_to_proto(
            plan,
            budgets,
            grants,
            per_request_limits,
            reserves_per_minute,
            tier,
            submissions_per_minute,
            abuse,
        )
        request = message(messages.CreatePlanRequest, plan=wanted, reason=reason)
        response = await self._call(self._stub.CreatePlan, request, repeatable=False)
        return plan_from_proto(response.plan)

    async def update_plan(
        self,
        plan: str,
        *,
        budgets: Sequence[PlanBudget] | None = None,
        grants: Sequence[PlanGrant] | None = None,
        per_request_limits: Sequence[Leg] | None = None,
        reserves_per_minute: int | None = None,
        tier: str | None = None,
        submissions_per_minute: int | None = None,
        abuse: AbusePolicy | None = None,
        reason: str = "",
    ) -> Plan:
        """Change what is given, which takes the place of all that it was.

        It binds the next Reserve of all accounts that have the plan. An empty `tier` is no limit,
        and an `abuse` that says nothing watches nothing.
        """
        changes = {
            "budgets": budgets,
            "grants": grants,
            "per_request_limits": per_request_limits,
            "reserves_per_minute": reserves_per_minute,
            "tier": tier,
            "submissions_per_minute": submissions_per_minute,
            "abuse": abuse,
        }
        wanted = plan_to_proto(
            plan,
            budgets or (),
            grants or (),
            per_request_limits or (),
            reserves_per_minute or 0,
            tier or "",
            submissions_per_minute,
            abuse,
        )
        mask = changed_mask(changes)
        request = message(messages.UpdatePlanRequest, plan=wanted, update_mask=mask, reason=reason)
        response = await self._call(self._stub.UpdatePlan, request)
        return plan_from_proto(response.plan)

    async def list_plan_versions(self, plan: str) -> AsyncIterator[PlanVersion]:
        """Yield all versions of a plan, the latest first."""
        token = ""
        while True:
            request = message(
                messages.ListPlanVersionsRequest,
                plan=plan,
                page_size=_PAGE_SIZE,
                page_token=token,
            )
            response = await self._call(self._stub.ListPlanVersions, request)
            for version in response.versions:
                yield version_from_proto(version)
            token = response.next_page_token
            if not token:
                return

    async def get_plan(self, plan: str, version: int = 0) -> Plan:
        """Return a plan as it is, or as one of its versions was."""
        request = message(messages.GetPlanRequest, plan=plan, version=version)
        response = await self._call(self._stub.GetPlan, request)
        return plan_from_proto(response.plan)

    async def list_plans(self) -> AsyncIterator[Plan]:
        """Yield all plans in the order of their ids."""
        token = ""
        while True:
            request = message(messages.ListPlansRequest, page_size=_PAGE_SIZE, page_token=token)
            response = await self._call(self._stub.ListPlans, request)
            for plan in response.plans:
                yield plan_from_proto(plan)
            token = response.next_page_token
            if not token:
                return
