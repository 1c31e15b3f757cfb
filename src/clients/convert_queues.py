"""Between the messages of QueueService and the values that callers see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authority.v1 import generation_service_pb2
from authority.v1 import queue_service_pb2 as messages
from clients import queue_types
from clients.convert import time_from_proto, word
from clients.generation_requests import kind_to_proto
from clients.generation_types import GenerationState, Kind, Priority
from clients.requests import duration_to_proto, message

_COUNTS = (
    *("ready_count", "deferred_count", "running_count", "orphaned_count", "lost_count"),
    *("dead_count", "stray_count", "submitted_count", "ended_count", "failed_count", "slot_count"),
)
_QUEUE_SPANS = ("wait_p50", "wait_p95", "run_p50", "run_p95")
_QUEUE_TIMES = ("oldest_ready_time", "pause_time", "drain_time")
_JOB_FIELDS = (
    *("generation_id", "account", "attempt_count", "provider", "model", "error_reason"),
    *("error_message", "worker", "stage", "cost", "leader_id", "prompt"),
)
_JOB_TIMES = (
    *("create_time", "start_time", "end_time", "next_try_time", "deadline_time"),
    *("dead_time", "cancel_time"),
)
_ATTEMPT_FIELDS = (
    *("attempt", "state", "provider", "model", "reservation_id", "remote_id", "estimate"),
    *("presumed_spent", "error_reason", "error_message", "error_class", "error_body"),
    "request_id",
)
_ATTEMPT_TIMES = ("create_time", "dispatch_time", "settle_time", "retry_time")
_LOAD_TIMES = ("open_until_time", "cooldown_until_time", "pause_time")


def filter_to_proto(wanted: queue_types.JobFilter | None) -> messages.JobFilter | None:
    """Return the message; None for no filter."""
    if wanted is None:
        return None
    return message(
        messages.JobFilter,
        kind=kind_to_proto(wanted.kind),
        state=messages.JobState.Value(f"JOB_STATE_{wanted.state or 'UNSPECIFIED'}"),
        provider=wanted.provider,
        account=wanted.account,
        older_than=duration_to_proto(wanted.older_than),
        error_reason=wanted.error_reason,
    )


def queues_from_proto(response: messages.ListQueuesResponse) -> queue_types.Queues:
    """Return the queues."""
    return queue_types.Queues(
        queues=tuple(map(_queue, response.queues)),
        pauses=tuple(pause_from_proto(pause) for pause in response.pauses),
        window=response.window.ToTimedelta(),
        read_time=time_from_proto(response.read_time),
    )


def pause_from_proto(pause: messages.Pause, *, changed: bool = True) -> queue_types.Pause:
    """Return the pause."""
    return queue_types.Pause(pause.target, time_from_proto(pause.pause_time), changed)


def job_from_proto(job: messages.Job) -> queue_types.Job:
    """Return the job."""
    return queue_types.Job(
        kind=_kind(job.kind),
        state=word(queue_types.JobState, messages.JobState, "JOB_STATE_", job.state),
        generation_state=word(
            GenerationState,
            generation_service_pb2.GenerationState,
            "GENERATION_STATE_",
            job.generation_state,
        ),
        priority=word(Priority, generation_service_pb2.Priority, "PRIORITY_", job.priority),
        progress_percent=job.progress_percent if job.HasField("progress_percent") else None,
        **_fields(job, _JOB_FIELDS),
        **_times(job, _JOB_TIMES),
    )


def detail_from_proto(response: messages.GetJobResponse) -> queue_types.JobDetail:
    """Return the job with all about it."""
    entry = response.entry
    return queue_types.JobDetail(
        job=job_from_proto(response.job),
        attempts=tuple(map(_attempt, response.attempts)),
        entry=queue_types.QueueEntry(
            job_id=entry.job_id,
            requeue_number=entry.requeue_number,
            score=entry.score if entry.HasField("score") else None,
            polite=entry.polite,
            claim=entry.claim,
            claim_ttl=_span(entry, "claim_ttl"),
            data=entry.data,
            data_ttl=_span(entry, "data_ttl"),
            run_count=entry.run_count,
        ),
    )


def change_from_proto(change: messages.JobChange) -> queue_types.JobChange:
    """Return what came of a change of jobs."""
    return queue_types.JobChange(tuple(change.generation_ids), change.more)


def limits_from_proto(response: messages.ListLimitsResponse) -> queue_types.Limits:
    """Return the limits and the providers."""
    return queue_types.Limits(
        limits=tuple(map(limit_from_proto, response.limits)),
        providers=tuple(map(_load, response.providers)),
    )


def limit_from_proto(limit: messages.Limit) -> queue_types.Limit:
    """Return the limit."""
    return queue_types.Limit(limit.subject, limit.name, limit.value)


def worker_from_proto(worker: messages.Worker) -> queue_types.Worker:
    """Return the worker."""
    return queue_types.Worker(
        worker=worker.worker,
        version=worker.version,
        slots=tuple((_kind(slots.kind), slots.slot_count) for slots in worker.slots),
        generation_ids=tuple(worker.generation_ids),
        providers=tuple(worker.providers),
        stopping=worker.stopping,
        start_time=time_from_proto(worker.start_time),
        beat_time=time_from_proto(worker.beat_time),
    )


def finding_from_proto(finding: messages.Finding) -> queue_types.Finding:
    """Return the finding."""
    return queue_types.Finding(
        finding=finding.finding,
        severity=word(queue_types.Severity, messages.Severity, "SEVERITY_", finding.severity),
        count=finding.count,
        subjects=tuple(finding.subjects),
        message=finding.message,
        way_out=finding.way_out,
    )


def _queue(queue: messages.Queue) -> queue_types.Queue:
    return queue_types.Queue(
        kind=_kind(queue.kind),
        **_fields(queue, _COUNTS),
        **_times(queue, _QUEUE_TIMES),
        **_spans(queue, _QUEUE_SPANS),
    )


def _attempt(attempt: messages.JobAttempt) -> queue_types.JobAttempt:
    return queue_types.JobAttempt(
        charged=attempt.charged if attempt.HasField("charged") else None,
        **_fields(attempt, _ATTEMPT_FIELDS),
        **_times(attempt, _ATTEMPT_TIMES),
    )


def _load(load: messages.ProviderLoad) -> queue_types.ProviderLoad:
    return queue_types.ProviderLoad(
        breaker=word(
            queue_types.BreakerState, messages.BreakerState, "BREAKER_STATE_", load.breaker
        ),
        **_fields(load, ("provider", "running_count", "waiting_count", "failure_count")),
        **_times(load, _LOAD_TIMES),
    )


def _kind(number: int) -> Kind:
    return word(Kind, generation_service_pb2.Kind, "KIND_", number)


def _fields(of: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def _times(of: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: time_from_proto(getattr(of, name)) for name in names}


def _spans(of: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _span(of, name) for name in names}


def _span(of: Any, name: str) -> timedelta | None:
    found: timedelta | None = getattr(of, name).ToTimedelta() if of.HasField(name) else None
    return found
