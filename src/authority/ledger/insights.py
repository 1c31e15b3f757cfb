"""What is known of the past of accounts, for suggestions and what-ifs: read in pages, whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg.rows import DictRow

from authority.domain.grants import GrantReceipt
from authority.domain.ids import uuid7_floor
from authority.domain.insights.facts import (
    Counted,
    PastAttempt,
    PastGeneration,
    PastOption,
)
from authority.domain.insights.past import Past, Span
from authority.domain.money import Unit
from authority.domain.operations import Denied, Operation
from authority.domain.reservations import read_legs
from authority.ledger.database import Database
from authority.ledger.queries import statements
from generations.requests import stored_request

# To read more at once would keep calls waiting.
_PAGE = 50
# What reads an operation asks its request for no more than this.
_DENIED_REQUEST = orjson.dumps({"kind": "RESERVE", "account": ""}).decode()
# Ids are made by another clock than the rows' times.
_CLOCKS_APART_MS = 86_400_000


class PostgresPast:
    """Implements `domain.insights.past.PastReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("insights.sql")

    async def open(self, tenant: str, accounts: Sequence[str], span: Span, limit: int) -> Past:
        """Return how much there is of a time, and where the latest `limit` begin."""
        parameters = _parameters(tenant, accounts, span)
        floor = f"{tenant}/{uuid7_floor(max(span.start_ms - _CLOCKS_APART_MS, 0))}"
        (row,) = await self._database.rows(
            self._sql["count_past"], parameters | {"floor": floor, "limit": limit}
        )
        return Past(row["count"], max(row["count"] - limit, 0), row["first_id"])

    async def pages(
        self, tenant: str, accounts: Sequence[str], span: Span, past: Past
    ) -> AsyncIterator[list[PastGeneration]]:
        """Yield the generations in pages, the earliest first."""
        parameters = _parameters(tenant, accounts, span)
        after, is_more = "", bool(past.first_id)
        while is_more:
            rows = await self._database.rows(
                self._sql["list_past"],
                parameters | {"first_id": past.first_id, "after": after, "limit": _PAGE},
            )
            is_more = len(rows) == _PAGE
            if rows:
                after = rows[-1]["generation_id"]
                yield list(map(_generation, rows))


def _parameters(tenant: str, accounts: Sequence[str], span: Span) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "accounts": list(accounts),
        "start": datetime.fromtimestamp(span.start_ms / 1000, UTC),
        "end": datetime.fromtimestamp(span.end_ms / 1000, UTC),
    }


def _generation(row: DictRow) -> PastGeneration:
    return PastGeneration(
        generation_id=row["generation_id"],
        request=stored_request(row),
        create_ms=row["create_ms"],
        state=row["state"],
        cached=row["cached"],
        saved=row["saved"],
        is_anew=row["is_anew"] or row["reuse"] == "refresh",
        has_context=row["context"] is not None,
        downgraded=row["downgraded"],
        attempts=tuple(map(_attempt, row["attempts"])),
    )


def _attempt(row: Mapping[str, Any]) -> PastAttempt:
    legs, denied = read_legs(row["legs"] or ""), _denied(row["denied"])
    charged, refunded = row["charged"] or 0, 0
    for leg in legs:
        if leg.unit is Unit.USD:
            charged, refunded = leg.charged, leg.refunded
    return PastAttempt(
        number=row["number"],
        options=tuple(map(_option, row["options"])),
        option_index=row["option_index"],
        legs=legs,
        granted=tuple((part.ref.unit, part.charged) for part in _grants(row["grants"] or "")),
        actual=row["actual"] or 0,
        charged=charged,
        refunded=refunded,
        made=row["made"] or 0,
        counted=_counted(row["usage"] or {}),
        is_paid=row["state"] == "COMMITTED",
        presumed_spent=row["presumed_spent"],
        error=row["error"],
        denial=denied.reason if denied else "",
        denied_by=denied.limiting[0].ref if denied and denied.limiting else None,
        reserve_ms=row["held_ms"] or row["reserve_ms"],
        settle_ms=row["settle_ms"] or 0,
    )


def _grants(text: str) -> list[GrantReceipt]:
    return [GrantReceipt.parse(part) for part in text.split()]


def _option(row: Mapping[str, Any]) -> PastOption:
    return PastOption(
        row["provider"],
        row["model"],
        row["quality"],
        row["estimate_micros"],
        row.get("tier", ""),
        row.get("lesser", ""),
    )


def _counted(usage: Mapping[str, Any]) -> Counted:
    return Counted(*(usage.get(name) for name in Counted._fields))


def _denied(result: str | None) -> Denied | None:
    """Return why a Reserve was denied, as the ledger has it."""
    return None if result is None else Operation.decode(_DENIED_REQUEST, result).denied
