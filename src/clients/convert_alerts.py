"""Between the messages of AlertService and the values that callers see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from authority.v1 import alert_service_pb2 as messages
from clients import alert_types
from clients.convert import time_from_proto, word
from clients.requests import message


def kind_to_proto(kind: alert_types.AlertKind | None) -> messages.AlertKind.ValueType:
    """Return the proto's value; None is not set."""
    return messages.AlertKind.Value(f"ALERT_KIND_{kind or 'UNSPECIFIED'}")


def kinds_to_proto(
    kinds: Iterable[alert_types.AlertKind],
) -> list[messages.AlertKind.ValueType]:
    """Return the proto's values."""
    return [kind_to_proto(kind) for kind in kinds]


def state_to_proto(
    state: alert_types.AlertDeliveryState | None,
) -> messages.AlertDeliveryState.ValueType:
    """Return the proto's value; None is not set."""
    return messages.AlertDeliveryState.Value(f"ALERT_DELIVERY_STATE_{state or 'UNSPECIFIED'}")


def channels_to_proto(
    channels: Sequence[alert_types.AlertChannel],
) -> list[messages.AlertChannel]:
    """Return the proto's messages."""
    return [
        message(
            messages.AlertChannel,
            type=messages.AlertChannelType.Value(f"ALERT_CHANNEL_TYPE_{channel.type}"),
            url=channel.url,
            addresses=channel.addresses,
        )
        for channel in channels
    ]


def alert_from_proto(alert: messages.Alert) -> alert_types.Alert:
    """Return the alert."""
    return alert_types.Alert(
        alert_id=alert.alert_id,
        kind=_kind(alert.kind),
        account=alert.account,
        severity=word(
            alert_types.AlertSeverity, messages.AlertSeverity, "ALERT_SEVERITY_", alert.severity
        ),
        summary=alert.summary,
        details=dict(sorted(alert.details.items())),
        raise_time=time_from_proto(alert.raise_time),
        silenced=alert.silenced,
        acknowledge_time=time_from_proto(alert.acknowledge_time),
        acknowledge_actor=alert.acknowledge_actor,
        acknowledge_reason=alert.acknowledge_reason,
    )


def rule_from_proto(rule: messages.AlertRule) -> alert_types.AlertRule:
    """Return the rule."""
    return alert_types.AlertRule(
        rule_id=rule.rule_id,
        account=rule.account,
        display_name=rule.display_name,
        kinds=tuple(map(_kind, rule.kinds)),
        channels=tuple(
            alert_types.AlertChannel(
                _type(channel.type),
                channel.url,
                tuple(channel.addresses),
                channel.channel,
                channel.secret,
            )
            for channel in rule.channels
        ),
        params=dict(sorted(rule.params.items())),
        disabled=rule.disabled,
        create_time=time_from_proto(rule.create_time),
        update_time=time_from_proto(rule.update_time),
    )


def silence_from_proto(silence: messages.Silence) -> alert_types.Silence:
    """Return the silence."""
    return alert_types.Silence(
        silence_id=silence.silence_id,
        account=silence.account,
        kind=_kind(silence.kind) if silence.kind else None,
        create_time=time_from_proto(silence.create_time),
        end_time=time_from_proto(silence.end_time),
        actor=silence.actor,
        reason=silence.reason,
    )


def delivery_from_proto(delivery: messages.AlertDelivery) -> alert_types.AlertDelivery:
    """Return the delivery."""
    return alert_types.AlertDelivery(
        delivery_id=delivery.delivery_id,
        alert_id=delivery.alert_id,
        rule_id=delivery.rule_id,
        channel=delivery.channel,
        type=_type(delivery.type),
        target=delivery.target,
        state=word(
            alert_types.AlertDeliveryState,
            messages.AlertDeliveryState,
            "ALERT_DELIVERY_STATE_",
            delivery.state,
        ),
        attempts=tuple(
            alert_types.AlertAttempt(
                time_from_proto(attempt.attempt_time),
                attempt.status,
                attempt.latency_ms,
                attempt.answer,
                attempt.error,
            )
            for attempt in delivery.attempts
        ),
        due_time=time_from_proto(delivery.due_time),
        create_time=time_from_proto(delivery.create_time),
        end_time=time_from_proto(delivery.end_time),
        retry_time=time_from_proto(delivery.retry_time),
    )


def _kind(number: int) -> alert_types.AlertKind:
    return word(alert_types.AlertKind, messages.AlertKind, "ALERT_KIND_", number)


def _type(number: int) -> alert_types.AlertChannelType:
    return word(
        alert_types.AlertChannelType, messages.AlertChannelType, "ALERT_CHANNEL_TYPE_", number
    )
