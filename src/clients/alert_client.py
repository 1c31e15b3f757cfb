"""Alerts: what was noticed, who is told, and what became of telling them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import alert_service_pb2 as messages
from authority.v1.alert_service_pb2_grpc import AlertServiceStub
from clients.alert_types import (
    Alert,
    AlertChannel,
    AlertDelivery,
    AlertDeliveryState,
    AlertKind,
    AlertRule,
    AlertTest,
    Silence,
)
from clients.channel import Client
from clients.convert_alerts import (
    alert_from_proto,
    channels_to_proto,
    delivery_from_proto,
    kind_to_proto,
    kinds_to_proto,
    rule_from_proto,
    silence_from_proto,
    state_to_proto,
)
from clients.requests import message, time_to_proto

_PAGE_SIZE = 500
# It waits for receivers.
_TEST_SECONDS = 30.0


class AlertClient(Client):
    """What owners and operators are told of. Errors are those of `clients.errors`.

    `account` stands for itself and all accounts below it; `platform` is all there are. `reason` is
    for the record of changes.
    """

    def _make_stub(self) -> None:
        self._stub = AlertServiceStub(self._channel)

    async def list_alerts(
        self,
        *,
        account: str = "",
        tenant: str = "",
        kinds: Sequence[AlertKind] = (),
        unacknowledged: bool = False,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        page_size: int = _PAGE_SIZE,
    ) -> AsyncIterator[Alert]:
        """Yield alerts, the latest first. `page_size` is how many are asked for at a time."""
        request = message(
            messages.ListAlertsRequest,
            account=account,
            tenant=tenant,
            kinds=kinds_to_proto(kinds),
            unacknowledged=unacknowledged,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
            page_size=page_size,
        )
        async for page in self._pages(self._stub.ListAlerts, request):
            for alert in page.alerts:
                yield alert_from_proto(alert)

    async def get_alert(self, alert_id: str) -> Alert:
        """Return an alert."""
        request = message(messages.GetAlertRequest, alert_id=alert_id)
        return alert_from_proto((await self._call(self._stub.GetAlert, request)).alert)

    async def acknowledge_alert(self, alert_id: str, *, reason: str = "") -> Alert:
        """Say that an alert was seen; the first one stands, and repeating it is safe."""
        request = message(messages.AcknowledgeAlertRequest, alert_id=alert_id, reason=reason)
        return alert_from_proto((await self._call(self._stub.AcknowledgeAlert, request)).alert)

    async def silence_alerts(
        self, account: str, end_time: datetime, *, kind: AlertKind | None = None, reason: str = ""
    ) -> Silence:
        """Let alerts be told to nobody until a time; of one kind, or of all."""
        request = message(
            messages.SilenceAlertsRequest,
            account=account,
            kind=kind_to_proto(kind),
            end_time=time_to_proto(end_time),
            reason=reason,
        )
        response = await self._call(self._stub.SilenceAlerts, request, repeatable=False)
        return silence_from_proto(response.silence)

    async def list_silences(
        self, *, tenant: str = "", page_size: int = _PAGE_SIZE
    ) -> AsyncIterator[Silence]:
        """Yield the silences that have not ended, in the order of their ids."""
        request = message(messages.ListSilencesRequest, tenant=tenant, page_size=page_size)
        async for page in self._pages(self._stub.ListSilences, request):
            for silence in page.silences:
                yield silence_from_proto(silence)

    async def end_silence(self, silence_id: str, *, reason: str = "") -> Silence:
        """End a silence now. Repeating it is safe."""
        request = message(messages.EndSilenceRequest, silence_id=silence_id, reason=reason)
        return silence_from_proto((await self._call(self._stub.EndSilence, request)).silence)

    async def create_alert_rule(
        self,
        account: str,
        *,
        channels: Sequence[AlertChannel] = (),
        kinds: Sequence[AlertKind] = (),
        params: Mapping[str, int] | None = None,
        display_name: str = "",
        disabled: bool = False,
        reason: str = "",
    ) -> AlertRule:
        """Make a rule; what is returned has the secrets of its webhooks, this once."""
        rule = message(
            messages.AlertRule,
            account=account,
            display_name=display_name,
            kinds=kinds_to_proto(kinds),
            channels=channels_to_proto(channels),
            params=dict(params or {}),
            disabled=disabled,
        )
        request = message(messages.CreateAlertRuleRequest, rule=rule, reason=reason)
        response = await self._call(self._stub.CreateAlertRule, request, repeatable=False)
        return rule_from_proto(response.rule)

    async def update_alert_rule(
        self,
        rule_id: str,
        *,
        channels: Sequence[AlertChannel] | None = None,
        kinds: Sequence[AlertKind] | None = None,
        params: Mapping[str, int] | None = None,
        display_name: str | None = None,
        disabled: bool | None = None,
        reason: str = "",
    ) -> AlertRule:
        """Change what is given; each takes the place of all that it was.

        A channel of the same type and target stays what it is. What is returned has the secrets of
        webhooks that are new, this once.
        """
        given = {
            "channels": channels,
            "disabled": disabled,
            "display_name": display_name,
            "kinds": kinds,
            "params": params,
        }
        rule = message(
            messages.AlertRule,
            rule_id=rule_id,
            display_name=display_name or "",
            kinds=kinds_to_proto(kinds or ()),
            channels=channels_to_proto(channels or ()),
            params=dict(params or {}),
            disabled=disabled or False,
        )
        mask = FieldMask(paths=[name for name, value in given.items() if value is not None])
        request = message(
            messages.UpdateAlertRuleRequest, rule=rule, update_mask=mask, reason=reason
        )
        response = await self._call(self._stub.UpdateAlertRule, request, repeatable=False)
        return rule_from_proto(response.rule)

    async def get_alert_rule(self, rule_id: str) -> AlertRule:
        """Return a rule, without secrets."""
        request = message(messages.GetAlertRuleRequest, rule_id=rule_id)
        return rule_from_proto((await self._call(self._stub.GetAlertRule, request)).rule)

    async def list_alert_rules(
        self, *, tenant: str = "", page_size: int = _PAGE_SIZE
    ) -> AsyncIterator[AlertRule]:
        """Yield rules, without secrets, in the order of their ids."""
        request = message(messages.ListAlertRulesRequest, tenant=tenant, page_size=page_size)
        async for page in self._pages(self._stub.ListAlertRules, request):
            for rule in page.rules:
                yield rule_from_proto(rule)

    async def delete_alert_rule(self, rule_id: str, *, reason: str = "") -> int:
        """Remove a rule; return how many deliveries were given up."""
        request = message(messages.DeleteAlertRuleRequest, rule_id=rule_id, reason=reason)
        response = await self._call(self._stub.DeleteAlertRule, request, repeatable=False)
        return response.given_up_count

    async def test_alert_rule(self, rule_id: str, *, timeout: float = _TEST_SECONDS) -> AlertTest:
        """Raise an alert by a rule, tell it now, and return what became of it."""
        request = message(messages.TestAlertRuleRequest, rule_id=rule_id)
        response = await self._call(
            self._stub.TestAlertRule, request, timeout=timeout, repeatable=False
        )
        return AlertTest(
            alert_from_proto(response.alert), tuple(map(delivery_from_proto, response.deliveries))
        )

    async def list_alert_deliveries(
        self,
        *,
        alert_id: str = "",
        rule_id: str = "",
        state: AlertDeliveryState | None = None,
        tenant: str = "",
        page_size: int = _PAGE_SIZE,
    ) -> AsyncIterator[AlertDelivery]:
        """Yield deliveries with every try, the latest first."""
        request = message(
            messages.ListAlertDeliveriesRequest,
            alert_id=alert_id,
            rule_id=rule_id,
            state=state_to_proto(state),
            tenant=tenant,
            page_size=page_size,
        )
        async for page in self._pages(self._stub.ListAlertDeliveries, request):
            for delivery in page.deliveries:
                yield delivery_from_proto(delivery)

    async def retry_alert_delivery(self, delivery_id: str, *, reason: str = "") -> AlertDelivery:
        """Have a delivery that was given up told anew, under its id.

        Raises DeliveryStateError where it was not given up, or the channel is gone.
        """
        request = message(
            messages.RetryAlertDeliveryRequest, delivery_id=delivery_id, reason=reason
        )
        response = await self._call(self._stub.RetryAlertDelivery, request, repeatable=False)
        return delivery_from_proto(response.delivery)
