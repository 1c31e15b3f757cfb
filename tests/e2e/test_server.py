"""What holds for every call: the token, health, reflection, and where a status comes from."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from authority.rpc.status import _CODES
from authority.v1 import errors_pb2
from calls import METHODS, REQUESTS, send
from refusals import refused
from support import eventually


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer wrong"),),
        (("authorization", "token-of-the-tests"),),
        (("authorization", "bearer token-of-the-tests"),),
        (("authorization-bin", b"Bearer token-of-the-tests"),),
    ],
)
async def test_no_call_without_the_token(stubs, metadata):
    stubs.metadata = metadata
    for request in REQUESTS:
        refusal = await refused(send(stubs, request()))
        assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "NOT_SIGNED_IN")


async def test_health_is_told_without_a_token(stubs):
    health = health_pb2_grpc.HealthStub(stubs.channel)
    for service in ("", *{method.containing_service.full_name for method in METHODS.values()}):
        request = health_pb2.HealthCheckRequest(service=service)
        await eventually(lambda request=request: _serving(health, request))
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def _serving(health, request):
    return (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING


async def test_every_service_is_reflected_without_a_token(stubs):
    reflection = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [answer async for answer in reflection.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answer.list_services_response.service}
    assert {method.containing_service.full_name for method in METHODS.values()} <= names


async def test_a_method_that_is_not_there(stubs):
    call = stubs.channel.unary_unary("/authority.v1.BudgetService/Steal")
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await call(b"", metadata=stubs.metadata)
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_every_reason_has_the_code_that_the_proto_says():
    proto = Path(__file__).parents[2] / "proto/authority/v1/errors.proto"
    said = re.findall(r"// ([A-Z_]+)\. .+\n  ERROR_REASON_(\w+) = ", proto.read_text())
    assert len(said) == len(errors_pb2.ErrorReason.items()) - 1
    assert {reason: code_pb2.Code.Value(code) for code, reason in said} == _CODES
