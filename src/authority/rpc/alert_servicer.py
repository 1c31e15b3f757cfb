"""AlertService: what was noticed, who is told, and what became of telling them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from authority.rpc.alert_convert import (
    alert_to_proto,
    delivery_to_proto,
    rule_to_proto,
    silence_to_proto,
)
from authority.rpc.alert_requests import (
    read_alert_filter,
    read_delivery_filter,
    read_id,
    read_kind,
    read_place,
    read_rule,
    read_rule_change,
    read_tenant,
)
from authority.rpc.caller import current_caller, read_cause
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.usecases import alerts
from authority.usecases.alerts import AlertContext
from authority.v1 import alert_service_pb2 as messages
from authority.v1 import alert_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_MICROSECOND = 253_402_300_799_000_000  # the year 9999


class AlertServicer(alert_service_pb2_grpc.AlertServiceServicer):
    """Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(self, context: AlertContext, shield: Shield) -> None:
        self._context = context
        self._store = context.store
        self._shield = shield

    async def ListAlerts(
        self, request: messages.ListAlertsRequest, context: Call
    ) -> messages.ListAlertsResponse:
        reader = Reader()
        wanted = read_alert_filter(reader, request)
        size = reader.page_size(request.page_size)
        reader.finish()
        if wanted.account:
            await alerts.check_account(self._context, wanted.account)
        scope = ["alerts", wanted.tenant, wanted.account, ",".join(sorted(wanted.kinds))]
        scope += [str(wanted.unacknowledged), str(wanted.start_ms), str(wanted.end_ms)]
        before = _before(request.page_token, scope)
        rows = await self._store.list_alerts(wanted, before, size + 1)
        response = messages.ListAlertsResponse(alerts=map(alert_to_proto, rows[:size]))
        if len(rows) > size:
            last = rows[size - 1]
            moment = (last.raise_time - _EPOCH) // _MICROSECOND
            response.next_page_token = make_page_token(scope, [str(moment), last.alert_id])
        return response

    async def GetAlert(
        self, request: messages.GetAlertRequest, context: Call
    ) -> messages.GetAlertResponse:
        reader = Reader()
        alert_id = read_id(reader, "alert_id", request.alert_id)
        reader.finish()
        found = await self._store.find_alert(alert_id)
        return messages.GetAlertResponse(alert=alert_to_proto(found))

    async def AcknowledgeAlert(
        self, request: messages.AcknowledgeAlertRequest, context: Call
    ) -> messages.AcknowledgeAlertResponse:
        reader = Reader()
        alert_id = read_id(reader, "alert_id", request.alert_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = self._store.acknowledge(alert_id, cause, self._context.now())
        alert = await self._shield.run(work)
        return messages.AcknowledgeAlertResponse(alert=alert_to_proto(alert))

    async def SilenceAlerts(
        self, request: messages.SilenceAlertsRequest, context: Call
    ) -> messages.SilenceAlertsResponse:
        reader = Reader()
        account = read_place(reader, "account", request.account)
        kind = read_kind(reader, "kind", request.kind)
        end_ms = reader.time("end_time", request)
        if not request.HasField("end_time"):
            reader.wrong("end_time", "must be set")
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = alerts.silence(self._context, account, kind, end_ms, cause)
        made = await self._shield.run(work)
        return messages.SilenceAlertsResponse(silence=silence_to_proto(made))

    async def ListSilences(
        self, request: messages.ListSilencesRequest, context: Call
    ) -> messages.ListSilencesResponse:
        reader = Reader()
        tenant = read_tenant(reader, request.tenant)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["silences", tenant]
        (after,) = read_page_token(request.page_token, scope, [""])
        rows = await self._store.list_silences(tenant, self._context.now(), after, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].silence_id]) if len(rows) > size else ""
        return messages.ListSilencesResponse(
            silences=map(silence_to_proto, page), next_page_token=more
        )

    async def EndSilence(
        self, request: messages.EndSilenceRequest, context: Call
    ) -> messages.EndSilenceResponse:
        reader = Reader()
        silence_id = read_id(reader, "silence_id", request.silence_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = self._store.end_silence(silence_id, cause, self._context.now())
        ended = await self._shield.run(work)
        return messages.EndSilenceResponse(silence=silence_to_proto(ended))

    async def CreateAlertRule(
        self, request: messages.CreateAlertRuleRequest, context: Call
    ) -> messages.CreateAlertRuleResponse:
        reader = Reader()
        rule = read_rule(reader, request.rule)
        cause = read_cause(reader, request.reason)
        reader.finish()
        made = await self._shield.run(alerts.create_rule(self._context, rule, cause))
        return messages.CreateAlertRuleResponse(rule=rule_to_proto(made))

    async def UpdateAlertRule(
        self, request: messages.UpdateAlertRuleRequest, context: Call
    ) -> messages.UpdateAlertRuleResponse:
        reader = Reader()
        rule_id = read_id(reader, "rule.rule_id", request.rule.rule_id)
        change = read_rule_change(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = alerts.update_rule(self._context, rule_id, change, cause)
        changed = await self._shield.run(work)
        return messages.UpdateAlertRuleResponse(rule=rule_to_proto(changed))

    async def GetAlertRule(
        self, request: messages.GetAlertRuleRequest, context: Call
    ) -> messages.GetAlertRuleResponse:
        reader = Reader()
        rule_id = read_id(reader, "rule_id", request.rule_id)
        reader.finish()
        found = await self._store.find_rule(rule_id)
        return messages.GetAlertRuleResponse(rule=rule_to_proto(found.without_secrets()))

    async def ListAlertRules(
        self, request: messages.ListAlertRulesRequest, context: Call
    ) -> messages.ListAlertRulesResponse:
        reader = Reader()
        tenant = read_tenant(reader, request.tenant)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["alert_rules", tenant]
        (after,) = read_page_token(request.page_token, scope, [""])
        rows = await self._store.list_rules(tenant, after, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].rule_id]) if len(rows) > size else ""
        return messages.ListAlertRulesResponse(
            rules=[rule_to_proto(rule.without_secrets()) for rule in page], next_page_token=more
        )

    async def DeleteAlertRule(
        self, request: messages.DeleteAlertRuleRequest, context: Call
    ) -> messages.DeleteAlertRuleResponse:
        reader = Reader()
        rule_id = read_id(reader, "rule_id", request.rule_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = self._store.delete_rule(rule_id, cause, self._context.now())
        return messages.DeleteAlertRuleResponse(given_up_count=await self._shield.run(work))

    async def TestAlertRule(
        self, request: messages.TestAlertRuleRequest, context: Call
    ) -> messages.TestAlertRuleResponse:
        reader = Reader()
        rule_id = read_id(reader, "rule_id", request.rule_id)
        reader.finish()
        work = alerts.try_rule(self._context, rule_id, current_caller().actor)
        tested = await self._shield.run(work)
        return messages.TestAlertRuleResponse(
            alert=alert_to_proto(tested.alert), deliveries=map(delivery_to_proto, tested.deliveries)
        )

    async def ListAlertDeliveries(
        self, request: messages.ListAlertDeliveriesRequest, context: Call
    ) -> messages.ListAlertDeliveriesResponse:
        reader = Reader()
        wanted = read_delivery_filter(reader, request)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["alert_deliveries", wanted.tenant, wanted.alert_id, wanted.rule_id]
        scope.append(wanted.state or "")
        rows = await self._store.list_deliveries(
            wanted, _before(request.page_token, scope), size + 1
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = make_page_token(scope, [str(page[-1].create_ms), page[-1].delivery_id])
        return messages.ListAlertDeliveriesResponse(
            deliveries=map(delivery_to_proto, page), next_page_token=more
        )

    async def RetryAlertDelivery(
        self, request: messages.RetryAlertDeliveryRequest, context: Call
    ) -> messages.RetryAlertDeliveryResponse:
        reader = Reader()
        delivery_id = read_id(reader, "delivery_id", request.delivery_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = self._store.retry_delivery(delivery_id, cause, self._context.now())
        retried = await self._shield.run(work)
        return messages.RetryAlertDeliveryResponse(delivery=delivery_to_proto(retried))


def _before(token: str, scope: list[str]) -> tuple[int, str] | None:
    """Return the time and the id of the row that a page comes before; None for the first page."""
    moment, name = read_page_token(token, scope, ["", ""])
    return (min(page_number(moment), _LAST_MICROSECOND), name) if moment else None
