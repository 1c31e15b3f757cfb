"""Valid requests of any method, made by reflection over the proto.

What a field may hold is known by its name; a new field of a plain type needs nothing here.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import (
    admin_service_pb2,
    alert_service_pb2,
    budget_service_pb2,
    cache_service_pb2,
    credits_pb2,
    generation_service_pb2,
    queue_service_pb2,
    reconciliation_service_pb2,
    resources_pb2,
    usage_service_pb2,
)
from fuzzing.names import Names

_Settings = generation_service_pb2.Settings
_KINDS = [
    (generation_service_pb2.KIND_IMAGE, "1024x1024", _Settings()),
    (generation_service_pb2.KIND_IMAGE, "1024x1024", _Settings(seed=7, style="photo", steps=9)),
    (generation_service_pb2.KIND_CHAT, "", _Settings(temperature=0.5, system="Be kind.")),
    (generation_service_pb2.KIND_VIDEO, "720p", _Settings(seconds=5)),
]
_OPTIONAL_SHARE = 0.3
# Of resources, which say of no field that it is required.
_NEEDED = {
    "Account": {"account"},
    "AlertRule": {"account", "channels", "rule_id"},
    "ApiKey": {"api_key_id", "tenant", "scopes"},
    "ApplyOperation": {"call_number"},
    "Budget": {"account", "unit", "window", "limit"},
    "Grant": {"account", "unit", "amount"},
    "Leg": {"unit", "amount"},
    "Plan": {"plan"},
    "PlanBudget": {"unit", "window", "limit"},
    "PlanGrant": {"unit", "amount"},
    "ContextValues": {"values"},
    "SubmitGenerationRequest": {"prompt"},
}
_MASKS = {
    "UpdateAlertRuleRequest": ["channels", "disabled", "display_name", "kinds", "params"],
    "UpdateAccountRequest": [
        *("display_name", "state", "overage_policy", "parent"),
        *("per_request_limits", "reserves_per_minute", "plan"),
        *("end_time", "submissions_per_minute"),
    ],
    "UpdateApiKeyRequest": ["display_name", "submissions_per_minute"],
    "UpdateBudgetRequest": ["limit", "enforcement", "alert_thresholds"],
    "UpdateGenerationRequest": ["favourite", "visibility"],
    "UpdatePlanRequest": [
        *("budgets", "grants", "per_request_limits", "reserves_per_minute"),
        *("tier", "submissions_per_minute", "abuse"),
    ],
}
_ORDERS = {
    "ListAccountsRequest": ["account", "account desc"],
    "ListLedgerEntriesRequest": ["sequence", "sequence desc"],
    "ListReservationsRequest": ["create_time", "create_time desc"],
}
_ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]
_LETTERS = string.ascii_letters + "éß漢🦊 -_/'\"%{}"
_BILLED_DAY, _BILLED_MODEL = "2026-11-02", "gpt-image-1"
_BILL = (
    "start_time_iso,amount_currency,line_item,amount_value\n"
    f'{_BILLED_DAY},usd,"{_BILLED_MODEL}, image output",'
)
_LEG_UNITS = range(1, 6)
_HOUR = 3_600


class Valid:
    """Makes valid requests. Not every one succeeds: what it names may have ended meanwhile."""

    def __init__(self, choice: random.Random, names: Names) -> None:
        self._choice = choice
        self._names = names
        self._keys: list[str] = []
        # A seed may be run twice on one ledger.
        self._run = names.new_uuid()[:8]
        self._count = 0
        self._texts: dict[str, Callable[[], str]] = {
            "account": self._names.spender,
            "tenant": lambda: self._names.spender().partition("/")[0],
            "idempotency_key": self.key,
            "parent": str,
            "time_zone": lambda: choice.choice(_ZONES),
            "page_token": str,
            "order_by": str,
            "budget": lambda: choice.choice(["usd-day", "credits-total", "images-day", "other"]),
            "model": str,
            "size": lambda: "1024x1024",
            "quality": lambda: choice.choice(["premium", "standard"]),
            "tier": lambda: choice.choice(["premium", "standard"]),
            "plan": lambda: self._names.pick("plan"),
            "generation_ids": lambda: self._names.pick("generation_id"),
            "provider": lambda: choice.choice(["openai", "sandbox"]),
            "subject": lambda: "provider:fuzzed",
            "stage": lambda: choice.choice(["exact", "normalised", "guarded", "accepted"]),
            "target": lambda: choice.choice(["image", "video", "all", "provider:fuzzed"]),
        }

    def key(self) -> str:
        """Return an idempotency key: mostly a new one, sometimes one that was used."""
        if self._keys and self._choice.random() < 0.05:
            return self._choice.choice(self._keys[-50:])
        kind = self._choice.random()
        key = self._uuid7() if kind < 0.7 else self._names.new_uuid() if kind < 0.9 else self.text()
        self._keys = [*self._keys[-100:], key]
        return key

    def _uuid7(self) -> str:
        now = Timestamp()
        now.GetCurrentTime()
        head = f"{now.ToMilliseconds():012x}"
        return f"{head[:8]}-{head[8:]}-7{self._names.new_uuid()[15:]}"

    def text(self) -> str:
        """Return a short line of text."""
        return "".join(self._choice.choices(_LETTERS, k=self._choice.randint(1, 20)))

    def request(self, descriptor: Descriptor) -> Any:
        """Return a request of a kind."""
        page = self._names.next_page(descriptor.name)
        if page is not None and self._choice.random() < 0.3:
            return page
        made = self._message(descriptor)
        if descriptor.name in _MASKS:
            self._mask(made, self._choice.choice(_MASKS[descriptor.name]))
        if descriptor.name in _ORDERS and self._choice.random() < 0.5:
            made.order_by = self._choice.choice(_ORDERS[descriptor.name])
        if descriptor.name == "CreateAccountRequest":
            self._new_account(made.account)
        if descriptor.name == "CreatePlanRequest":
            made.plan.plan = f"p{self._names.new_uuid()[:8]}"
        return made

    def _message(self, descriptor: Descriptor) -> Any:
        made = GetMessageClass(descriptor)()
        needed = _NEEDED.get(descriptor.name, set())
        for field in descriptor.fields:
            if field.containing_oneof is not None and field.containing_oneof.name[0] != "_":
                continue
            behaviour = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
            required = field_behavior_pb2.REQUIRED in behaviour or field.name in needed
            if required or self._choice.random() < _OPTIONAL_SHARE:
                self._fill(made, field)
        for oneof in descriptor.oneofs:
            if oneof.name[0] != "_":  # proto3's `optional` is a oneof of one, named so.
                self._fill(made, self._choice.choice(oneof.fields))
        self._adapt(made)
        return made

    def _adapt(self, made: Any) -> None:
        """Mend what the fields can't know of one another."""
        self._adapt_of_cache(made)
        self._adapt_of_bills(made)
        self._adapt_of_plans(made)
        self._adapt_of_prices(made)
        self._adapt_of_alerts(made)
        self._adapt_of_usage(made)
        match made:
            case budget_service_pb2.ExtendRequest() if not made.legs:
                made.ttl.seconds = self._choice.randint(1, _HOUR)
            case generation_service_pb2.SubmitGenerationRequest():
                self._steer(made)
            case queue_service_pb2.JobSelection():
                made.ClearField(self._choice.choice(["generation_ids", "filter"]))
                if not made.generation_ids:
                    made.filter.SetInParent()
            case queue_service_pb2.Limit() | queue_service_pb2.UnsetLimitRequest():
                made.subject, made.name = "provider:fuzzed", "concurrency"
            case generation_service_pb2.ListGenerationsRequest():
                made.ClearField("start_time")
            case admin_service_pb2.CreateApiKeyRequest():
                made.api_key.ClearField("api_key_id")
            case resources_pb2.PlanBudget():
                made.unit = self._choice.choice(_LEG_UNITS)
            case resources_pb2.Grant() | resources_pb2.PlanGrant():
                made.unit = self._choice.choice(_LEG_UNITS)
                made.amount = 10**9

    def _adapt_of_alerts(self, made: Any) -> None:
        match made:
            case alert_service_pb2.AlertRule():
                # To the log, since nobody is there to be told.
                log = alert_service_pb2.ALERT_CHANNEL_TYPE_LOG
                del made.channels[:]
                made.channels.add(type=log)
                made.params.clear()
                made.params["grant_expiring.days"] = self._choice.randint(1, 30)
            case alert_service_pb2.CreateAlertRuleRequest():
                made.rule.ClearField("rule_id")
            case alert_service_pb2.SilenceAlertsRequest():
                made.end_time.GetCurrentTime()
                made.end_time.seconds += self._choice.randint(_HOUR, 24 * _HOUR)
            case alert_service_pb2.ListAlertsRequest():
                made.ClearField("start_time")

    def _adapt_of_usage(self, made: Any) -> None:
        match made:
            case usage_service_pb2.QueryUsageRequest():
                # A name of a time, or none: what is drawn is no full quarter of an hour.
                for name in ("start_time", "end_time", "tenant", "interval"):
                    made.ClearField(name)
            case usage_service_pb2.ListUsageEventsRequest():
                for name in ("start_time", "tenant"):
                    made.ClearField(name)

    def _adapt_of_plans(self, made: Any) -> None:
        match made:
            case admin_service_pb2.SetOwnBudgetRequest():
                made.limit = self._choice.randint(10**6, 10**9)
            case resources_pb2.AlertThresholds():
                made.percents[:] = sorted(set(made.percents))
            case resources_pb2.AbusePolicy():
                made.refusals, made.within.seconds, made.freeze.seconds = 5, _HOUR, _HOUR

    def bill_header(self) -> reconciliation_service_pb2.ImportBillRequest:
        """Return the first message of an import; the others are chunks of the file."""
        header = reconciliation_service_pb2.BillHeader(provider="openai", source=self.text())
        return reconciliation_service_pb2.ImportBillRequest(header=header)

    def _adapt_of_bills(self, made: Any) -> None:
        match made:
            case reconciliation_service_pb2.ImportBillRequest():
                made.chunk = f"{_BILL}0.{self._choice.randint(1, 9)}\n".encode()
            case reconciliation_service_pb2.AdjustBillDayRequest():
                made.day, made.model = _BILLED_DAY, _BILLED_MODEL
                made.provider, made.account = "openai", self._names.spender()
            case (
                reconciliation_service_pb2.ListBillDaysRequest()
                | reconciliation_service_pb2.ListPresumedAttemptsRequest()
            ):
                made.start_day, made.end_day = _BILLED_DAY, _BILLED_DAY

    def _adapt_of_prices(self, made: Any) -> None:
        match made:
            case credits_pb2.GetPriceListRequest():
                made.version = self._choice.choice([0, 1])
            case credits_pb2.UpdatePriceListRequest():
                made.base_version = 0
                del made.prices[:]
                price = self._choice.randrange(10**7)
                made.prices.add(kind="KIND_IMAGE", tier="premium", credits=price)

    def _adapt_of_cache(self, made: Any) -> None:
        match made:
            case cache_service_pb2.SuggestReuseRequest():
                self._steer(made)
            case cache_service_pb2.UpdateCachePolicyRequest():
                made.ClearField("reset")
                made.ClearField("policy")
                made.policy.sample_ppm = self._choice.randint(0, 1_000_000)
                made.update_mask.paths[:] = ["sample_ppm"]
            case cache_service_pb2.BookHitRequest():
                made.generation_id = f"{made.account.partition('/')[0]}/{self._names.new_uuid()}"
                made.entry_id = made.generation_id
            case cache_service_pb2.PurgeCacheRequest():
                # What was planted stays, for others to be asked of.
                made.ClearField("entry_id")
                made.older_than.seconds = _HOUR

    def _steer(self, made: Any) -> None:
        """Give a submission what its kind takes."""
        kind, size, settings = self._choice.choice(_KINDS)
        made.kind, made.size = kind, size
        made.settings.CopyFrom(settings)
        if made.DESCRIPTOR.name == "SubmitGenerationRequest":
            made.ClearField("parent_id")
            made.ClearField("accept_entry_id")

    def _fill(self, message: Any, field: FieldDescriptor) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            held, of = getattr(message, field.name), field.message_type.fields_by_name["value"]
            for _ in range(self._choice.randint(1, 3)):
                if of.message_type is None:
                    held[self.text()] = self._value(of)
                else:
                    held[self.text()].CopyFrom(self._value(of))
        elif field.message_type is resources_pb2.Leg.DESCRIPTOR:
            getattr(message, field.name).extend(self._legs())
        elif field.is_repeated:
            values = [self._value(field) for _ in range(self._choice.randint(1, 3))]
            if field.enum_type is not None:
                values = sorted(set(values))
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(self._value(field))
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE:
                return self._part(field)
            case FieldDescriptor.TYPE_STRING:
                return self._text(field)
            case FieldDescriptor.TYPE_BYTES:
                return self.text().encode()
            case FieldDescriptor.TYPE_ENUM:
                return self._choice.choice([v.number for v in field.enum_type.values if v.number])
            case FieldDescriptor.TYPE_BOOL:
                return self._choice.random() < 0.5
            case _:
                return self._number(field)

    def _text(self, field: FieldDescriptor) -> str:
        if field.name in self._texts:
            return self._texts[field.name]()
        return self._names.pick(field.name) if field.name.endswith("_id") else self.text()

    def _number(self, field: FieldDescriptor) -> int:
        match field.name:
            case "limit":
                return self._choice.randint(10**9, 10**12)
            case "page_size" | "count":
                return self._choice.randint(1, 10)
            case "reserves_per_minute" | "submissions_per_minute":
                return self._choice.randint(10_000, 100_000)
            case _:
                return self._choice.randint(1, 1_000)

    def _part(self, field: FieldDescriptor) -> Message:
        """Return the message that a field holds."""
        if field.message_type is Timestamp.DESCRIPTOR:
            now = Timestamp()
            now.GetCurrentTime()
            ahead = field.name in {"expire_time", "end_time"}
            now.seconds += self._choice.randint(_HOUR, 100 * _HOUR) if ahead else -1
            return now
        if field.message_type is Duration.DESCRIPTOR:
            return Duration(seconds=self._choice.randint(1, _HOUR))
        if field.message_type is FieldMask.DESCRIPTOR:
            return FieldMask()
        return self._message(field.message_type)

    def _legs(self) -> list[resources_pb2.Leg]:
        units = self._choice.sample(_LEG_UNITS, k=self._choice.choice([1, 1, 1, 2, 3]))
        return [resources_pb2.Leg(unit=n, amount=self._choice.randint(1, 1_000)) for n in units]

    def _mask(self, request: Any, path: str) -> None:
        """Change one field of an account, a budget or a plan; or of a generation, by itself."""
        resource = getattr(request, request.DESCRIPTOR.fields[0].name)
        if not isinstance(resource, Message):
            resource = request
        request.update_mask.paths[:] = [path]
        resource.ClearField(path)
        if "budget" in resource.DESCRIPTOR.fields_by_name:
            resource.budget = self._texts["budget"]()
        if path == "parent":
            resource.parent = resource.account.partition("/")[0]
            return
        self._fill(resource, resource.DESCRIPTOR.fields_by_name[path])
        self._adapt_of_alerts(resource)
        if path == "state" and self._choice.random() < 0.9:
            resource.state = resources_pb2.ACCOUNT_STATE_ACTIVE

    def _new_account(self, account: resources_pb2.Account) -> None:
        self._count += 1
        account.ClearField("parent")
        tenant = f"f{self._run}-{self._count}"
        if self._choice.random() < 0.8:
            tenant = f"{account.account.partition('/')[0]}/{tenant}"
        account.account = tenant
