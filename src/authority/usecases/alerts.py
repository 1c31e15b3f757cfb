"""Alerts as people see and steer them: rules, silences, acknowledgements, tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from authority.domain.alert_ports import AlertStore, Deliverer
from authority.domain.alerts import (
    Alert,
    AlertKind,
    AlertRule,
    Channel,
    ChannelType,
    Delivery,
    DeliveryFilter,
    NewAlert,
    RuleChange,
    Severity,
    Silence,
    with_channels,
)
from authority.domain.callers import Cause
from authority.domain.errors import InvalidRequest, Violation
from authority.domain.ids import PLATFORM, tenant_of
from authority.domain.secrets import new_webhook_secret
from authority.usecases.context import Context
from authority.usecases.decide import new_id

# Each alert of a tenant is put to all of its rules by what keeps the usage log of everybody.
RULES_MAX = 200
_DELIVERIES_MAX = 1_000
_SILENCE_DAYS_MAX = 365


@dataclass(frozen=True, slots=True)
class AlertContext:
    """What the use cases of alerts work with.

    `allow_private` lets webhooks go anywhere; `has_mail` says whether e-mail can be sent.
    """

    context: Context
    store: AlertStore
    deliverer: Deliverer
    allow_private: bool
    has_mail: bool

    def now(self) -> datetime:
        """Return the time by the hot store's clock."""
        return datetime.fromtimestamp(self.context.clock.now_ms() / 1000, UTC)


class Tested(NamedTuple):
    """The alert of a test, and what became of it."""

    alert: Alert
    deliveries: list[Delivery]


async def check_account(context: AlertContext, account: str) -> None:
    """Raise NotFound unless there is such an account; the platform always is."""
    if account != PLATFORM:
        await context.context.policies.of(account)


async def create_rule(context: AlertContext, rule: AlertRule, cause: Cause) -> AlertRule:
    """Make a rule; return it with the secrets of its webhooks.

    Raises NotFound (the account), InvalidRequest, Unavailable.
    """
    _check_channels(context, rule.channels)
    await check_account(context, rule.account)
    if len(await context.store.list_rules(rule.tenant, "", RULES_MAX)) == RULES_MAX:
        raise InvalidRequest.of(
            "rule.account", f"a tenant has {RULES_MAX} rules at most; delete some of {rule.tenant}"
        )
    now = context.now()
    bare = replace(
        rule, rule_id=f"{rule.tenant}/{new_id()}", channels=(), create_time=now, update_time=now
    )
    made = with_channels(bare, rule.channels, new_webhook_secret)
    await context.store.insert_rule(made, cause)
    return made


async def update_rule(
    context: AlertContext, rule_id: str, change: RuleChange, cause: Cause
) -> AlertRule:
    """Change a rule; return it with the secrets of webhooks that are new.

    Raises NotFound, InvalidRequest, Unavailable.
    """
    _check_channels(context, change.channels or ())
    before, after = await context.store.update_rule(rule_id, change, cause, context.now())
    had = {channel.channel for channel in before.channels}
    return after.without_secrets({channel.channel for channel in after.channels} - had)


async def silence(
    context: AlertContext, account: str, kind: AlertKind | None, end_ms: int, cause: Cause
) -> Silence:
    """Let alerts be told to nobody for a time. Raises NotFound, InvalidRequest, Unavailable."""
    now = context.now()
    end = datetime.fromtimestamp(end_ms / 1000, UTC)
    if end <= now or (end - now).days > _SILENCE_DAYS_MAX:
        raise InvalidRequest.of(
            "end_time", f"must be a time to come, at most {_SILENCE_DAYS_MAX} days from now"
        )
    await check_account(context, account)
    tenant = tenant_of(account)
    made = Silence(
        f"{tenant}/{new_id()}", tenant, account, kind, now, end, cause.actor, cause.reason
    )
    await context.store.insert_silence(made, cause)
    return made


async def try_rule(context: AlertContext, rule_id: str, actor: str) -> Tested:
    """Raise an alert by one rule, tell it now, and say what became of it.

    Raises NotFound and Unavailable.
    """
    rule = await context.store.find_rule(rule_id)
    alert = NewAlert(
        kind=AlertKind.TEST,
        tenant=rule.tenant,
        account=rule.account,
        dedup_key=new_id(),
        severity=Severity.INFO,
        summary=f"This is a test of the rule {rule.display_name or rule_id}.",
        details={"rule_id": rule_id, "actor": actor},
        raise_time=context.now(),
    )
    alert_id = await context.store.raise_test(alert, rule_id)
    await context.deliverer.deliver(alert_id)
    deliveries = await context.store.list_deliveries(
        DeliveryFilter(alert_id=alert_id), None, _DELIVERIES_MAX
    )
    return Tested(
        await context.store.find_alert(alert_id), sorted(deliveries, key=lambda item: item.channel)
    )


def _check_channels(context: AlertContext, channels: tuple[Channel, ...]) -> None:
    """Raise InvalidRequest for what this installation can't tell."""
    wrong = []
    for index, channel in enumerate(channels):
        field = f"rule.channels[{index}]"
        is_plain = channel.type is ChannelType.WEBHOOK and urlsplit(channel.url).scheme == "http"
        if is_plain and not context.allow_private:
            wrong.append(
                Violation(
                    f"{field}.url",
                    "must begin with https://, unless AUTHORITY_ALERTS_PRIVATE allows all",
                )
            )
        if channel.type is ChannelType.EMAIL and not context.has_mail:
            wrong.append(
                Violation(f"{field}.type", "there is no mail server: set AUTHORITY_SMTP_URL")
            )
    if wrong:
        raise InvalidRequest(wrong)
