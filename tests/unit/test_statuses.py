"""A refusal fits into the trailers that clients take, however much is wrong."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from authority.domain.errors import InvalidRequest, Violation
from authority.rpc.status import status_of

# gRPC's own limit is 8 KiB for all of the trailers; the message stands in them once more.
TRAILERS_MAX = 8_000


def listed(violations):
    status = status_of(InvalidRequest(violations))
    assert len(status.SerializeToString()) + len(status.message.encode()) < TRAILERS_MAX
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return [violation.field for violation in bad.field_violations]


@pytest.mark.parametrize(("length", "shown"), [(20, 16), (560, 5)])
def test_as_many_violations_are_named_as_there_is_room_for(length, shown):
    violations = [Violation(f"items[{number}]", "x" * length) for number in range(40)]
    assert listed(violations) == [f"items[{number}]" for number in range(shown)]
