"""Whatever a caller sends, it is told what is wrong with it, and nothing is held."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authority.domain.money import AMOUNT_MAX
from authority.v1 import (
    admin_service_pb2,
    budget_service_pb2,
    generation_service_pb2,
    generation_service_pb2_grpc,
    resources_pb2,
)
from authority.v1.budget_service_pb2 import CommitRequest, Option, RefundRequest, ReserveRequest
from authority.v1.resources_pb2 import Leg

RESERVATION = "acme/0199a0b2-0000-7000-8000-000000000000"


def leg(unit=resources_pb2.UNIT_USD, amount=1):
    return Leg(unit=unit, amount=amount)


def reserve_request(**changes):
    fields = {"idempotency_key": "k", "account": "acme", "options": [Option(legs=[leg()])]}
    return ReserveRequest(**{**fields, **changes})


def commit_request(**changes):
    return CommitRequest(**{"idempotency_key": "k", "reservation_id": RESERVATION, **changes})


@pytest.fixture
async def acme(stubs):
    """An account that may spend a dollar a day."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return stubs


async def violations(call):
    """Return the fields that an INVALID_ARGUMENT names."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    request = error_details_pb2.BadRequest()
    details = rpc_status.from_call(refused.value).details
    assert any(detail.Unpack(request) for detail in details)
    assert all(row.description for row in request.field_violations)
    return [row.field for row in request.field_violations]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "x" * 129}, "idempotency_key"),
        ({"idempotency_key": "a\x00"}, "idempotency_key"),
        ({"account": ""}, "account"),
        ({"account": "Acme"}, "account"),
        ({"account": "platform"}, "account"),
        ({"account": "acme/x{y}"}, "account"),
        ({"options": []}, "options"),
        ({"options": [Option(legs=[leg()])] * 9}, "options"),
        ({"options": [Option()]}, "options[0].legs"),
        ({"options": [Option(legs=[leg()], name="x" * 65)]}, "options[0].name"),
        ({"options": [Option(legs=[leg(unit=0)])]}, "options[0].legs[0].unit"),
        ({"options": [Option(legs=[leg(unit=99)])]}, "options[0].legs[0].unit"),
        ({"options": [Option(legs=[leg(), leg()])]}, "options[0].legs[1].unit"),
        ({"options": [Option(legs=[leg()] * 9)]}, "options[0].legs"),
        ({"options": [Option(legs=[leg(amount=0)])]}, "options[0].legs[0].amount"),
        ({"options": [Option(legs=[leg(amount=-1)])]}, "options[0].legs[0].amount"),
        ({"options": [Option(legs=[leg(amount=AMOUNT_MAX + 1)])]}, "options[0].legs[0].amount"),
        ({"options": [Option(legs=[leg(amount=2**63 - 1)])]}, "options[0].legs[0].amount"),
        ({"ttl": {"nanos": 1}}, "ttl"),
        ({"ttl": {"seconds": -5}}, "ttl"),
        ({"ttl": {"seconds": 86_401}}, "ttl"),
        ({"labels": {str(number): "" for number in range(17)}}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"k": "x" * 257}}, "labels['k']"),
    ],
)
async def test_a_reserve(acme, changes, field):
    request = reserve_request(**changes)
    assert await violations(acme.budget.Reserve(request, metadata=acme.metadata)) == [field]
    assert (await acme.balance("acme"))["acme", "usd-day"] == (0, 0, 0, 1_000_000)


async def test_all_that_is_wrong_is_named_at_once(acme):
    request = ReserveRequest(options=[Option(legs=[leg(unit=0, amount=0)])])
    assert await violations(acme.budget.Reserve(request, metadata=acme.metadata)) == [
        "idempotency_key",
        "account",
        "options[0].legs[0].unit",
        "options[0].legs[0].amount",
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reservation_id": ""}, "reservation_id"),
        ({"reservation_id": "acme/alice"}, "reservation_id"),
        ({"reservation_id": RESERVATION.upper()}, "reservation_id"),
        ({"actual": [leg(amount=-1)]}, "actual[0].amount"),
        ({"actual": [leg()] * 9}, "actual"),
        ({"actual": [leg(), leg()]}, "actual[1].unit"),
    ],
)
async def test_a_commit(acme, changes, field):
    request = commit_request(**changes)
    assert await violations(acme.budget.Commit(request, metadata=acme.metadata)) == [field]


async def test_a_refund_of_nothing_in_a_leg(acme):
    request = RefundRequest(
        idempotency_key="k", reservation_id=RESERVATION, legs=[leg(amount=0)], reason="x" * 257
    )
    fields = await violations(acme.budget.Refund(request, metadata=acme.metadata))
    assert fields == ["legs[0].amount", "reason"]


async def test_what_does_not_exist_is_not_found(acme):
    for call in (
        acme.reserve("nobody", {"USD": 1}),
        acme.reserve("acme/nobody", {"USD": 1}),
        acme.commit(RESERVATION, {"USD": 1}),
        acme.release(RESERVATION.replace("acme", "nobody")),
        acme.refund(RESERVATION),
        acme.get(RESERVATION),
        acme.balance("acme/nobody"),
        acme.set_budget("nobody", 1),
        acme.account("acme/child", parent="acme/nobody"),
        acme.differences("nobody"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_page_token_of_another_listing(acme):
    for number in range(3):
        await acme.account(f"acme/user-{number}")
    request = admin_service_pb2.ListAccountsRequest(page_size=2)
    page = await acme.admin.ListAccounts(request, metadata=acme.metadata)
    assert [row.account for row in page.accounts] == ["acme", "acme/user-0"]
    for token in (page.next_page_token, "x", "bnVsbA==", "\ud7ff"):
        other = admin_service_pb2.ListBudgetsRequest(page_token=token)
        fields = await violations(acme.admin.ListBudgets(other, metadata=acme.metadata))
        assert fields == ["page_token"]


@pytest.mark.parametrize("token", [None, "wrong", ""])
async def test_no_call_without_the_token(acme, token):
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await acme.budget.Reserve(reserve_request(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


NUMBERS = st.one_of(st.integers(-2, 3), st.sampled_from([2**53 - 1, 2**53, 2**63 - 1, -(2**63)]))
TEXTS = st.one_of(
    st.sampled_from(["acme", "k", "usd-day", RESERVATION, "platform", "image", "1024x1024", ""]),
    st.text(max_size=40),
)
STUBS = {
    "budget": budget_service_pb2,
    "admin": admin_service_pb2,
    "generation": generation_service_pb2,
}
METHODS = [
    (name, method)
    for name, module in STUBS.items()
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
TEXT_TYPES = {FieldDescriptor.TYPE_STRING: TEXTS, FieldDescriptor.TYPE_BOOL: st.booleans()}


def fill(draw, message, depth=0):
    """Fill a message with anything that its types allow."""
    for field in message.DESCRIPTOR.fields:
        if draw(st.integers(0, 9)) == 0 or depth > 3:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            getattr(message, field.name).update(draw(st.dictionaries(TEXTS, TEXTS, max_size=2)))
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                if field.message_type:
                    fill(draw, getattr(message, field.name).add(), depth + 1)
                else:
                    getattr(message, field.name).append(draw(TEXTS))
        elif field.message_type:
            fill(draw, getattr(message, field.name), depth + 1)
        else:
            value = draw(TEXT_TYPES.get(field.type, NUMBERS))
            if field.type in {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM}:
                value = max(min(value, 2**31 - 1), -(2**31))
            setattr(message, field.name, value)


@given(st.data())
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
async def test_nothing_that_is_sent_is_an_internal_error(acme, data):
    name, method = data.draw(st.sampled_from(METHODS))
    request = getattr(STUBS[name], method.input_type.name)()
    fill(data.draw, request)
    stub = (
        generation_service_pb2_grpc.GenerationServiceStub(acme.channel)
        if name == "generation"
        else getattr(acme, name)
    )
    call = getattr(stub, method.name)(request, metadata=acme.metadata, timeout=10)
    try:
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        bad = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
        assert error.code() not in bad, (method.name, request, error.details())
