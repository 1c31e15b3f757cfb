"""Balances, grants and ledger entries, from the proto's messages to the values that callers see."""

from __future__ import annotations

from authority.v1 import admin_service_pb2, budget_service_pb2, resources_pb2
from clients.balance_types import Balance, Grant, GrantState
from clients.convert import (
    budget_balance_from_proto,
    time_from_proto,
    unit_from_proto,
    window_from_proto,
    word,
)
from clients.ledger_types import CacheUse, LedgerEntry, RebuildReport


def balance_from_proto(message: budget_service_pb2.GetBalanceResponse) -> Balance:
    """Return the balance of an account."""
    return Balance(
        balances=tuple(map(budget_balance_from_proto, message.balances)),
        grants=tuple(map(grant_from_proto, message.grants)),
        read_time=time_from_proto(message.read_time),
    )


def grant_from_proto(message: resources_pb2.Grant, *, replayed: bool = False) -> Grant:
    """Return the grant."""
    return Grant(
        grant_id=message.grant_id,
        account=message.account,
        unit=unit_from_proto(message.unit),
        amount=message.amount,
        priority=message.priority,
        effective_time=time_from_proto(message.effective_time),
        expire_time=time_from_proto(message.expire_time),
        recurrence=window_from_proto(message.recurrence) if message.recurrence else None,
        refund_grace=(
            message.refund_grace.ToTimedelta() if message.HasField("refund_grace") else None
        ),
        source=message.source,
        create_time=time_from_proto(message.create_time),
        void_time=time_from_proto(message.void_time),
        state=word(GrantState, resources_pb2.GrantState, "GRANT_STATE_", message.state),
        reserved=message.reserved,
        committed=message.committed,
        refunded=message.refunded,
        available=message.available,
        expired=message.expired,
        price=message.price,
        replayed=replayed,
    )


def entry_from_proto(message: admin_service_pb2.LedgerEntry) -> LedgerEntry:
    """Return the ledger entry."""
    return LedgerEntry(
        operation_id=message.operation_id,
        line=message.line,
        sequence=message.sequence,
        kind=message.kind,
        account=message.account,
        reservation_id=message.reservation_id,
        book=message.book,
        budget=message.budget,
        grant_id=message.grant_id,
        window_start_time=time_from_proto(message.window_start_time),
        unit=unit_from_proto(message.unit),
        amount=message.amount,
        idempotency_key=message.idempotency_key,
        create_time=time_from_proto(message.create_time),
        cache_use=_cache_use(message.cache_use) if message.HasField("cache_use") else None,
    )


def _cache_use(message: admin_service_pb2.CacheUse) -> CacheUse:
    return CacheUse(
        generation_id=message.generation_id,
        entry_id=message.entry_id,
        stage=message.stage,
        score_ppm=message.score_ppm if message.HasField("score_ppm") else None,
        saved=message.saved,
    )


def rebuild_from_proto(message: admin_service_pb2.RebuildResponse) -> RebuildReport:
    """Return what was made anew."""
    return RebuildReport(tenant_count=message.tenant_count, epoch=message.epoch)
