"""Alerts: what somebody should know of, and who is told how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

DEFAULT_THRESHOLDS = (75, 80, 90, 100)
THRESHOLDS_MAX = 8
# How long a test is left to who has asked for it.
HEAD_START_MS = 30_000
THRESHOLD_MAX = 1000  # percent: a budget that only notifies may be passed many times over


class Thresholds(NamedTuple):
    """When a budget raises alerts: at which percentages of which limit."""

    limit: int
    percents: tuple[int, ...]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Return each percentage with the net amount that reaches it, the lowest first."""
        return [(percent, max(1, -(-self.limit * percent // 100))) for percent in self.percents]


class AlertKind(StrEnum):
    """What an alert is about. The params of rules are by kind (docs/alerts.md)."""

    BUDGET_THRESHOLD = "BUDGET_THRESHOLD"
    GRANT_EXPIRING = "GRANT_EXPIRING"
    PROJECTION = "PROJECTION"
    IDLE_HOLDS = "IDLE_HOLDS"
    PROVIDER_ERRORS = "PROVIDER_ERRORS"
    UNUSUAL_SPEND = "UNUSUAL_SPEND"
    LEDGER_DRIFT = "LEDGER_DRIFT"
    ABUSE = "ABUSE"
    TEST = "TEST"


class Severity(StrEnum):
    """How bad it is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class ChannelType(StrEnum):
    """How somebody is told."""

    WEBHOOK = "WEBHOOK"
    EMAIL = "EMAIL"
    LOG = "LOG"


class DeliveryState(StrEnum):
    """What became of telling it."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"  # given up


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert to be raised, once for each kind and `dedup_key`.

    `tenant` and `account` are `platform` for what belongs to no tenant. `dedup_key` says all that
    makes the case one case, such as `12:1763683200000:80`; of two with the same, by whichever
    process, one is raised. `raise_time` is by the hot store's clock. `details` are for machines:
    amounts and ids by the names that docs/alerts.md has.
    """

    kind: AlertKind
    tenant: str
    account: str
    dedup_key: str
    severity: Severity
    summary: str
    details: Mapping[str, str | int]
    raise_time: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that was raised."""

    alert_id: str
    kind: AlertKind
    tenant: str
    account: str
    dedup_key: str
    severity: Severity
    summary: str
    details: Mapping[str, str | int]
    raise_time: datetime
    is_silenced: bool
    acknowledge_time: datetime | None = None
    acknowledge_actor: str = ""
    acknowledge_reason: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way of telling somebody: a webhook's URL, addresses of e-mail, or the log.

    `channel` is its number within the rule, which it keeps as long as its type and target stay.
    `secret`, of a webhook, is never shown again and is in no repr.
    """

    type: ChannelType
    url: str = ""
    addresses: tuple[str, ...] = ()
    channel: int = 0
    secret: str = field(default="", repr=False)

    @property
    def target(self) -> str:
        """Return where it goes, as lists show it."""
        return self.url or ", ".join(self.addresses)

    def is_like(self, other: Channel) -> bool:
        """Say whether both go the same way to the same target."""
        return (self.type, self.target) == (other.type, other.target)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Who is told of which alerts, and what the detectors of these go by.

    It is for the alerts of `account` and of all accounts below it; `platform` is for all there are.
    `kinds` are those that it is for, all if there are none. `params` are by name, as the detectors
    read them; of several rules that fit, the nearest to the account that has a name counts.
    """

    rule_id: str
    tenant: str
    account: str
    display_name: str
    kinds: frozenset[AlertKind]
    channels: tuple[Channel, ...]
    params: Mapping[str, int]
    is_enabled: bool
    create_time: datetime
    update_time: datetime
    last_channel: int = 0  # the highest number that a channel of it ever had

    def without_secrets(self, but: AbstractSet[int] = frozenset()) -> AlertRule:
        """Return the rule as it may be shown: with the secrets of some channels at the most."""
        shown = [
            channel if channel.channel in but else replace(channel, secret="")
            for channel in self.channels
        ]
        return replace(self, channels=tuple(shown))


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What to change of a rule; None leaves it as it is."""

    display_name: str | None = None
    kinds: frozenset[AlertKind] | None = None
    channels: tuple[Channel, ...] | None = None
    params: Mapping[str, int] | None = None
    is_enabled: bool | None = None

    def apply(
        self, rule: AlertRule, change_time: datetime, new_secret: Callable[[], str]
    ) -> AlertRule:
        """Return the rule as it is to be; a channel like one that it had is that one."""
        given = {
            name: value
            for name in ("display_name", "kinds", "params", "is_enabled")
            if (value := getattr(self, name)) is not None
        }
        wanted = replace(rule, **given)
        if self.channels is not None:
            wanted = with_channels(wanted, self.channels, new_secret)
        return rule if wanted == rule else replace(wanted, update_time=change_time)


def with_channels(
    rule: AlertRule, channels: Sequence[Channel], new_secret: Callable[[], str]
) -> AlertRule:
    """Return a rule with channels that have their numbers and, webhooks, their secrets."""
    numbered = []
    last = rule.last_channel
    for channel in channels:
        had = next((own for own in rule.channels if own.is_like(channel)), None)
        if had is None:
            last += 1
            secret = new_secret() if channel.type is ChannelType.WEBHOOK else ""
            had = replace(channel, channel=last, secret=secret)
        numbered.append(had)
    return replace(rule, channels=tuple(numbered), last_channel=last)


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which alerts of an account, and of those below it, are told to nobody."""

    silence_id: str
    tenant: str
    account: str
    kind: AlertKind | None
    create_time: datetime
    end_time: datetime
    actor: str
    reason: str


class Attempt(NamedTuple):
    """One try to deliver. `status` is that of HTTP or SMTP, 0 if nobody answered."""

    time_ms: int
    status: int
    latency_ms: int
    answer: str  # the head of it
    error: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert by one channel. Its id is the same in every try, as receivers' `webhook-id`."""

    delivery_id: str
    alert_id: str
    rule_id: str
    channel: int
    type: ChannelType
    target: str
    state: DeliveryState
    attempts: tuple[Attempt, ...]
    due_ms: int
    create_ms: int
    end_ms: int  # 0 while it is pending
    retry_ms: int = 0  # when it was last asked to be told anew


class AlertFilter(NamedTuple):
    """Which alerts to list; '', None and 0 are for any. `account` is with all below it."""

    tenant: str = ""
    account: str = ""
    kinds: frozenset[AlertKind] = frozenset()
    unacknowledged: bool = False
    start_ms: int = 0
    end_ms: int = 0


class DeliveryFilter(NamedTuple):
    """Which deliveries to list; '' and None are for any."""

    tenant: str = ""
    alert_id: str = ""
    rule_id: str = ""
    state: DeliveryState | None = None
