"""Between the messages of AlertService and the domain's values."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from authority.domain.alerts import Alert, AlertKind, AlertRule, ChannelType, Delivery, Silence
from authority.rpc.convert import set_time
from authority.v1 import alert_service_pb2 as messages


def alert_to_proto(alert: Alert) -> messages.Alert:
    """Return the proto's message."""
    return messages.Alert(
        alert_id=alert.alert_id,
        kind=_kind(alert.kind),
        account=alert.account,
        severity=messages.AlertSeverity.Value(f"ALERT_SEVERITY_{alert.severity}"),
        summary=alert.summary,
        details={name: str(value) for name, value in alert.details.items()},
        raise_time=_time(alert.raise_time),
        silenced=alert.is_silenced,
        acknowledge_time=_time(alert.acknowledge_time),
        acknowledge_actor=alert.acknowledge_actor,
        acknowledge_reason=alert.acknowledge_reason,
    )


def rule_to_proto(rule: AlertRule) -> messages.AlertRule:
    """Return the proto's message, with what secrets the rule shows."""
    return messages.AlertRule(
        rule_id=rule.rule_id,
        account=rule.account,
        display_name=rule.display_name,
        kinds=map(_kind, sorted(rule.kinds)),
        channels=[
            messages.AlertChannel(
                type=_type(channel.type),
                url=channel.url,
                addresses=channel.addresses,
                channel=channel.channel,
                secret=channel.secret,
            )
            for channel in rule.channels
        ],
        params=rule.params,
        disabled=not rule.is_enabled,
        create_time=_time(rule.create_time),
        update_time=_time(rule.update_time),
    )


def silence_to_proto(silence: Silence) -> messages.Silence:
    """Return the proto's message."""
    return messages.Silence(
        silence_id=silence.silence_id,
        account=silence.account,
        kind=_kind(silence.kind) if silence.kind else messages.ALERT_KIND_UNSPECIFIED,
        create_time=_time(silence.create_time),
        end_time=_time(silence.end_time),
        actor=silence.actor,
        reason=silence.reason,
    )


def delivery_to_proto(delivery: Delivery) -> messages.AlertDelivery:
    """Return the proto's message."""
    message = messages.AlertDelivery(
        delivery_id=delivery.delivery_id,
        alert_id=delivery.alert_id,
        rule_id=delivery.rule_id,
        channel=delivery.channel,
        type=_type(delivery.type),
        target=delivery.target,
        state=messages.AlertDeliveryState.Value(f"ALERT_DELIVERY_STATE_{delivery.state}"),
    )
    for attempt in delivery.attempts:
        added = message.attempts.add(
            status=attempt.status,
            latency_ms=attempt.latency_ms,
            answer=attempt.answer,
            error=attempt.error,
        )
        set_time(added.attempt_time, attempt.time_ms)
    set_time(message.create_time, delivery.create_ms)
    set_time(message.due_time, 0 if delivery.end_ms else delivery.due_ms)
    set_time(message.end_time, delivery.end_ms)
    set_time(message.retry_time, delivery.retry_ms)
    return message


def _kind(kind: AlertKind) -> messages.AlertKind.ValueType:
    return messages.AlertKind.Value(f"ALERT_KIND_{kind}")


def _type(kind: ChannelType) -> messages.AlertChannelType.ValueType:
    return messages.AlertChannelType.Value(f"ALERT_CHANNEL_TYPE_{kind}")


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
