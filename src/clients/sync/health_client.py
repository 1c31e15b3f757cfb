# Generated from clients/health_client.py by tools/sync_client.py; edit that one.
"""How everything is, for operators and their monitoring."""

from __future__ import annotations

from authority.v1 import health_service_pb2 as messages
from authority.v1.health_service_pb2_grpc import HealthServiceStub
from clients.convert import time_from_proto, word
from clients.health_types import Health, HealthCheck, HealthStatus
from clients.sync.channel import SyncClient

# The authority looks for up to four seconds at what does not answer.
_TIMEOUT_SECONDS = 15.0


class SyncHealthClient(SyncClient):
    """What operators use. Errors are those of `clients.errors`."""

    def _make_stub(self) -> None:
        self._stub = HealthServiceStub(self._channel)

    def get_health(self) -> Health:
        """Look at everything, and return what was found; also while a store is away."""
        request = messages.GetHealthRequest()
        response = self._call(self._stub.GetHealth, request, timeout=_TIMEOUT_SECONDS)
        return Health(
            status=_status(response.status),
            checks=tuple(map(_check, response.checks)),
            read_time=time_from_proto(response.read_time),
            version=response.version,
        )


def _check(check: messages.HealthCheck) -> HealthCheck:
    return HealthCheck(
        check=check.check,
        subject=check.subject,
        status=_status(check.status),
        value=check.value,
        advice=check.advice,
    )


def _status(number: int) -> HealthStatus:
    return word(HealthStatus, messages.HealthStatus, "HEALTH_STATUS_", number)
