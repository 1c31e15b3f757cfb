"""The gRPC server: services, health, reflection, and a stop that lets calls finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from authority.rpc.interceptors import MESSAGE_BYTES_MAX, Calls
from authority.rpc.tls import TlsFiles, is_loopback, server_credentials
from authority.usecases.credentials import Credentials
from authority.v1 import (
    admin_service_pb2,
    alert_service_pb2,
    budget_service_pb2,
    cache_service_pb2,
    generation_service_pb2,
    health_service_pb2,
    insight_service_pb2,
    queue_service_pb2,
    reconciliation_service_pb2,
    usage_service_pb2,
)

# What is a little too large is read, so that its caller is told in our own words and the log too;
# of what is larger, gRPC reads the length alone.
_READ_BYTES_MAX = 2 * MESSAGE_BYTES_MAX

_SERVICES = tuple(
    service.full_name
    for module in (
        *(budget_service_pb2, admin_service_pb2, generation_service_pb2),
        *(queue_service_pb2, cache_service_pb2, reconciliation_service_pb2),
        *(usage_service_pb2, alert_service_pb2, insight_service_pb2, health_service_pb2),
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)

Register = Callable[[grpc.aio.Server], None]

log = structlog.get_logger(__name__)


class PortInUse(Exception):
    """Another process listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Can't listen on {host}:{port}: the port is in use or the address is not this "
            "machine's. Choose another with AUTHORITY_PORT and AUTHORITY_HOST."
        )


class RpcServer:
    """Serves until stopped."""

    def __init__(self, *, credentials: Credentials, reuse_port: bool, register: Register) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(reuse_port)),
                ("grpc.max_receive_message_length", _READ_BYTES_MAX),
                # Clients may hold a connection open between clicks; pings keep proxies from cutting
                # it.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        # What is generated takes it for the server.
        calls: Any = Calls(credentials)
        self._server.add_generic_rpc_handlers([calls])
        register(calls)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, calls)
        names = (*_SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        shown = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME))
        # Its stubs have no types.
        add_reflection: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        add_reflection(shown, calls)

    async def start(self, host: str, port: int, tls: TlsFiles | None) -> int:
        """Listen and return the port. Raises PortInUse and BadCertificate."""
        place = f"{host}:{port}"
        if tls is None and not is_loopback(host):
            log.warning("plain_text_served", host=host, way_out="set AUTHORITY_TLS_CERTIFICATE")
        secure = await asyncio.to_thread(server_credentials, tls) if tls else None
        try:
            bound = (
                self._server.add_secure_port(place, secure)
                if secure
                else self._server.add_insecure_port(place)
            )
        except RuntimeError:
            raise PortInUse(host, port) from None
        # Until the stores have been asked, nobody is told that all is well.
        await self.set_serving(serving=False)
        await self._server.start()
        return bound

    async def set_serving(self, *, serving: bool) -> None:
        """Tell health probes whether calls can be answered."""
        state: Any = health_pb2.HealthCheckResponse
        value = state.SERVING if serving else state.NOT_SERVING
        for name in ("", *_SERVICES):
            await self._health.set(name, value)

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, and let those under way finish within the grace."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)
