"""What operations do to the ledger's tables, as the arrays that `unnest` takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from authority.domain.changes import make_change
from authority.domain.operations import Kind, Operation
from authority.ledger.changes import change_row


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows into arrays; empty if there are none."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def grant_effects(operations: Sequence[Operation]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield the statements, with their columns, that make and void grants, and record it."""
    made = [item for item in operations if item.kind is Kind.GRANT]
    voided = [item for item in operations if item.kind is Kind.VOID]
    restoring = [item for item in operations if item.restored]
    yield "insert_grants", columns([_made(item) for item in made])
    yield "insert_changes", columns([_change_of_made(item) for item in made])
    yield (
        "insert_restored_grants",
        columns([row for item in restoring for row in _restored(item)]),
    )
    yield "void_grants", columns([_voided(item) for item in voided])
    # In order, so that two processes never wait for one another.
    tenants = sorted({item.tenant for item in (*made, *voided, *restoring)})
    yield "raise_policy_versions", {"tenant": tenants} if tenants else {}


def _made(item: Operation) -> dict[str, Any]:
    grant = item.grant
    assert grant is not None
    return {
        "grant_id": grant.grant_id,
        "tenant": item.tenant,
        "account": grant.account,
        "unit": grant.unit,
        "amount": grant.amount,
        "priority": grant.priority,
        "effective_ms": grant.effective_ms,
        "expire_ms": grant.expire_ms,
        "recurrence": grant.recurrence,
        "refund_grace_ms": grant.refund_grace_ms,
        "source": grant.source,
        "create_ms": grant.create_ms,
        "price_micros": grant.price_micros,
    }


def _voided(item: Operation) -> dict[str, Any]:
    assert item.grant is not None
    before = replace(item.grant, void_ms=0)
    change = make_change("VoidGrant", item.cause, before, item.grant, _time(item))
    return {"void_ms": item.grant.void_ms, **change_row(change)}


def _change_of_made(item: Operation) -> dict[str, Any]:
    assert item.grant is not None
    return change_row(make_change("CreateGrant", item.cause, None, item.grant, _time(item)))


def _time(item: Operation) -> datetime:
    return datetime.fromtimestamp(item.decide_ms / 1000, UTC)


def _restored(item: Operation) -> Iterator[dict[str, Any]]:
    for restored in item.restored:
        yield {
            "grant_id": f"{item.tenant}/{restored.grant_id}",
            "expired_grant_id": f"{item.tenant}/{restored.expired_grant_id}",
            "amount": restored.amount,
            "expire_ms": restored.expire_ms,
            "create_ms": item.decide_ms,
        }
