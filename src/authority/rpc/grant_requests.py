"""Reads requests about grants."""

from __future__ import annotations

from authority.domain.grants import PRIORITY_MAX, Grant
from authority.domain.ids import is_owned_id
from authority.domain.plans import SOURCE_PREFIX
from authority.domain.windows import Window
from authority.rpc.caller import read_cause
from authority.rpc.requests import Reader, enum_name
from authority.usecases.grants import GrantRequest
from authority.v1 import admin_service_pb2, resources_pb2

_SOURCE_LENGTH_MAX = 64
_GRACE_MS_MAX = 366 * 86_400_000


def read_create_grant(message: admin_service_pb2.CreateGrantRequest) -> GrantRequest:
    """Read a CreateGrant. Raises InvalidRequest."""
    reader = Reader()
    wanted = message.grant
    key = reader.key(message.idempotency_key)
    cause = read_cause(reader, message.reason)
    if not 0 <= wanted.priority <= PRIORITY_MAX:
        reader.wrong("grant.priority", f"must be from 0 to {PRIORITY_MAX}")
    effective_ms = reader.time("grant.effective_time", wanted)
    expire_ms = reader.time("grant.expire_time", wanted)
    if expire_ms and expire_ms <= effective_ms:
        reader.wrong("grant.expire_time", "must be later than `effective_time`")
    grace_ms = wanted.refund_grace.seconds * 1000 + wanted.refund_grace.nanos // 1_000_000
    if not 0 <= grace_ms <= _GRACE_MS_MAX:
        reader.wrong("grant.refund_grace", "must be from 0 to 366 days")
    if wanted.source.startswith(SOURCE_PREFIX):
        reader.wrong("grant.source", "what begins with `plan ` is granted by plans alone")
    recurrence_name = enum_name(resources_pb2.Window, wanted.recurrence)
    grant = Grant(
        grant_id="",
        key=0,
        account=reader.account(wanted.account, "grant.account"),
        unit=reader.unit("grant.unit", enum_name(resources_pb2.Unit, wanted.unit)),
        amount=reader.amount("grant.amount", wanted.amount, least=1),
        priority=wanted.priority,
        effective_ms=effective_ms,
        expire_ms=expire_ms,
        recurrence=reader.word("grant.recurrence", "WINDOW", recurrence_name, Window, Window.TOTAL),
        refund_grace_ms=grace_ms,
        source=reader.text("grant.source", wanted.source, _SOURCE_LENGTH_MAX),
        create_ms=0,
        void_ms=0,
        price_micros=reader.amount("grant.price", wanted.price, least=0),
    )
    reader.finish()
    return GrantRequest(key, grant, cause)


def read_grant_id(reader: Reader, grant_id: str) -> str:
    """Read a grant's id."""
    if not is_owned_id(grant_id):
        reader.wrong("grant_id", "must be the id that CreateGrant answered: `tenant/uuid`")
    return grant_id
