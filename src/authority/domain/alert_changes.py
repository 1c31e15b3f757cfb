"""What the record of changes has of rules, silences and alerts. No secret gets into it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from authority.domain.alerts import Alert, AlertRule, Delivery, Silence
from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.ids import tenant_of


def rule_change(
    method: str,
    cause: Cause,
    before: AlertRule | None,
    after: AlertRule | None,
    change_time: datetime,
) -> Change:
    """Return what was done to a rule: `before` is None for a new one, `after` for one removed."""
    rule = after or before
    assert rule is not None
    return Change(
        tenant=rule.tenant,
        account=rule.account,
        method=method,
        resource_type="alert_rule",
        resource=rule.rule_id,
        cause=cause,
        before=None if before is None else _rule(before),
        after={} if after is None else _rule(after),
        change_time=change_time,
    )


def silence_change(
    method: str, cause: Cause, before: Silence | None, after: Silence, change_time: datetime
) -> Change:
    """Return what was done to a silence."""
    return Change(
        tenant=after.tenant,
        account=after.account,
        method=method,
        resource_type="alert_silence",
        resource=after.silence_id,
        cause=cause,
        before=None if before is None else _silence(before),
        after=_silence(after),
        change_time=change_time,
    )


def acknowledgement(cause: Cause, alert: Alert, change_time: datetime) -> Change:
    """Return that somebody has seen an alert."""
    return Change(
        tenant=alert.tenant,
        account=alert.account,
        method="AcknowledgeAlert",
        resource_type="alert",
        resource=alert.alert_id,
        cause=cause,
        before={"acknowledge_time": None},
        after={"acknowledge_time": _text(change_time)},
        change_time=change_time,
    )


def retrial(
    cause: Cause, account: str, before: Delivery, after: Delivery, change_time: datetime
) -> Change:
    """Return that a delivery is to be told anew; the account is its rule's."""
    return Change(
        tenant=tenant_of(account),
        account=account,
        method="RetryAlertDelivery",
        resource_type="alert_delivery",
        resource=before.delivery_id,
        cause=cause,
        before={"state": before.state},
        after={"state": after.state},
        change_time=change_time,
    )


def _rule(rule: AlertRule) -> Mapping[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "account": rule.account,
        "display_name": rule.display_name,
        "kinds": sorted(rule.kinds),
        "channels": [
            {"channel": channel.channel, "type": channel.type, "target": channel.target}
            for channel in rule.channels
        ],
        "params": dict(rule.params),
        "disabled": not rule.is_enabled,
        "create_time": _text(rule.create_time),
        "update_time": _text(rule.update_time),
    }


def _silence(silence: Silence) -> Mapping[str, Any]:
    return {
        "silence_id": silence.silence_id,
        "account": silence.account,
        "kind": silence.kind or "",
        "create_time": _text(silence.create_time),
        "end_time": _text(silence.end_time),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
