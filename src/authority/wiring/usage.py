"""The wiring of what is told of use."""

from __future__ import annotations

import grpc

from authority.rpc.usage_servicer import UsageServicer
from authority.usecases.context import Context
from authority.v1 import usage_service_pb2_grpc


def add_usage_service(server: grpc.aio.Server, context: Context) -> None:
    """Let a server serve UsageService."""
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(UsageServicer(context), server)
