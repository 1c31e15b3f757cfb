"""What the use cases of alerts ask of the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from authority.domain.alerts import (
    Alert,
    AlertFilter,
    AlertRule,
    Delivery,
    DeliveryFilter,
    NewAlert,
    RuleChange,
    Silence,
)
from authority.domain.callers import Cause


class AlertStore(Protocol):
    """Keeps alerts, rules and silences. Every method raises Unavailable."""

    async def find_alert(self, alert_id: str) -> Alert:
        """Return an alert. Raises NotFound."""
        ...

    async def list_alerts(
        self, wanted: AlertFilter, before: tuple[int, str] | None, limit: int
    ) -> list[Alert]:
        """Return a page, the latest first: of those before a time in microseconds and an id."""
        ...

    async def acknowledge(self, alert_id: str, cause: Cause, time: datetime) -> Alert:
        """Say that an alert was seen; the first one stands. Raises NotFound."""
        ...

    async def insert_rule(self, rule: AlertRule, cause: Cause) -> None:
        """Add a rule, and record it."""
        ...

    async def update_rule(
        self, rule_id: str, change: RuleChange, cause: Cause, time: datetime
    ) -> tuple[AlertRule, AlertRule]:
        """Change a rule, and record it; return what it was and is. Raises NotFound."""
        ...

    async def delete_rule(self, rule_id: str, cause: Cause, time: datetime) -> int:
        """Remove a rule, and record it; return how many deliveries it gives up. Raises NotFound."""
        ...

    async def find_rule(self, rule_id: str) -> AlertRule:
        """Return a rule. Raises NotFound."""
        ...

    async def list_rules(self, tenant: str, after: str, limit: int) -> list[AlertRule]:
        """Return a page in the order of the ids; of all tenants if `tenant` is ''."""
        ...

    async def insert_silence(self, silence: Silence, cause: Cause) -> None:
        """Add a silence, and record it."""
        ...

    async def end_silence(self, silence_id: str, cause: Cause, time: datetime) -> Silence:
        """End a silence, and record it; one that has ended stays as it is. Raises NotFound."""
        ...

    async def list_silences(
        self, tenant: str, time: datetime, after: str, limit: int
    ) -> list[Silence]:
        """Return a page of those that have not ended, in the order of the ids."""
        ...

    async def raise_test(self, alert: NewAlert, rule_id: str) -> str:
        """Raise an alert by one rule alone; return its id."""
        ...

    async def list_deliveries(
        self, wanted: DeliveryFilter, before: tuple[int, str] | None, limit: int
    ) -> list[Delivery]:
        """Return a page, the latest first: of those before a time in milliseconds and an id."""
        ...

    async def retry_delivery(self, delivery_id: str, cause: Cause, time: datetime) -> Delivery:
        """Have a delivery that was given up told anew, and record it; return it as it is then.

        Raises NotFound and DeliveryStateError.
        """
        ...


class Deliverer(Protocol):
    """Tells alerts."""

    async def deliver(self, alert_id: str) -> None:
        """Try each delivery of a test now, and wait for it. Raises Unavailable."""
        ...
