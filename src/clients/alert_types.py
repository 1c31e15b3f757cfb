"""Alerts, and who is told of them: plain, frozen values. Times are in UTC.

Every word has a value UNKNOWN, which stands for one that this client is too old to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AlertKind(StrEnum):
    """What an alert is about."""

    BUDGET_THRESHOLD = "BUDGET_THRESHOLD"
    GRANT_EXPIRING = "GRANT_EXPIRING"
    PROJECTION = "PROJECTION"
    IDLE_HOLDS = "IDLE_HOLDS"
    PROVIDER_ERRORS = "PROVIDER_ERRORS"
    UNUSUAL_SPEND = "UNUSUAL_SPEND"
    LEDGER_DRIFT = "LEDGER_DRIFT"
    ABUSE = "ABUSE"
    TEST = "TEST"
    UNKNOWN = "UNKNOWN"


class AlertSeverity(StrEnum):
    """How bad it is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"


class AlertChannelType(StrEnum):
    """How somebody is told."""

    WEBHOOK = "WEBHOOK"
    EMAIL = "EMAIL"
    LOG = "LOG"
    UNKNOWN = "UNKNOWN"


class AlertDeliveryState(StrEnum):
    """What became of telling it; FAILED is given up."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should know of. `details` are the same for machines, by name."""

    alert_id: str
    kind: AlertKind
    account: str
    severity: AlertSeverity
    summary: str
    details: Mapping[str, str]
    raise_time: datetime | None
    silenced: bool
    acknowledge_time: datetime | None
    acknowledge_actor: str
    acknowledge_reason: str


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """One way of telling somebody. `webhook`, `email` and `log` make one for a rule.

    `channel` is its number within the rule. `secret` is shown once, in the answer that made a
    webhook; it is in no repr.
    """

    type: AlertChannelType
    url: str = ""
    addresses: tuple[str, ...] = ()
    channel: int = 0
    secret: str = field(default="", repr=False)

    @classmethod
    def webhook(cls, url: str) -> AlertChannel:
        """Return a channel that posts to a URL, signed as Standard Webhooks says."""
        return cls(AlertChannelType.WEBHOOK, url=url)

    @classmethod
    def email(cls, *addresses: str) -> AlertChannel:
        """Return a channel that sends a message to addresses."""
        return cls(AlertChannelType.EMAIL, addresses=addresses)

    @classmethod
    def log(cls) -> AlertChannel:
        """Return a channel that writes a line to the authority's log."""
        return cls(AlertChannelType.LOG)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Who is told of which alerts: those of `account` and all below it, of all kinds if none is."""

    rule_id: str
    account: str
    display_name: str
    kinds: tuple[AlertKind, ...]
    channels: tuple[AlertChannel, ...]
    params: Mapping[str, int]
    disabled: bool
    create_time: datetime | None
    update_time: datetime | None


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which alerts of an account, and of those below it, are told to nobody."""

    silence_id: str
    account: str
    kind: AlertKind | None  # None is all
    create_time: datetime | None
    end_time: datetime | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlertAttempt:
    """One try to tell; `status` is 0 if nobody answered."""

    attempt_time: datetime | None
    status: int
    latency_ms: int
    answer: str
    error: str


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """One alert by one channel of one rule. `retry_time` is when it was asked to be told anew."""

    delivery_id: str
    alert_id: str
    rule_id: str
    channel: int
    type: AlertChannelType
    target: str
    state: AlertDeliveryState
    attempts: tuple[AlertAttempt, ...]
    due_time: datetime | None
    create_time: datetime | None
    end_time: datetime | None
    retry_time: datetime | None


@dataclass(frozen=True, slots=True)
class AlertTest:
    """The alert of a test, and what became of it by each channel."""

    alert: Alert
    deliveries: tuple[AlertDelivery, ...]
