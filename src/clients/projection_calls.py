"""What will be spent."""

from __future__ import annotations

from authority.v1 import usage_service_pb2 as messages
from clients.convert_projections import projections_from_proto
from clients.credit_calls import CreditCalls
from clients.projection_types import Projections
from clients.requests import message


class ProjectionCalls(CreditCalls):
    """The part of the usage client that is about the time to come."""

    async def get_projection(self, account: str, budget: str = "") -> Projections:
        """Return what one of an account's own budgets, or all that bind it, will be charged."""
        request = message(messages.GetProjectionRequest, account=account, budget=budget)
        return projections_from_proto(await self._call(self._stub.GetProjection, request))
