"""How the parts of an installation are, and what to do about what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class HealthStatus(StrEnum):
    """How a thing is, the best first."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


_BY_BADNESS = list(HealthStatus)


class HealthCheck(NamedTuple):
    """One thing that was looked at.

    `check` is a stable word for programs; `value` and `advice` are for people, the latter empty
    where all is well. `subject` tells things of a kind from one another.
    """

    check: str
    status: HealthStatus
    value: str
    advice: str = ""
    subject: str = ""


def worst(checks: Iterable[HealthCheck]) -> HealthStatus:
    """Return the status of the whole, which is that of its worst part."""
    return max((check.status for check in checks), key=_BY_BADNESS.index, default=_BY_BADNESS[0])


def grade(value: float, degraded: float, unhealthy: float = float("inf")) -> HealthStatus:
    """Return the status of a value that is good as long as it is small."""
    if value >= unhealthy:
        return HealthStatus.UNHEALTHY
    return HealthStatus.DEGRADED if value >= degraded else HealthStatus.HEALTHY


def checked(
    check: str, status: HealthStatus, value: str, advice: str, subject: str = ""
) -> HealthCheck:
    """Return a check, with its advice where it is not healthy."""
    healthy = status is HealthStatus.HEALTHY
    return HealthCheck(check, status, value, "" if healthy else advice, subject)


def span(seconds: float) -> str:
    """Return a time for people, such as `12 s` or `3 min`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
