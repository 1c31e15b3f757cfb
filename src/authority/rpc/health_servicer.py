"""HealthService: how everything is."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import grpc

from authority.domain.health import HealthCheck, HealthStatus, worst
from authority.usecases.health import SharedExamination
from authority.v1 import health_service_pb2 as messages
from authority.v1 import health_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]

_VERSION = version("paymaster")  # is read from a file


class HealthServicer(health_service_pb2_grpc.HealthServiceServicer):
    """Answers also while a store is away."""

    def __init__(self, examination: SharedExamination) -> None:
        self._examination = examination

    async def GetHealth(
        self, request: messages.GetHealthRequest, context: Call
    ) -> messages.GetHealthResponse:
        checks, read_time = await self._examination.find()
        response = messages.GetHealthResponse(
            status=_status(worst(checks)), checks=map(_to_proto, checks), version=_VERSION
        )
        response.read_time.FromDatetime(read_time)
        return response


def _to_proto(check: HealthCheck) -> messages.HealthCheck:
    return messages.HealthCheck(
        check=check.check,
        subject=check.subject,
        status=_status(check.status),
        value=check.value,
        advice=check.advice,
    )


def _status(status: HealthStatus) -> messages.HealthStatus.ValueType:
    return messages.HealthStatus.Value(f"HEALTH_STATUS_{status}")
