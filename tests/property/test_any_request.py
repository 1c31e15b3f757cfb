"""Nothing that a caller sends is a fault of the authority's, and nothing unbalances the books."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authority.v1 import errors_pb2
from calls import METHODS, send
from refusals import Refusal

REASONS = {
    name.removeprefix("ERROR_REASON_")
    for name in errors_pb2.ErrorReason.keys()  # noqa: SIM118 - not a dict
    if name not in {"ERROR_REASON_UNSPECIFIED", "ERROR_REASON_INTERNAL"}
}
NAMES = ["acme", "acme/alice", "platform", "usd-day", f"acme/{uuid.UUID(int=1)}", "limit", "state"]
# No message may hold half a surrogate pair: no client can send one.
TEXTS = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
EDGES = [0, 1, -1, 2, 5, 2**31 - 1, -(2**31)]
WIDE = [*EDGES, 2**53 - 1, 2**53, 2**63 - 1, -(2**63)]
SMALL = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM}


def values(field):
    """Return a strategy for the values of one field."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return TEXTS.map(str.encode)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return st.deferred(lambda: messages(field.message_type))
    if field.type == FieldDescriptor.TYPE_UINT64:
        return st.sampled_from([number for number in WIDE if number >= 0])
    return st.sampled_from(EDGES if field.type in SMALL else WIDE)


def messages(descriptor):
    """Return a strategy for messages, good, bad and in between."""
    fields = {}
    for field in descriptor.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            held = values(field.message_type.fields_by_name["value"])
            fields[field.name] = st.dictionaries(TEXTS, held, max_size=3)
        elif field.is_repeated:
            fields[field.name] = st.lists(values(field), max_size=3)
        else:
            fields[field.name] = values(field)
    made = st.fixed_dictionaries({}, optional=fields)
    return made.map(lambda given: GetMessageClass(descriptor)(**given))


@pytest.fixture
async def acme(stubs):
    """Accounts that may spend."""
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.set_budget("acme", 1_000_000)
    yield stubs
    assert await stubs.differences() == []


@given(request=st.sampled_from(list(METHODS)).flatmap(messages))
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
async def test_every_answer_is_well_formed(acme, request):
    # A balance that is watched goes on for ever.
    seconds = 1 if METHODS[request.DESCRIPTOR].server_streaming else None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await send(acme, request)
    except grpc.aio.AioRpcError as error:
        refusal = Refusal.of(error)
        assert refusal.reason in REASONS
        assert (refusal.detail(error_details_pb2.BadRequest) is not None) == (
            refusal.reason == "INVALID_FIELD"
        )
