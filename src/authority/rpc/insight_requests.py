"""Reads the requests of InsightService."""

from __future__ import annotations

from typing import NamedTuple

from authority.domain.ids import is_plan
from authority.rpc.requests import Reader
from authority.v1 import insight_service_pb2 as messages
from generations.catalogue import MODEL_NAME_LENGTH_MAX

DAYS_DEFAULT = 30
DAYS_MAX = 90


class ReplayAsked(NamedTuple):
    """What is to be replayed, and what is to be other; '' leaves it as it is."""

    account: str
    days: int
    plan: str
    model: str


def read_days(reader: Reader, days: int) -> int:
    """Read how many days back."""
    if not 0 <= days <= DAYS_MAX:
        reader.wrong("days", f"must be 1 to {DAYS_MAX}, or 0 for {DAYS_DEFAULT}; not {days}")
    return days or DAYS_DEFAULT


def read_replay(request: messages.ReplayRequest) -> ReplayAsked:
    """Read what is to be replayed. Raises InvalidRequest."""
    reader = Reader()
    account = reader.account(request.account)
    days = read_days(reader, request.days)
    if request.plan and not is_plan(request.plan):
        reader.wrong("plan", "must be the id of a plan, such as `premium`; list the plans")
    reader.text("model", request.model, MODEL_NAME_LENGTH_MAX)
    reader.finish()
    return ReplayAsked(account, days, request.plan, request.model)
