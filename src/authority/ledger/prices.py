"""The prices in credits in Postgres: a row for each version, for ever."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from authority.domain.callers import Cause
from authority.domain.changes import make_change
from authority.domain.errors import InvalidRequest, NotFound
from authority.domain.prices import CreditPrice, PriceList
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.queries import statements
from generations.models import Kind, Quality

_SQL = statements("prices.sql")


class PriceStore:
    """Implements `domain.prices.PriceListStore`."""

    database: Database

    async def price_list(self, version: int) -> PriceList:
        """Return a version of the prices, the latest for 0. Raises NotFound."""
        async with self.database.connection() as connection:
            return await _find(connection, version)

    async def update_price_list(
        self,
        prices: Iterable[CreditPrice],
        base_version: int,
        cause: Cause,
        change_time: datetime,
    ) -> PriceList:
        """Make other prices the latest version, and record it; return what is the latest then.

        Raises InvalidRequest if a `base_version` other than 0 is the latest no more.
        """
        async with self.database.transaction() as connection:
            await connection.execute(_SQL["lock_price_list"])
            before = await _find(connection, 0)
            if base_version not in (0, before.version):
                raise InvalidRequest.of(
                    "base_version",
                    f"the latest version is {before.version}: read it, and change that one",
                )
            ordered = tuple(sorted(prices))
            if ordered == before.prices:
                return before
            after = PriceList(before.version + 1, ordered, cause, change_time)
            row = {
                "version": after.version,
                "prices": Jsonb([price._asdict() for price in ordered]),
                "actor": cause.actor,
                "reason": cause.reason,
                "create_time": change_time,
            }
            await connection.execute(_SQL["insert_price_list"], row)
            change = make_change("UpdatePriceList", cause, before, after, change_time)
            await write_change(connection, change)
        return after


async def _find(connection: AsyncConnection[DictRow], version: int) -> PriceList:
    cursor = await connection.execute(_SQL["find_price_list"], {"version": version})
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("price list", str(version))
    prices = (
        CreditPrice(Kind(item["kind"]), Quality(item["tier"]), item["credits"])
        for item in row["prices"]
    )
    return PriceList(
        row["version"],
        tuple(sorted(prices)),
        Cause(row["actor"], row["reason"]),
        row["create_time"],
    )
