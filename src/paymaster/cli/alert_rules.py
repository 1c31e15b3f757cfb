"""`paymaster alerts rules`: who is told of which alerts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from clients.alert_types import AlertChannel, AlertKind, AlertRule
from paymaster.cli.alert_tables import alert_table, attempt_table, channel_table, rule_table
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.output import Output, note

_PARAM = re.compile(r"([a-z_]+\.[a-z_]+)=(\d{1,16})")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _channel_options(function: _Command) -> _Command:
    """Declare the options that say how somebody is told."""
    for option in (
        click.option("--log", "to_log", is_flag=True, help="Write a line to the authority's log."),
        click.option(
            "--email",
            "emails",
            multiple=True,
            metavar="ADDRESSES",
            help="Send one message to these addresses, joined by commas; repeatable.",
        ),
        click.option(
            "--webhook", "urls", multiple=True, metavar="URL", help="Post to this URL; repeatable."
        ),
    ):
        function = option(function)
    return function


_kind_option = click.option(
    "--kind", "kinds", type=choice(AlertKind), multiple=True, help="Of this kind; repeatable."
)
_param_option = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="What detectors go by, such as grant_expiring.days=14; repeatable.",
)
_name_option = click.option("--display-name", metavar="TEXT", help="A name for people.")


@group
def rules() -> None:
    """List, read, make, change, try and remove rules: who is told of which alerts."""


@command(rules, "list")
@click.option("--tenant", default="", metavar="ID", help="Only of this tenant, or of `platform`.")
async def list_rules(*, output: Output, data_dir: Path | None, tenant: str) -> None:
    """List rules, in the order of their ids."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.alerts.list_alert_rules(tenant=tenant)]
    output.show({"rules": document_of(found)}, rule_table(found))


@command(rules, "get")
@click.argument("rule_id")
async def get_rule(*, output: Output, data_dir: Path | None, rule_id: str) -> None:
    """Show a rule with its channels."""
    async with connected(data_dir) as connection:
        found = await connection.alerts.get_alert_rule(rule_id)
    _show(output, found)


@command(rules, "create")
@click.argument("account")
@_channel_options
@_kind_option
@_param_option
@_name_option
@reason_option
async def create_rule(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    urls: Sequence[str],
    emails: Sequence[str],
    to_log: bool,
    kinds: Sequence[AlertKind],
    params: Sequence[str],
    display_name: str | None,
    reason: str,
) -> None:
    """Make a rule for an account and all below it, or `platform` for everything."""
    async with connected(data_dir) as connection:
        made = await connection.alerts.create_alert_rule(
            account,
            channels=_channels(urls, emails, to_log=to_log),
            kinds=kinds,
            params=_params(params),
            display_name=display_name or "",
            reason=reason,
        )
    _show(output, made)


@command(rules, "set")
@click.argument("rule_id")
@_channel_options
@_kind_option
@click.option("--all-kinds", is_flag=True, help="Of all kinds from now on.")
@_param_option
@click.option("--no-params", is_flag=True, help="Without params from now on.")
@_name_option
@click.option("--disabled/--enabled", default=None, help="Whether it tells nobody.")
@reason_option
async def set_rule(
    *,
    output: Output,
    data_dir: Path | None,
    rule_id: str,
    urls: Sequence[str],
    emails: Sequence[str],
    to_log: bool,
    kinds: Sequence[AlertKind],
    all_kinds: bool,
    params: Sequence[str],
    no_params: bool,
    display_name: str | None,
    disabled: bool | None,
    reason: str,
) -> None:
    """Change a rule; its channels, kinds and params are replaced by those that are given."""
    channels = _channels(urls, emails, to_log=to_log) or None
    wanted_kinds = kinds if kinds or all_kinds else None
    wanted_params = _params(params) if params or no_params else None
    given = (channels, wanted_kinds, wanted_params, display_name, disabled)
    if all(value is None for value in given):
        raise click.UsageError("Nothing to change: give what the rule is to be.")
    async with connected(data_dir) as connection:
        changed = await connection.alerts.update_alert_rule(
            rule_id,
            channels=channels,
            kinds=wanted_kinds,
            params=wanted_params,
            display_name=display_name,
            disabled=disabled,
            reason=reason,
        )
    _show(output, changed)


@command(rules, "delete")
@click.argument("rule_id")
@reason_option
async def delete_rule(*, output: Output, data_dir: Path | None, rule_id: str, reason: str) -> None:
    """Remove a rule; what it has told stays on record."""
    async with connected(data_dir) as connection:
        count = await connection.alerts.delete_alert_rule(rule_id, reason=reason)
    output.show({"rule_id": rule_id, "given_up_count": count})
    if output.for_people:
        note(f"The rule is gone; {count} deliveries were given up.")


@command(rules, "test")
@click.argument("rule_id")
async def test_rule(*, output: Output, data_dir: Path | None, rule_id: str) -> None:
    """Tell a test by every channel of a rule, now, and show what became of it."""
    async with connected(data_dir) as connection:
        tested = await connection.alerts.test_alert_rule(rule_id)
    output.show(
        {"alert": document_of(tested.alert), "deliveries": document_of(tested.deliveries)},
        alert_table([tested.alert]),
        attempt_table(tested.deliveries),
    )


def _show(output: Output, rule: AlertRule) -> None:
    output.show({"rule": document_of(rule)}, rule_table([rule]), channel_table(rule))
    if output.for_people and any(channel.secret for channel in rule.channels):
        note("Keep the secrets: they can't be shown again.")


def _channels(urls: Sequence[str], emails: Sequence[str], *, to_log: bool) -> list[AlertChannel]:
    channels = [AlertChannel.webhook(url) for url in urls]
    channels += [
        AlertChannel.email(*(address.strip() for address in text.split(","))) for text in emails
    ]
    return [*channels, AlertChannel.log()] if to_log else channels


def _params(texts: Sequence[str]) -> dict[str, int]:
    params = {}
    for text in texts:
        read = _PARAM.fullmatch(text)
        if read is None:
            raise click.BadParameter(
                f"must be such as grant_expiring.days=14, not {text!r}", param_hint="--param"
            )
        params[read[1]] = int(read[2])
    return params
