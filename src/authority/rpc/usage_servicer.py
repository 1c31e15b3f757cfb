"""UsageService: each part of it is in a file of its own."""

from __future__ import annotations

from typing import Any

import grpc

from authority.rpc.credit_servicing import CreditServicing
from authority.usecases.context import Context
from authority.v1 import usage_service_pb2 as messages

Call = grpc.aio.ServicerContext[Any, Any]


class UsageServicer(CreditServicing):
    """What was used, what will be, and what there is to pay with."""

    def __init__(self, context: Context) -> None:
        self._context = context

    # These three are to come.

    async def QueryUsage(
        self, request: messages.QueryUsageRequest, context: Call
    ) -> messages.QueryUsageResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "It is to come.")

    async def ListUsageEvents(
        self, request: messages.ListUsageEventsRequest, context: Call
    ) -> messages.ListUsageEventsResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "It is to come.")

    async def GetProjection(
        self, request: messages.GetProjectionRequest, context: Call
    ) -> messages.GetProjectionResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "It is to come.")
