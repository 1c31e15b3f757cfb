"""UsageService: what will be spent."""

from __future__ import annotations

from typing import Any

import grpc

from authority.domain.projection import Forecast
from authority.rpc.convert import balance_to_proto, set_time
from authority.rpc.requests import Reader
from authority.usecases.projection import Projection, Projections
from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class ProjectionServicing(usage_service_pb2_grpc.UsageServiceServicer):
    """The part of UsageService that is about the time to come."""

    _projections: Projections

    async def GetProjection(
        self, request: messages.GetProjectionRequest, context: Call
    ) -> messages.GetProjectionResponse:
        reader = Reader()
        account = reader.account(request.account)
        budget = reader.budget(request.budget) if request.budget else ""
        reader.finish()
        found, read_ms = await self._projections.of(account, budget)
        response = messages.GetProjectionResponse(projections=map(projection_to_proto, found))
        set_time(response.read_time, read_ms)
        return response


def projection_to_proto(projection: Projection) -> messages.Projection:
    """Return the proto's message."""
    message = messages.Projection(
        balance=balance_to_proto(projection.balance),
        basis=_basis(projection.forecast),
        history_days=projection.days,
        expected=projection.expected,
        lower=projection.lower,
        upper=projection.upper,
    )
    set_time(message.exhaust_time, projection.exhaust_ms)
    set_time(message.earliest_exhaust_time, projection.earliest_exhaust_ms)
    return message


def _basis(forecast: Forecast | None) -> messages.ProjectionBasis.ValueType:
    if forecast is None:
        return messages.PROJECTION_BASIS_NONE
    if forecast.weeks == 0:
        return messages.PROJECTION_BASIS_DAYS
    return messages.PROJECTION_BASIS_WEEKDAYS
