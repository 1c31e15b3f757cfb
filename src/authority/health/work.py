"""Health of the queues, the workers and the providers: what `paymaster queues doctor` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from authority.domain.findings import Finding, Severity
from authority.domain.health import HealthCheck, HealthStatus, checked, span
from authority.domain.jobs import JobState, ProviderLoad, QueueState
from authority.usecases.diagnose import Seen, findings, survey_all
from authority.usecases.queues import QueueContext

_OF_SEVERITY = {
    Severity.ERROR: HealthStatus.UNHEALTHY,
    Severity.WARNING: HealthStatus.DEGRADED,
    Severity.INFO: HealthStatus.HEALTHY,
}
# Findings that are about a queue, a worker or a provider, whose check tells them.
_OF_QUEUES = ("worker_missing", "queue_starving")
_OF_WORKERS = ("worker_dead",)
_OF_PROVIDERS = ("breaker_open", "provider_cooling")
_TOLD_ELSEWHERE = {*_OF_QUEUES, *_OF_WORKERS, *_OF_PROVIDERS, "paused"}


async def work(context: QueueContext, now: Callable[[], datetime]) -> Sequence[HealthCheck]:
    """Look at all of it in one reading. Raises Unavailable."""
    seen = await survey_all(context)
    found = findings(seen)
    return [
        *(_queue(queue, found, now()) for queue in seen.queues),
        _workers(seen, found),
        *(_provider(load, found) for load in seen.loads),
        *_others(found),
    ]


def _queue(queue: QueueState, found: Sequence[Finding], now: datetime) -> HealthCheck:
    oldest = queue.oldest_ready_time
    value = f"{queue.counts[JobState.READY]} ready"
    if oldest is not None:
        value += f", the oldest for {span(max(0.0, (now - oldest).total_seconds()))}"
    value += f", {queue.counts[JobState.RUNNING]} running"
    if queue.pause_time is not None:
        value += ", paused"
    status, advice = _of(found, _OF_QUEUES, queue.kind)
    return HealthCheck("queue", status, value, advice, queue.kind)


def _workers(seen: Seen, found: Sequence[Finding]) -> HealthCheck:
    beats = seen.beats
    slots = sum(beat.slot_count for beat in beats)
    value = f"{len(beats)} alive, {slots} slots" if beats else "none is heard of"
    if not beats and seen.jobs:
        return HealthCheck(
            "workers", HealthStatus.UNHEALTHY, value, "Generations wait: start `paymaster worker`."
        )
    versions = sorted({beat.version for beat in beats})
    if len(versions) > 1:
        return HealthCheck(
            "workers",
            HealthStatus.DEGRADED,
            f"{value}, of versions {', '.join(versions)}",
            "Bring all of them to one version.",
        )
    dead = [item for item in found if item.finding in _OF_WORKERS]
    advice = f"{dead[0].message} {dead[0].way_out}" if dead else ""
    status = HealthStatus.DEGRADED if dead else HealthStatus.HEALTHY
    return checked("workers", status, value, advice)


def _provider(load: ProviderLoad, found: Sequence[Finding]) -> HealthCheck:
    value = f"{load.running} running, breaker {load.breaker.lower()}"
    if load.pause_time is not None:
        value += ", paused"
    if load.cooldown_until_time is not None:
        value += ", cooling"
    status, advice = _of(found, _OF_PROVIDERS, load.provider)
    return HealthCheck("provider", status, value, advice, load.provider)


def _of(found: Sequence[Finding], names: Sequence[str], subject: str) -> tuple[HealthStatus, str]:
    """Return the status and the advice that findings of these names give a subject."""
    for item in found:  # the most urgent first
        if item.finding in names and subject in item.subjects:
            status = _OF_SEVERITY[item.severity]
            advice = "" if status is HealthStatus.HEALTHY else f"{item.message} {item.way_out}"
            return status, advice
    return HealthStatus.HEALTHY, ""


def _others(found: Sequence[Finding]) -> Iterator[HealthCheck]:
    for item in found:
        if item.finding not in _TOLD_ELSEWHERE:
            value = f"{item.count}: {', '.join(item.subjects)}"
            advice = f"{item.message} {item.way_out}"
            yield checked(item.finding, _OF_SEVERITY[item.severity], value, advice)
