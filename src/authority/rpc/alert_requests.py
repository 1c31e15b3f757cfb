"""Reads requests about alerts: every field checked, every violation named at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from google.protobuf.message import Message

from authority.domain.alert_params import problem_with
from authority.domain.alerts import (
    AlertFilter,
    AlertKind,
    AlertRule,
    Channel,
    ChannelType,
    DeliveryFilter,
    DeliveryState,
    RuleChange,
)
from authority.domain.ids import PLATFORM, is_owned_id, tenant_of
from authority.rpc.requests import Reader, enum_name
from authority.v1 import alert_service_pb2 as messages

CHANNELS_MAX = 8
ADDRESSES_MAX = 20
_KINDS_MAX = 64
_NAME_LENGTH_MAX = 128
_URL_LENGTH_MAX = 2_048
_ADDRESS_LENGTH_MAX = 254
_PARAMS_MAX = 64
_SHOWN_LENGTH_MAX = 40
_PORT_MAX = 65_535
_NOT_YET = datetime.fromtimestamp(0, UTC)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_RULE_MASK = ("channels", "disabled", "display_name", "kinds", "params")


def read_place(reader: Reader, field: str, account: str) -> str:
    """Read an account, or `platform`."""
    return account if account == PLATFORM else reader.account(account, field)


def read_tenant(reader: Reader, tenant: str) -> str:
    """Read a tenant to be listed, `platform`, or '' for all."""
    return tenant if tenant in {"", PLATFORM} else reader.tenant(tenant)


def read_id(reader: Reader, field: str, text: str) -> str:
    """Read the id of an alert, a rule, a silence or a delivery."""
    if not is_owned_id(text):
        reader.wrong(field, "must be an id as lists show it: `tenant/uuid`")
    return text


def read_kind(reader: Reader, field: str, number: int) -> AlertKind | None:
    """Read a kind; None if it is not set."""
    if number == messages.ALERT_KIND_UNSPECIFIED:
        return None
    return reader.word(field, "ALERT_KIND", enum_name(messages.AlertKind, number), AlertKind, None)


def read_kinds(reader: Reader, field: str, numbers: Sequence[int]) -> frozenset[AlertKind]:
    """Read kinds, none of which may be left unset."""
    if len(numbers) > _KINDS_MAX:
        reader.wrong(field, f"must be at most {_KINDS_MAX}, not {len(numbers)}")
        return frozenset()
    return frozenset(
        reader.word(
            f"{field}[{index}]",
            "ALERT_KIND",
            enum_name(messages.AlertKind, number),
            AlertKind,
            None,
        )
        for index, number in enumerate(numbers)
    )


def read_alert_filter(reader: Reader, request: messages.ListAlertsRequest) -> AlertFilter:
    """Read which alerts to list."""
    start_ms, end_ms = _span(reader, request)
    if request.account:
        read_place(reader, "account", request.account)
    return AlertFilter(
        tenant=read_tenant(reader, request.tenant),
        account=request.account,
        kinds=read_kinds(reader, "kinds", request.kinds),
        unacknowledged=request.unacknowledged,
        start_ms=start_ms,
        end_ms=end_ms,
    )


def read_delivery_filter(
    reader: Reader, request: messages.ListAlertDeliveriesRequest
) -> DeliveryFilter:
    """Read which deliveries to list."""
    state = None
    if request.state != messages.ALERT_DELIVERY_STATE_UNSPECIFIED:
        name = enum_name(messages.AlertDeliveryState, request.state)
        state = reader.word("state", "ALERT_DELIVERY_STATE", name, DeliveryState, None)
    for field in ("alert_id", "rule_id"):
        if text := getattr(request, field):
            read_id(reader, field, text)
    return DeliveryFilter(
        read_tenant(reader, request.tenant), request.alert_id, request.rule_id, state
    )


def read_rule(reader: Reader, message: messages.AlertRule) -> AlertRule:
    """Read a rule to be made."""
    account = read_place(reader, "rule.account", message.account)
    channels = _read_channels(reader, message.channels)
    if not message.channels and not message.params:
        reader.wrong("rule.channels", f"must be 1 to {CHANNELS_MAX}, unless `params` are set")
    return AlertRule(
        rule_id="",
        tenant=tenant_of(account),
        account=account,
        display_name=_read_name(reader, message),
        kinds=read_kinds(reader, "rule.kinds", message.kinds),
        channels=channels,
        params=_read_params(reader, message.params),
        is_enabled=not message.disabled,
        create_time=_NOT_YET,
        update_time=_NOT_YET,
    )


def read_rule_change(reader: Reader, request: messages.UpdateAlertRuleRequest) -> RuleChange:
    """Read what to change of a rule; what the mask does not name is not looked at."""
    mask, wanted = reader.mask(request.update_mask, _RULE_MASK), request.rule
    return RuleChange(
        display_name=_read_name(reader, wanted) if "display_name" in mask else None,
        kinds=read_kinds(reader, "rule.kinds", wanted.kinds) if "kinds" in mask else None,
        channels=_read_channels(reader, wanted.channels) if "channels" in mask else None,
        params=_read_params(reader, wanted.params) if "params" in mask else None,
        is_enabled=not wanted.disabled if "disabled" in mask else None,
    )


def _span(reader: Reader, message: Message) -> tuple[int, int]:
    start_ms, end_ms = reader.time("start_time", message), reader.time("end_time", message)
    if start_ms and end_ms and end_ms <= start_ms:
        reader.wrong("end_time", "must be later than `start_time`")
    return start_ms, end_ms


def _read_name(reader: Reader, message: messages.AlertRule) -> str:
    return reader.text("rule.display_name", message.display_name, _NAME_LENGTH_MAX)


def _read_params(reader: Reader, params: Mapping[str, int]) -> dict[str, int]:
    if len(params) > _PARAMS_MAX:
        reader.wrong("rule.params", f"must be at most {_PARAMS_MAX}, not {len(params)}")
        return {}
    for name, value in params.items():
        if problem := problem_with(name, value):
            reader.wrong(f"rule.params[{name[:_SHOWN_LENGTH_MAX]!r}]", problem)
    return dict(params)


def _read_channels(reader: Reader, given: Sequence[messages.AlertChannel]) -> tuple[Channel, ...]:
    if len(given) > CHANNELS_MAX:
        reader.wrong("rule.channels", f"must be at most {CHANNELS_MAX}, not {len(given)}")
        return ()
    channels: list[Channel] = []
    for index, message in enumerate(given):
        field = f"rule.channels[{index}]"
        channel = _read_channel(reader, field, message)
        if any(channel.is_like(other) for other in channels):
            reader.wrong(field, "is there twice")
        channels.append(channel)
    return tuple(channels)


def _read_channel(reader: Reader, field: str, message: messages.AlertChannel) -> Channel:
    name = enum_name(messages.AlertChannelType, message.type)
    kind = reader.word(f"{field}.type", "ALERT_CHANNEL_TYPE", name, ChannelType, None)
    if kind is ChannelType.WEBHOOK:
        _check_url(reader, f"{field}.url", message.url)
    elif message.url:
        reader.wrong(f"{field}.url", "is for webhooks alone")
    addresses = tuple(message.addresses)
    if kind is ChannelType.EMAIL:
        if not 1 <= len(addresses) <= ADDRESSES_MAX or len(set(addresses)) < len(addresses):
            reader.wrong(f"{field}.addresses", f"must be 1 to {ADDRESSES_MAX}, each once")
        for place, address in enumerate(addresses[:ADDRESSES_MAX]):
            if len(address) > _ADDRESS_LENGTH_MAX or not _ADDRESS.fullmatch(address):
                reader.wrong(f"{field}.addresses[{place}]", "must be such as ops@example.com")
    elif addresses:
        reader.wrong(f"{field}.addresses", "are for e-mail alone")
    return Channel(kind, message.url, addresses)


def _check_url(reader: Reader, field: str, url: str) -> None:
    problem = "must be a URL such as https://example.com/alerts, without a password or #"
    if not 1 <= len(url) <= _URL_LENGTH_MAX or not (url.isascii() and url.isprintable()):
        reader.wrong(field, f"{problem}, of at most {_URL_LENGTH_MAX} ASCII characters")
        return
    try:
        parts = urlsplit(url)
        is_port = parts.port is None or 0 < parts.port <= _PORT_MAX
    except ValueError:
        reader.wrong(field, problem)
        return
    is_plain = not (parts.username or parts.password or parts.fragment or " " in url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_port or not is_plain:
        reader.wrong(field, problem)
