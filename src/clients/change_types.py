"""The record of changes as callers see it. Times are in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """Who changed an account, a budget, a grant or an API key, when, and why; or steered a queue.

    `before` and `after` are the resource with the proto's field names, amounts as integers in the
    unit's smallest step; `before` is None for what is new. Of a job, a queue or a limit they are
    what was changed of it.
    """

    change_number: int
    tenant: str
    method: str
    resource_type: str
    resource: str
    actor: str
    reason: str
    before: Mapping[str, Any] | None = field(hash=False)
    after: Mapping[str, Any] = field(hash=False)
    change_time: datetime | None
