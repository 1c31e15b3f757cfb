"""Alerts, silences and deliveries in Postgres, as people read and change them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import DictRow

from authority.domain.alert_changes import acknowledgement, retrial, silence_change
from authority.domain.alerts import (
    Alert,
    AlertFilter,
    AlertKind,
    Attempt,
    ChannelType,
    Delivery,
    DeliveryFilter,
    DeliveryState,
    NewAlert,
    Severity,
    Silence,
)
from authority.domain.callers import Cause
from authority.domain.errors import DeliveryStateError, NotFound
from authority.ledger.alert_rules import RuleStore
from authority.ledger.alerts import raise_by
from authority.ledger.changes import write_change

_EPOCH = datetime.fromtimestamp(0, UTC)


class PostgresAlerts(RuleStore):
    """Implements `domain.alert_ports.AlertStore`."""

    async def find_alert(self, alert_id: str) -> Alert:
        """Return an alert. Raises NotFound."""
        rows = await self.database.rows(self._sql["find_alert"], {"alert_id": alert_id})
        if not rows:
            raise NotFound("alert", alert_id)
        return alert_of(rows[0])

    async def list_alerts(
        self, wanted: AlertFilter, before: tuple[int, str] | None, limit: int
    ) -> list[Alert]:
        """Return a page, the latest first: of those before a time in microseconds and an id."""
        parameters = {
            "tenant": wanted.tenant,
            "account": wanted.account,
            "kinds": sorted(wanted.kinds),
            "unacknowledged": wanted.unacknowledged,
            "start_time": _moment(wanted.start_ms),
            "end_time": _moment(wanted.end_ms),
            "before": None if before is None else _EPOCH + timedelta(microseconds=before[0]),
            "before_id": "" if before is None else before[1],
            "limit": limit,
        }
        rows = await self.database.rows(self._sql["list_alerts"], parameters)
        return [alert_of(row) for row in rows]

    async def acknowledge(self, alert_id: str, cause: Cause, time: datetime) -> Alert:
        """Say that an alert was seen; the first one stands. Raises NotFound."""
        parameters = {"alert_id": alert_id, "time": time, **cause._asdict()}
        async with self.database.transaction() as connection:
            cursor = await connection.execute(self._sql["acknowledge"], parameters)
            row = await cursor.fetchone()
            if row is not None:
                alert = alert_of(row)
                await write_change(connection, acknowledgement(cause, alert, time))
                return alert
        return await self.find_alert(alert_id)

    async def insert_silence(self, silence: Silence, cause: Cause) -> None:
        """Add a silence, and record it."""
        row = {
            "silence_id": silence.silence_id,
            "tenant": silence.tenant,
            "account": silence.account,
            "kind": silence.kind or "",
            "create_time": silence.create_time,
            "end_time": silence.end_time,
            "actor": silence.actor,
            "reason": silence.reason,
        }
        async with self.database.transaction() as connection:
            await connection.execute(self._sql["insert_silence"], row)
            change = silence_change("SilenceAlerts", cause, None, silence, silence.create_time)
            await write_change(connection, change)

    async def end_silence(self, silence_id: str, cause: Cause, time: datetime) -> Silence:
        """End a silence, and record it; one that has ended stays as it is. Raises NotFound."""
        name = {"silence_id": silence_id}
        async with self.database.transaction() as connection:
            cursor = await connection.execute(self._sql["find_silence"], name)
            row = await cursor.fetchone()
            if row is None:
                raise NotFound("silence", silence_id)
            before = _silence(row)
            if before.end_time <= time:
                return before
            after = _silence({**row, "end_time": time})
            await connection.execute(self._sql["end_silence"], {**name, "end_time": time})
            change = silence_change("EndSilence", cause, before, after, time)
            await write_change(connection, change)
        return after

    async def list_silences(
        self, tenant: str, time: datetime, after: str, limit: int
    ) -> list[Silence]:
        """Return a page of those that have not ended, in the order of the ids."""
        parameters = {"tenant": tenant, "time": time, "after": after, "limit": limit}
        rows = await self.database.rows(self._sql["list_silences"], parameters)
        return [_silence(row) for row in rows]

    async def raise_test(self, alert: NewAlert, rule_id: str) -> str:
        """Raise an alert by one rule alone; return its id."""
        async with self.database.transaction() as connection:
            alert_id = await raise_by(connection, alert, rule_id)
        assert alert_id is not None, "a test is like no other"
        return alert_id

    async def list_deliveries(
        self, wanted: DeliveryFilter, before: tuple[int, str] | None, limit: int
    ) -> list[Delivery]:
        """Return a page, the latest first: of those before a time in milliseconds and an id."""
        parameters = {
            **wanted._asdict(),
            "state": wanted.state or "",
            "before_ms": None if before is None else before[0],
            "before_id": "" if before is None else before[1],
            "limit": limit,
        }
        rows = await self.database.rows(self._sql["list_deliveries"], parameters)
        return [delivery_of(row) for row in rows]

    async def retry_delivery(self, delivery_id: str, cause: Cause, time: datetime) -> Delivery:
        """Have a delivery that was given up told anew, and record it; return it as it is then.

        Raises NotFound and DeliveryStateError.
        """
        name = {"delivery_id": delivery_id}
        async with self.database.transaction() as connection:
            cursor = await connection.execute(self._sql["lock_delivery"], name)
            row = await cursor.fetchone()
            if row is None:
                raise NotFound("alert delivery", delivery_id)
            before = delivery_of(row)
            if before.state is not DeliveryState.FAILED:
                why = f"it is {before.state}, and only what was given up (FAILED) can be"
                raise DeliveryStateError(delivery_id, before.state, why)
            if row["account"] is None:
                why = f"the rule {before.rule_id} has no such channel any more"
                raise DeliveryStateError(delivery_id, before.state, why)
            now_ms = round(time.timestamp() * 1000)
            cursor = await connection.execute(
                self._sql["retry_delivery"], {**name, "now_ms": now_ms}
            )
            (changed,) = await cursor.fetchall()
            after = delivery_of(changed)
            await write_change(connection, retrial(cause, row["account"], before, after, time))
        return after


def alert_of(row: DictRow) -> Alert:
    """Return the alert in a row."""
    return Alert(
        alert_id=row["alert_id"],
        kind=AlertKind(row["kind"]),
        tenant=row["tenant"],
        account=row["account"],
        dedup_key=row["dedup_key"],
        severity=Severity(row["severity"]),
        summary=row["summary"],
        details=row["details"],
        raise_time=row["raise_time"],
        is_silenced=row["silenced"],
        acknowledge_time=row["acknowledge_time"],
        acknowledge_actor=row["acknowledge_actor"],
        acknowledge_reason=row["acknowledge_reason"],
    )


def delivery_of(row: DictRow) -> Delivery:
    """Return the delivery in a row."""
    return Delivery(
        delivery_id=row["delivery_id"],
        alert_id=row["alert_id"],
        rule_id=row["rule_id"],
        channel=row["channel"],
        type=ChannelType(row["type"]),
        target=row["target"],
        state=DeliveryState(row["state"]),
        attempts=tuple(Attempt(*attempt) for attempt in row["attempts"]),
        due_ms=row["due_ms"],
        create_ms=row["create_ms"],
        end_ms=row["end_ms"],
        retry_ms=row["retry_ms"],
    )


def _silence(row: DictRow | dict[str, Any]) -> Silence:
    return Silence(
        silence_id=row["silence_id"],
        tenant=row["tenant"],
        account=row["account"],
        kind=AlertKind(row["kind"]) if row["kind"] else None,
        create_time=row["create_time"],
        end_time=row["end_time"],
        actor=row["actor"],
        reason=row["reason"],
    )


def _moment(milliseconds: int) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds else None
