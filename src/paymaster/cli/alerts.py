"""`paymaster alerts`: what was noticed, and what became of telling it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from clients.alert_types import AlertDeliveryState, AlertKind
from paymaster.cli.alert_rules import rules
from paymaster.cli.alert_tables import (
    alert_table,
    attempt_table,
    delivery_table,
    detail_table,
    silence_table,
)
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.listing import first_of
from paymaster.cli.output import Output
from paymaster.cli.times import parse_span, time_option
from paymaster.clock import now

_COUNT_DEFAULT = 100
_count_option = click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)


@group
def alerts() -> None:
    """See what was noticed, and who was told of it how."""


alerts.add_command(rules)


@command(alerts, "list")
@click.option("--account", default="", metavar="ID", help="Only this account and those below it.")
@click.option(
    "--kind", "kinds", type=choice(AlertKind), multiple=True, help="Of this kind; repeatable."
)
@click.option("--open", "unacknowledged", is_flag=True, help="Only what nobody has acknowledged.")
@time_option("--since", "Only what was raised at this time or later.")
@time_option("--until", "Only what was raised before this time.")
@_count_option
async def list_alerts(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    kinds: Sequence[AlertKind],
    unacknowledged: bool,
    since: datetime | None,
    until: datetime | None,
    count: int,
) -> None:
    """List alerts, the latest first."""
    async with connected(data_dir) as connection:
        listed = connection.alerts.list_alerts(
            account=account,
            kinds=kinds,
            unacknowledged=unacknowledged,
            start_time=since,
            end_time=until,
            page_size=count,
        )
        found = await first_of(listed, count)
    output.show({"alerts": document_of(found)}, alert_table(found))


@command(alerts, "get")
@click.argument("alert_id")
async def get_alert(*, output: Output, data_dir: Path | None, alert_id: str) -> None:
    """Show an alert with its details, and every try to tell it."""
    async with connected(data_dir) as connection:
        found = await connection.alerts.get_alert(alert_id)
        listed = connection.alerts.list_alert_deliveries(alert_id=alert_id)
        deliveries = [item async for item in listed]
    output.show(
        {"alert": document_of(found), "deliveries": document_of(deliveries)},
        alert_table([found]),
        detail_table(found),
        delivery_table(deliveries),
        attempt_table(deliveries),
    )


@command(alerts, "acknowledge")
@click.argument("alert_id")
@reason_option
async def acknowledge_alert(
    *, output: Output, data_dir: Path | None, alert_id: str, reason: str
) -> None:
    """Say that an alert was seen; the first one to say so stands."""
    async with connected(data_dir) as connection:
        seen = await connection.alerts.acknowledge_alert(alert_id, reason=reason)
    output.show({"alert": document_of(seen)}, alert_table([seen]))


@command(alerts, "silence")
@click.argument("account")
@click.option("--kind", type=choice(AlertKind), help="Of this kind; of all if not given.")
@click.option(
    "--for",
    "span",
    metavar="SPAN",
    callback=lambda _context, _param, text: parse_span(text),
    default="1h",
    show_default=True,
    help="For how long: 90s, 10m, 2h or 7d.",
)
@reason_option
async def silence_alerts(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    kind: AlertKind | None,
    span: timedelta,
    reason: str,
) -> None:
    """Let alerts of an account and those below it be listed and told to nobody, for a time."""
    async with connected(data_dir) as connection:
        made = await connection.alerts.silence_alerts(
            account, now() + span, kind=kind, reason=reason
        )
    output.show({"silence": document_of(made)}, silence_table([made]))


@command(alerts, "silences")
@click.option("--tenant", default="", metavar="ID", help="Only of this tenant, or of `platform`.")
async def list_silences(*, output: Output, data_dir: Path | None, tenant: str) -> None:
    """List the silences that have not ended."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.alerts.list_silences(tenant=tenant)]
    output.show({"silences": document_of(found)}, silence_table(found))


@command(alerts, "unsilence")
@click.argument("silence_id")
@reason_option
async def end_silence(
    *, output: Output, data_dir: Path | None, silence_id: str, reason: str
) -> None:
    """End a silence now. What was raised in it is not told any more."""
    async with connected(data_dir) as connection:
        ended = await connection.alerts.end_silence(silence_id, reason=reason)
    output.show({"silence": document_of(ended)}, silence_table([ended]))


@command(alerts, "deliveries")
@click.option("--alert", "alert_id", default="", metavar="ID", help="Only of this alert.")
@click.option("--rule", "rule_id", default="", metavar="ID", help="Only by this rule.")
@click.option("--state", type=choice(AlertDeliveryState), help="Only in this state.")
@_count_option
async def list_deliveries(
    *,
    output: Output,
    data_dir: Path | None,
    alert_id: str,
    rule_id: str,
    state: AlertDeliveryState | None,
    count: int,
) -> None:
    """List what was told to whom, and what is still to be told, the latest first."""
    async with connected(data_dir) as connection:
        listed = connection.alerts.list_alert_deliveries(
            alert_id=alert_id, rule_id=rule_id, state=state, page_size=count
        )
        found = await first_of(listed, count)
    output.show({"deliveries": document_of(found)}, delivery_table(found))


@command(alerts, "redeliver")
@click.argument("delivery_id")
@reason_option
async def redeliver(
    *, output: Output, data_dir: Path | None, delivery_id: str, reason: str
) -> None:
    """Tell anew what was given up, under the same id."""
    async with connected(data_dir) as connection:
        retried = await connection.alerts.retry_alert_delivery(delivery_id, reason=reason)
    output.show({"delivery": document_of(retried)}, delivery_table([retried]))
