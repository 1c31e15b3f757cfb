"""Reads requests: every field checked, every violation named at once, with the way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeVar
from zoneinfo import available_timezones

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authority.domain.errors import InvalidRequest, Violation
from authority.domain.ids import (
    ACCOUNT_FORM,
    BILL_PREFIX,
    IDEMPOTENCY_KEY_LENGTH_MAX,
    PLATFORM,
    REVERSAL_PREFIX,
    is_account,
    is_budget,
    is_idempotency_key,
    is_owned_id,
    tenant_of,
)
from authority.domain.money import AMOUNT_MAX, LEGS_MAX, Leg, Option, Unit
from authority.domain.plans import KEY_PREFIXES
from authority.domain.reservations import TTL_MS_DEFAULT, TTL_MS_MAX, TTL_MS_MIN, ReserveMode
from authority.usecases.reserve import ReserveRequest
from authority.usecases.settle import CommitRequest, ExtendRequest
from authority.v1 import budget_service_pb2, resources_pb2

OPTIONS_MAX = 8
OPTION_NAME_LENGTH_MAX = 64
LABELS_MAX = 16
LABEL_KEY_LENGTH_MAX = 64
LABEL_VALUE_LENGTH_MAX = 256
REASON_LENGTH_MAX = 256
RECEIPT_LENGTH_MAX = 256
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1_000

_SHOWN_LENGTH_MAX = 16
_SECONDS_MAX = 253_402_300_800  # the year 10000

_Word = TypeVar("_Word", bound=StrEnum)


class Durability(StrEnum):
    """When a Reserve is answered."""

    LEDGER = "LEDGER"
    HOT = "HOT"


class Reader:
    """Reads the fields of one request and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def wrong(self, field: str, description: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(field, description))

    def finish(self) -> None:
        """Raise InvalidRequest if anything was wrong."""
        if self.violations:
            raise InvalidRequest(self.violations)

    def key(self, key: str) -> str:
        """Read an idempotency key."""
        if not is_idempotency_key(key):
            self.wrong(
                "idempotency_key",
                f"must be 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable characters, such as a UUIDv7",
            )
        if key.startswith((*KEY_PREFIXES, REVERSAL_PREFIX, BILL_PREFIX)):
            self.wrong("idempotency_key", "what begins so is the authority's own; take another key")
        return key

    def account(self, account: str, field: str = "account", *, or_platform: bool = False) -> str:
        """Read an account's id. The platform itself spends nothing; it may have budgets."""
        if account == PLATFORM and or_platform:
            return account
        if tenant_of(account) == PLATFORM:
            self.wrong(field, "`platform` is the root; name a tenant or an account below one")
        elif not is_account(account):
            self.wrong(field, f"must be the id of an account: {ACCOUNT_FORM}")
        return account

    def tenant(self, tenant: str) -> str:
        """Read a tenant's id."""
        if "/" in tenant:
            self.wrong("tenant", "must be a tenant, not an account below one")
            return tenant
        return self.account(tenant, "tenant")

    def budget(self, budget: str, field: str = "budget") -> str:
        """Read a budget's id."""
        if not is_budget(budget):
            self.wrong(
                field, "must be 1 to 63 lower-case letters, digits and hyphens, such as `usd-day`"
            )
        return budget

    def reservation_id(self, reservation_id: str) -> str:
        """Read a reservation's id."""
        if not is_owned_id(reservation_id):
            self.wrong("reservation_id", "must be the id that Reserve answered: `tenant/uuid`")
        return reservation_id

    def text(self, field: str, text: str, length_max: int) -> str:
        """Read a line of text."""
        if len(text) > length_max or not text.isprintable():
            self.wrong(field, f"must be at most {length_max} printable characters")
        return text

    def word(
        self, field: str, prefix: str, name: str | None, words: type[_Word], default: _Word | None
    ) -> _Word:
        """Read an enum's value by its name in the proto; None stands for an unknown number."""
        found: _Word | None = _words(words, prefix).get(name or "")
        if found is None and name == f"{prefix}_UNSPECIFIED":
            found = default
        if found is not None:
            return found
        self.wrong(field, f"must be one of {', '.join(f'{prefix}_{word}' for word in words)}")
        return default or next(iter(words))

    def amount(self, field: str, amount: int, *, least: int) -> int:
        """Read an amount."""
        if not least <= amount <= AMOUNT_MAX:
            self.wrong(
                field,
                f"must be from {least} to {AMOUNT_MAX} in the unit's smallest step "
                f"(money in micros: 1 USD is 1000000), not {amount}",
            )
        return amount

    def unit(self, field: str, name: str | None) -> Unit:
        """Read a unit that a leg may name."""
        if name == "UNIT_RESERVATIONS":
            self.wrong(field, "RESERVATIONS are counted by themselves; no leg names them")
            return Unit.RESERVATIONS
        return self.word(field, "UNIT", name, Unit, None)

    def legs(self, field: str, legs: Sequence[resources_pb2.Leg], *, least: int) -> tuple[Leg, ...]:
        """Read legs, each of another unit."""
        units = _leg_units()
        read = tuple(
            [
                Leg(units[leg.unit], leg.amount)
                for leg in legs
                if leg.unit in units and least <= leg.amount <= AMOUNT_MAX
            ]
        )
        is_plain = len(read) == len(legs) and len(legs) <= LEGS_MAX
        if is_plain and (len(read) < 2 or len({leg.unit for leg in read}) == len(read)):
            return read
        return self._wrong_legs(field, legs, least)

    def _wrong_legs(
        self, field: str, legs: Sequence[resources_pb2.Leg], least: int
    ) -> tuple[Leg, ...]:
        """Say what is wrong with legs."""
        if len(legs) > LEGS_MAX:
            self.wrong(field, f"must have at most {LEGS_MAX} legs, not {len(legs)}")
            return ()
        read: list[Leg] = []
        for index, leg in enumerate(legs):
            name = enum_name(resources_pb2.Unit, leg.unit)
            unit = self.unit(f"{field}[{index}].unit", name)
            amount = self.amount(f"{field}[{index}].amount", leg.amount, least=least)
            if any(leg.unit == other.unit for other in legs[:index]):
                self.wrong(f"{field}[{index}].unit", f"names {unit} twice; add the amounts up")
            read.append(Leg(unit, amount))
        return tuple(read)

    def ttl(self, ttl: Duration) -> int:
        """Read a time to live, in milliseconds."""
        ttl_ms = ttl.seconds * 1000 + ttl.nanos // 1_000_000
        if not TTL_MS_MIN <= ttl_ms <= TTL_MS_MAX:
            self.wrong("ttl", "must be from 1 second to 24 hours")
        return ttl_ms

    def time_zone(self, field: str, name: str) -> str:
        """Read a time zone; UTC if empty."""
        if name and name not in _time_zones():
            self.wrong(field, "must be an IANA time zone, such as `Europe/Berlin`")
            return "UTC"
        return name or "UTC"

    def time(self, field: str, message: Message) -> int:
        """Read a time in milliseconds; 0 if the message has not set it."""
        name = field.rpartition(".")[2]
        moment: Timestamp = getattr(message, name)
        if not message.HasField(name):
            return 0
        if not 0 < moment.seconds < _SECONDS_MAX:
            self.wrong(field, "must be a time from 1970 to the year 9999")
            return 0
        return moment.seconds * 1000 + moment.nanos // 1_000_000

    def is_descending(self, order_by: str, by: str, *, default: bool = False) -> bool:
        """Read an order by one field: `field` or `field desc`."""
        if order_by not in {"", by, f"{by} desc"}:
            self.wrong("order_by", f"must be `{by}` or `{by} desc`")
        return order_by == f"{by} desc" if order_by else default

    def page_size(self, page_size: int) -> int:
        """Read a page's size."""
        if page_size < 0:
            self.wrong("page_size", f"must be 0 (for {PAGE_SIZE_DEFAULT}) or more")
        return min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)

    def mask(self, mask: FieldMask, known: Iterable[str]) -> set[str]:
        """Read which fields to change."""
        names = sorted(known)
        if not mask.paths or not set(mask.paths) <= set(names):
            self.wrong("update_mask", f"must name one or more of {', '.join(names)}")
        return set(mask.paths)


@cache
def _words(words: type[_Word], prefix: str) -> Mapping[str, _Word]:
    """Return the values of an enum by their names in the proto."""
    return {f"{prefix}_{word}": word for word in words}


@cache
def _leg_units() -> Mapping[int, Unit]:
    """Return the units that a leg may name, by their numbers in the proto."""
    return {
        resources_pb2.Unit.Value(f"UNIT_{unit}"): unit
        for unit in Unit
        if unit is not Unit.RESERVATIONS
    }


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def enum_name(enum: Any, number: int) -> str | None:
    """Return the name of an enum's number; None for one that is not in the proto."""
    try:
        return str(enum.Name(number))
    except ValueError:
        return None


def read_reserve(message: budget_service_pb2.ReserveRequest) -> ReserveRequest:
    """Read a Reserve. Raises InvalidRequest."""
    reader = Reader()
    is_check = message.mode == budget_service_pb2.RESERVE_MODE_CHECK_ONLY
    key = message.idempotency_key if is_check else reader.key(message.idempotency_key)
    account = reader.account(message.account)
    given = message.options
    if not 1 <= len(given) <= OPTIONS_MAX:
        reader.wrong("options", f"must have 1 to {OPTIONS_MAX} options, not {len(given)}")
    options = tuple(
        [_read_option(reader, index, option) for index, option in enumerate(given[:OPTIONS_MAX])]
    )
    ttl_ms = reader.ttl(message.ttl) if message.HasField("ttl") else TTL_MS_DEFAULT
    mode, durability = ReserveMode.NORMAL, Durability.LEDGER
    if message.mode:
        name = enum_name(budget_service_pb2.ReserveMode, message.mode)
        mode = reader.word("mode", "RESERVE_MODE", name, ReserveMode, mode)
    if message.durability:
        name = enum_name(budget_service_pb2.Durability, message.durability)
        durability = reader.word("durability", "DURABILITY", name, Durability, durability)
    labels = _read_labels(reader, message.labels) if message.labels else {}
    reader.finish()
    return ReserveRequest(
        key, account, options, ttl_ms, labels, mode, durable=durability is Durability.LEDGER
    )


def _read_option(reader: Reader, index: int, option: budget_service_pb2.Option) -> Option:
    field = f"options[{index}].legs"
    legs = reader.legs(field, option.legs, least=1)
    if not option.legs:
        reader.wrong(field, f"must have 1 to {LEGS_MAX} legs")
    name = option.name
    if name:
        reader.text(f"options[{index}].name", name, OPTION_NAME_LENGTH_MAX)
    return Option(name, legs)


def _read_labels(reader: Reader, labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > LABELS_MAX:
        reader.wrong("labels", f"must be at most {LABELS_MAX}, not {len(labels)}")
    for name, value in labels.items():
        if not name:
            reader.wrong("labels", "must not have an empty key")
        reader.text("labels", name, LABEL_KEY_LENGTH_MAX)
        reader.text(f"labels[{name[:_SHOWN_LENGTH_MAX]!r}]", value, LABEL_VALUE_LENGTH_MAX)
    return dict(labels)


def read_commit(message: budget_service_pb2.CommitRequest) -> CommitRequest:
    """Read a Commit. Raises InvalidRequest."""
    reader = Reader()
    request = CommitRequest(
        idempotency_key=reader.key(message.idempotency_key),
        reservation_id=reader.reservation_id(message.reservation_id),
        actual=reader.legs("actual", message.actual, least=0),
        final=message.final or not message.HasField("final"),
        force=message.force,
        receipt=reader.text("receipt", message.receipt, RECEIPT_LENGTH_MAX),
    )
    reader.finish()
    return request


def read_extend(message: budget_service_pb2.ExtendRequest) -> ExtendRequest:
    """Read an Extend. Raises InvalidRequest."""
    reader = Reader()
    request = ExtendRequest(
        idempotency_key=reader.key(message.idempotency_key),
        reservation_id=reader.reservation_id(message.reservation_id),
        ttl_ms=reader.ttl(message.ttl) if message.HasField("ttl") else 0,
        legs=reader.legs("legs", message.legs, least=1),
    )
    if not request.ttl_ms and not request.legs:
        reader.wrong("ttl", "must be set, or `legs`: there is nothing to extend")
    reader.finish()
    return request
