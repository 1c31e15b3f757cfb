"""From what callers give to the proto's messages, with the field named where it can't be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

import uuid_utils
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import (
    admin_service_pb2,
    budget_service_pb2,
    resources_pb2,
)
from clients.amounts import Leg, Option, Unit
from clients.errors import InvalidRequest, Violation
from clients.key_types import Scope
from clients.types import AccountState, Enforcement, OveragePolicy, ReservationState, Window

_Fields = ParamSpec("_Fields")
_Message = TypeVar("_Message")

_UNITS: dict[Unit, resources_pb2.Unit.ValueType] = {
    unit: resources_pb2.Unit.Value(f"UNIT_{unit}") for unit in Unit if unit != Unit.UNKNOWN
}


def new_key() -> str:
    """Return a new idempotency key: a UUIDv7."""
    return str(uuid_utils.uuid7())


def message(
    make: Callable[_Fields, _Message], *args: _Fields.args, **fields: _Fields.kwargs
) -> _Message:
    """Make a message.

    Raises InvalidRequest naming each field whose value has no form on the wire, such as text that
    is not Unicode or a number of more than 64 bits. All else is for the authority to judge.
    """
    try:
        return make(*args, **fields)
    except ValueError as error:
        violations = list(_violations(make, fields))
        raise invalid(*violations or [Violation("request", str(error))]) from error


def _violations(make: Callable[..., object], fields: dict[str, object]) -> Iterable[Violation]:
    for name, value in fields.items():
        try:
            make(**{name: value})
        except ValueError as error:
            text = "has characters that are no Unicode" if _is_text(error) else str(error)
            yield Violation(name, text)


def _is_text(error: ValueError) -> bool:
    return isinstance(error, UnicodeEncodeError)


def invalid(*violations: Violation) -> InvalidRequest:
    """Return the error for fields that can't be sent."""
    error = InvalidRequest("; ".join(f"{field}: {text}" for field, text in violations))
    error.violations = violations
    return error


def legs_to_proto(legs: Sequence[Leg]) -> list[resources_pb2.Leg]:
    """Return the proto's messages."""
    return [resources_pb2.Leg(unit=unit_to_proto(leg.unit), amount=leg.amount) for leg in legs]


def add_legs(to: Any, legs: Iterable[Leg]) -> None:
    """Add legs to a list of a message, which takes half as long as making them beforehand."""
    for leg in legs:
        to.add(unit=unit_to_proto(leg.unit), amount=leg.amount)


def options_to_proto(
    legs: Sequence[Leg] | None, options: Sequence[Option | Sequence[Leg]] | None
) -> list[budget_service_pb2.Option]:
    """Return the options: those given, or the one that the legs are.

    Raises TypeError unless exactly one of the two is given.
    """
    if (legs is None) == (options is None):
        raise TypeError("give either `legs` or `options`")
    return [
        message(budget_service_pb2.Option, legs=legs_to_proto(option.legs), name=option.name)
        for option in map(_option, options if options is not None else [legs or ()])
    ]


def _option(option: Option | Sequence[Leg]) -> Option:
    return option if isinstance(option, Option) else Option(tuple(option))


def duration_to_proto(span: timedelta | None) -> Duration | None:
    """Return the proto's message; None stays None."""
    if span is None:
        return None
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def time_to_proto(moment: datetime | None) -> Timestamp | None:
    """Return the proto's message; None stays None. A time without a zone is one of UTC."""
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def unit_to_proto(unit: Unit) -> resources_pb2.Unit.ValueType:
    """Return the proto's value. Raises ValueError for a unit that has none."""
    return _UNITS.get(unit) or resources_pb2.Unit.Value(f"UNIT_{unit}")


def window_to_proto(window: Window) -> resources_pb2.Window.ValueType:
    """Return the proto's value."""
    return resources_pb2.Window.Value(f"WINDOW_{window}")


def enforcement_to_proto(enforcement: Enforcement | None) -> resources_pb2.Enforcement.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.Enforcement.Value(f"ENFORCEMENT_{enforcement or 'UNSPECIFIED'}")


def thresholds_to_proto(percents: Sequence[int] | None) -> resources_pb2.AlertThresholds | None:
    """Return the proto's message; None stays None, and means the default."""
    if percents is None:
        return None
    return message(resources_pb2.AlertThresholds, percents=percents)


def policy_to_proto(policy: OveragePolicy | None) -> resources_pb2.OveragePolicy.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.OveragePolicy.Value(f"OVERAGE_POLICY_{policy or 'UNSPECIFIED'}")


def state_to_proto(state: AccountState | None) -> resources_pb2.AccountState.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.AccountState.Value(f"ACCOUNT_STATE_{state or 'UNSPECIFIED'}")


def scopes_to_proto(scopes: Sequence[Scope]) -> list[admin_service_pb2.Scope.ValueType]:
    """Return the proto's values."""
    return [admin_service_pb2.Scope.Value(f"SCOPE_{scope}") for scope in scopes]


def reservation_state_to_proto(
    state: ReservationState | None,
) -> resources_pb2.ReservationState.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.ReservationState.Value(f"RESERVATION_STATE_{state or 'UNSPECIFIED'}")


def changed_mask(changes: Mapping[str, object]) -> FieldMask:
    """Return a mask of the fields that are to be changed: those that are not None."""
    return FieldMask(paths=[name for name, value in changes.items() if value is not None])


def optional_unit_to_proto(unit: Unit | None) -> resources_pb2.Unit.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.UNIT_UNSPECIFIED if unit is None else unit_to_proto(unit)


def optional_window_to_proto(window: Window | None) -> resources_pb2.Window.ValueType:
    """Return the proto's value; None is not set."""
    return resources_pb2.WINDOW_UNSPECIFIED if window is None else window_to_proto(window)
