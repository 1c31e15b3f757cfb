"""What callers see of how everything is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HealthStatus(StrEnum):
    """How a thing is. UNKNOWN is what this version has no word for: look at it."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at; docs/troubleshooting.md has each `check`.

    `subject` tells things of a kind from one another. `value` and `advice` are for people, the
    latter empty where all is well.
    """

    check: str
    subject: str
    status: HealthStatus
    value: str
    advice: str


@dataclass(frozen=True, slots=True)
class Health:
    """How everything is; `status` is that of the worst check."""

    status: HealthStatus
    checks: tuple[HealthCheck, ...]
    read_time: datetime | None
    version: str
