"""What was used in the past, from the sums of the usage log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.ledger.database import Database
from authority.ledger.queries import statements

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresPastUse:
    """Implements `domain.past_use.PastUse`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("past_use.sql")

    async def spent(
        self, accounts: Sequence[str], unit: Unit, boundaries_ms: Sequence[int]
    ) -> list[int]:
        """Return what accounts of one tenant spent, less refunds, between each two boundaries."""
        tenant = tenant_of(accounts[0])
        # Clocks that are set back may put a boundary before the one it follows.
        boundaries = [moment_of(moment) for moment in sorted(boundaries_ms)]
        rows = await self._database.rows(
            self._sql["spent_by_tenant" if tenant in accounts else "spent_by_accounts"],
            {
                "tenant": tenant,
                "accounts": list(accounts),
                "unit": unit,
                "boundaries": boundaries,
                "start": boundaries[0],
                "end": boundaries[-1],
            },
        )
        amounts = {row["span"]: row["amount"] or 0 for row in rows}
        return [amounts.get(span, 0) for span in range(1, len(boundaries))]

    async def charged_by_each(
        self, accounts: Sequence[str], spans_ms: Sequence[tuple[int, int]]
    ) -> Mapping[str, list[int]]:
        """Return what each account was charged in USD, less refunds, in each of some spans."""
        rows = await self._database.rows(
            self._sql["charged_by_each"],
            {
                "accounts": list(accounts),
                "starts": [moment_of(start) for start, _ in spans_ms],
                "ends": [moment_of(end) for _, end in spans_ms],
            },
        )
        amounts = {(row["account"], row["position"]): row["amount"] for row in rows}
        return {
            account: [amounts.get((account, at), 0) for at in range(1, len(spans_ms) + 1)]
            for account in accounts
        }


def moment_of(milliseconds: int) -> datetime:
    """Return Unix milliseconds as what Postgres compares with."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
