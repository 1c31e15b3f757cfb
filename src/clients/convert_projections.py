"""Projections, from the proto's messages to the values that callers see."""

from __future__ import annotations

from authority.v1 import usage_service_pb2
from clients.convert import budget_balance_from_proto, time_from_proto, word
from clients.projection_types import Projection, ProjectionBasis, Projections


def projections_from_proto(message: usage_service_pb2.GetProjectionResponse) -> Projections:
    """Return what is said of budgets."""
    return Projections(
        tuple(map(_projection, message.projections)), time_from_proto(message.read_time)
    )


def _projection(message: usage_service_pb2.Projection) -> Projection:
    return Projection(
        balance=budget_balance_from_proto(message.balance),
        basis=word(
            ProjectionBasis, usage_service_pb2.ProjectionBasis, "PROJECTION_BASIS_", message.basis
        ),
        history_days=message.history_days,
        expected=message.expected if message.HasField("expected") else None,
        lower=message.lower if message.HasField("lower") else None,
        upper=message.upper if message.HasField("upper") else None,
        exhaust_time=time_from_proto(message.exhaust_time),
        earliest_exhaust_time=time_from_proto(message.earliest_exhaust_time),
    )
