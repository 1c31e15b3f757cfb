"""Rules of alerts in Postgres, with their channels: each change is recorded."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.alert_changes import rule_change
from authority.domain.alerts import AlertKind, AlertRule, Channel, ChannelType, RuleChange
from authority.domain.callers import Cause
from authority.domain.errors import NotFound
from authority.domain.secrets import new_webhook_secret
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "alert_rules.sql"


class RuleStore:
    """The part of `domain.alert_ports.AlertStore` that is about rules."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._sql = statements(_FILE)

    async def insert_rule(self, rule: AlertRule, cause: Cause) -> None:
        """Add a rule, and record it."""
        async with self.database.transaction() as connection:
            await connection.execute(self._sql["insert_rule"], _rule_row(rule))
            await self._write_channels(connection, rule)
            change = rule_change("CreateAlertRule", cause, None, rule, rule.create_time)
            await write_change(connection, change)

    async def update_rule(
        self, rule_id: str, change: RuleChange, cause: Cause, time: datetime
    ) -> tuple[AlertRule, AlertRule]:
        """Change a rule, and record it; return what it was and is. Raises NotFound."""
        async with self.database.transaction() as connection:
            before = await self._find(connection, rule_id, "lock_rule")
            after = change.apply(before, time, new_webhook_secret)
            if after != before:
                await connection.execute(self._sql["update_rule"], _rule_row(after))
                await self._write_channels(connection, after)
                await self._give_up(connection, after, time)
                recorded = rule_change("UpdateAlertRule", cause, before, after, time)
                await write_change(connection, recorded)
        return before, after

    async def delete_rule(self, rule_id: str, cause: Cause, time: datetime) -> int:
        """Remove a rule, and record it; return how many deliveries it gives up. Raises NotFound."""
        async with self.database.transaction() as connection:
            rule = await self._find(connection, rule_id, "lock_rule")
            bare = RuleChange(channels=()).apply(rule, time, new_webhook_secret)
            count = await self._give_up(connection, bare, time)
            await connection.execute(self._sql["delete_rule"], {"rule_id": rule_id})
            change = rule_change("DeleteAlertRule", cause, rule, None, time)
            await write_change(connection, change)
        return count

    async def find_rule(self, rule_id: str) -> AlertRule:
        """Return a rule. Raises NotFound."""
        async with self.database.transaction() as connection:
            return await self._find(connection, rule_id)

    async def list_rules(self, tenant: str, after: str, limit: int) -> list[AlertRule]:
        """Return a page in the order of the ids; of all tenants if `tenant` is ''."""
        parameters = {"tenant": tenant, "after": after, "limit": limit}
        async with self.database.transaction() as connection:
            cursor = await connection.execute(self._sql["list_rules"], parameters)
            return await self._rules(connection, await cursor.fetchall())

    async def _find(
        self, connection: AsyncConnection[DictRow], rule_id: str, statement: str = "find_rule"
    ) -> AlertRule:
        cursor = await connection.execute(self._sql[statement], {"rule_id": rule_id})
        found = await self._rules(connection, await cursor.fetchall())
        if not found:
            raise NotFound("alert rule", rule_id)
        return found[0]

    async def _rules(
        self, connection: AsyncConnection[DictRow], rows: Sequence[DictRow]
    ) -> list[AlertRule]:
        ids = [row["rule_id"] for row in rows]
        cursor = await connection.execute(self._sql["list_channels"], {"rule_ids": ids})
        channels: defaultdict[str, list[Channel]] = defaultdict(list)
        for row in await cursor.fetchall():
            channels[row["rule_id"]].append(channel_of(row))
        return [_rule(row, channels[row["rule_id"]]) for row in rows]

    async def _write_channels(self, connection: AsyncConnection[DictRow], rule: AlertRule) -> None:
        """Write the channels of a rule; one that is there stays as it is."""
        kept = {"rule_id": rule.rule_id, "channels": _numbers(rule)}
        await connection.execute(self._sql["delete_channels"], kept)
        for channel in rule.channels:
            row = {
                "rule_id": rule.rule_id,
                "channel": channel.channel,
                "tenant": rule.tenant,
                "type": channel.type,
                "url": channel.url,
                "addresses": list(channel.addresses),
                "secret": channel.secret,
            }
            await connection.execute(self._sql["insert_channel"], row)

    async def _give_up(
        self, connection: AsyncConnection[DictRow], rule: AlertRule, time: datetime
    ) -> int:
        """Give up what channels that a rule has no more had still to tell; return how many."""
        now_ms = round(time.timestamp() * 1000)
        parameters = {"rule_id": rule.rule_id, "channels": _numbers(rule), "now_ms": now_ms}
        cursor = await connection.execute(self._sql["give_up"], parameters)
        return len(await cursor.fetchall())


def channel_of(row: DictRow) -> Channel:
    """Return the channel in a row, with its secret."""
    return Channel(
        ChannelType(row["type"]),
        row["url"],
        tuple(row["addresses"]),
        row["channel"],
        row["secret"],
    )


def _rule(row: DictRow, channels: Sequence[Channel]) -> AlertRule:
    return AlertRule(
        rule_id=row["rule_id"],
        tenant=row["tenant"],
        account=row["account"],
        display_name=row["display_name"],
        kinds=frozenset(map(AlertKind, row["kinds"])),
        channels=tuple(channels),
        params=row["params"],
        is_enabled=row["enabled"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        last_channel=row["last_channel"],
    )


def _rule_row(rule: AlertRule) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "tenant": rule.tenant,
        "account": rule.account,
        "display_name": rule.display_name,
        "kinds": sorted(rule.kinds),
        "params": json.dumps(dict(rule.params)),
        "enabled": rule.is_enabled,
        "last_channel": rule.last_channel,
        "create_time": rule.create_time,
        "update_time": rule.update_time,
    }


def _numbers(rule: AlertRule) -> list[int]:
    return [channel.channel for channel in rule.channels]
