"""Alerts, rules and deliveries as tables."""

from __future__ import annotations

from collections.abc import Sequence

from clients.alert_types import Alert, AlertDelivery, AlertRule, Silence
from paymaster.cli.documents import time_text
from paymaster.cli.output import Column, Table, minor, one_line, right, wide


def alert_table(found: Sequence[Alert]) -> Table:
    """Return a table of alerts."""
    return Table(
        [
            Column("raise_time"),
            Column("severity"),
            Column("kind"),
            Column("account"),
            wide("summary"),
            minor("seen_by"),
            minor("silenced"),
            minor("alert"),
        ],
        [
            [
                time_text(item.raise_time),
                item.severity,
                item.kind,
                item.account,
                item.summary,
                item.acknowledge_actor or "-",
                "yes" if item.silenced else "-",
                item.alert_id,
            ]
            for item in found
        ],
    )


def detail_table(alert: Alert) -> Table:
    """Return what an alert has for machines."""
    return Table([Column("detail"), Column("value")], [list(row) for row in alert.details.items()])


def delivery_table(found: Sequence[AlertDelivery]) -> Table:
    """Return a table of deliveries, with what became of the last try of each."""
    return Table(
        [
            Column("raised"),
            Column("by"),
            wide("to"),
            Column("state"),
            right("tries"),
            right("status"),
            wide("said"),
            minor("next"),
            minor("rule"),
            minor("alert"),
            minor("delivery"),
        ],
        [[*_delivery(item)] for item in found],
    )


def _delivery(item: AlertDelivery) -> list[str]:
    last = item.attempts[-1] if item.attempts else None
    return [
        time_text(item.create_time),
        item.type,
        item.target or "-",
        item.state,
        str(len(item.attempts)),
        str(last.status) if last and last.status else "-",
        (last.error or last.answer or "-") if last else "-",
        time_text(item.due_time),
        item.rule_id,
        item.alert_id,
        item.delivery_id,
    ]


def attempt_table(found: Sequence[AlertDelivery]) -> Table:
    """Return a table of every try of some deliveries."""
    return Table(
        [
            Column("tried"),
            Column("by"),
            wide("to"),
            right("status"),
            right("ms"),
            wide("answer"),
            wide("error"),
        ],
        [
            [
                time_text(attempt.attempt_time),
                item.type,
                item.target or "-",
                str(attempt.status or "-"),
                str(attempt.latency_ms),
                attempt.answer or "-",
                attempt.error or "-",
            ]
            for item in found
            for attempt in item.attempts
        ],
    )


def silence_table(found: Sequence[Silence]) -> Table:
    """Return a table of silences."""
    return Table(
        [
            Column("silence"),
            Column("account"),
            Column("kind"),
            minor("from"),
            Column("until"),
            minor("by"),
            wide("reason"),
        ],
        [
            [
                item.silence_id,
                item.account,
                item.kind or "all",
                time_text(item.create_time),
                time_text(item.end_time),
                item.actor,
                item.reason,
            ]
            for item in found
        ],
    )


def rule_table(found: Sequence[AlertRule]) -> Table:
    """Return a table of rules."""
    return Table(
        [
            Column("rule"),
            Column("account"),
            wide("name"),
            Column("kinds"),
            Column("channels"),
            minor("params"),
            Column("state"),
        ],
        [
            [
                item.rule_id,
                item.account,
                item.display_name,
                one_line(item.kinds) if item.kinds else "all",
                one_line(channel.type.lower() for channel in item.channels),
                one_line(f"{name}={value}" for name, value in item.params.items()),
                "disabled" if item.disabled else "enabled",
            ]
            for item in found
        ],
    )


def channel_table(rule: AlertRule) -> Table:
    """Return a table of a rule's channels, with the secrets of those that were just made."""
    return Table(
        [right("channel"), Column("by"), Column("to"), Column("secret")],
        [
            [
                str(channel.channel),
                channel.type,
                channel.url or one_line(channel.addresses),
                channel.secret or "-",
            ]
            for channel in rule.channels
        ],
    )
