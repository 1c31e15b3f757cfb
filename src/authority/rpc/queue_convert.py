"""From the domain's values to the messages of QueueService."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from authority.domain.dead_letters import AttemptRecord
from authority.domain.findings import Finding
from authority.domain.jobs import Entry, Job, JobsChanged, JobState, ProviderLoad, QueueState
from authority.rpc.generation_convert import KINDS
from authority.v1 import generation_service_pb2
from authority.v1 import queue_service_pb2 as messages
from generations.beats import Beat
from generations.models import Kind
from generations.queue_control import Limit

_TIMES = (
    *("create_time", "start_time", "end_time", "next_try_time"),
    *("deadline_time", "dead_time", "cancel_time"),
)
_ATTEMPT_TIMES = ("create_time", "dispatch_time", "settle_time", "retry_time")


def queue_to_proto(queue: QueueState, now: datetime) -> messages.Queue:
    """Return the proto's message."""
    counts, figures = queue.counts, queue.figures
    message = messages.Queue(
        kind=KINDS[Kind(queue.kind)],
        ready_count=counts[JobState.READY],
        deferred_count=counts[JobState.DEFERRED],
        running_count=counts[JobState.RUNNING],
        orphaned_count=counts[JobState.ORPHANED],
        lost_count=counts[JobState.LOST],
        dead_count=figures.dead,
        stray_count=queue.strays,
        submitted_count=figures.submitted,
        ended_count=figures.ended,
        failed_count=figures.failed,
        slot_count=queue.slot_count,
    )
    for name in ("wait_p50", "wait_p95", "run_p50", "run_p95"):
        seconds = getattr(figures, f"{name}_s")
        if seconds is not None:
            getattr(message, name).FromTimedelta(timedelta(seconds=seconds))
    _set_times(
        message,
        oldest_ready_time=queue.oldest_ready_time,
        pause_time=queue.pause_time,
        drain_time=queue.drain_time(now),
    )
    return message


def job_to_proto(job: Job) -> messages.Job:
    """Return the proto's message."""
    row = job.row
    message = messages.Job(
        generation_id=row.generation_id,
        account=row.account,
        kind=KINDS[Kind(row.kind)],
        state=messages.JobState.Value(f"JOB_STATE_{job.state}"),
        generation_state=generation_service_pb2.GenerationState.Value(
            f"GENERATION_STATE_{row.generation_state}"
        ),
        priority=generation_service_pb2.Priority.Value(f"PRIORITY_{row.priority}"),
        attempt_count=row.attempt_count,
        provider=row.provider,
        model=row.model,
        error_reason=row.error_reason,
        error_message=row.error_message,
        worker=row.owner.rpartition(":")[0],
        stage=row.stage,
        progress_percent=row.progress_percent,
        cost=row.cost_micros,
        leader_id=row.leader_id,
        prompt=row.prompt,
    )
    _set_times(message, **{name: getattr(row, name) for name in _TIMES})
    return message


def attempt_to_proto(attempt: AttemptRecord) -> messages.JobAttempt:
    """Return the proto's message."""
    message = messages.JobAttempt(
        attempt=attempt.attempt,
        state=attempt.state,
        provider=attempt.provider,
        model=attempt.model,
        reservation_id=attempt.reservation_id,
        remote_id=attempt.remote_id,
        estimate=attempt.estimate_micros or 0,
        charged=attempt.charged_micros,
        presumed_spent=attempt.presumed_spent,
        error_reason=attempt.error_reason,
        error_message=attempt.error_message,
        error_class=attempt.error_class,
        error_body=attempt.error_body,
        request_id=attempt.request_id,
    )
    _set_times(message, **{name: getattr(attempt, name) for name in _ATTEMPT_TIMES})
    return message


def entry_to_proto(entry: Entry, requeue_number: int) -> messages.QueueEntry:
    """Return the proto's message."""
    message = messages.QueueEntry(
        job_id=entry.job_id,
        requeue_number=requeue_number,
        score=entry.place.score,
        polite=entry.place.is_polite,
        claim=entry.place.claim,
        data=entry.data,
        run_count=entry.run_count,
    )
    if entry.claim_ttl_ms is not None:
        message.claim_ttl.FromMilliseconds(entry.claim_ttl_ms)
    if entry.data_ttl_ms is not None:
        message.data_ttl.FromMilliseconds(entry.data_ttl_ms)
    return message


def change_to_proto(changed: JobsChanged) -> messages.JobChange:
    """Return the proto's message."""
    return messages.JobChange(generation_ids=changed.generation_ids, more=changed.more)


def pause_to_proto(target: str, since: datetime) -> messages.Pause:
    """Return the proto's message."""
    message = messages.Pause(target=target)
    message.pause_time.FromDatetime(since)
    return message


def limit_to_proto(limit: Limit) -> messages.Limit:
    """Return the proto's message."""
    return messages.Limit(subject=limit.subject, name=limit.name, value=limit.value)


def load_to_proto(load: ProviderLoad) -> messages.ProviderLoad:
    """Return the proto's message."""
    message = messages.ProviderLoad(
        provider=load.provider,
        running_count=load.running,
        waiting_count=load.waiting,
        breaker=messages.BreakerState.Value(f"BREAKER_STATE_{load.breaker}"),
        failure_count=load.failures,
    )
    _set_times(
        message,
        open_until_time=load.open_until_time,
        cooldown_until_time=load.cooldown_until_time,
        pause_time=load.pause_time,
    )
    return message


def worker_to_proto(beat: Beat) -> messages.Worker:
    """Return the proto's message."""
    message = messages.Worker(
        worker=beat.worker,
        version=beat.version,
        slots=[
            messages.WorkerSlots(kind=KINDS[Kind(kind)], slot_count=count)
            for kind, count in sorted(beat.slots.items())
            if kind in KINDS
        ],
        generation_ids=beat.running,
        providers=beat.providers,
        stopping=beat.stopping,
    )
    _set_times(message, start_time=beat.started, beat_time=beat.beat)
    return message


def finding_to_proto(finding: Finding) -> messages.Finding:
    """Return the proto's message."""
    return messages.Finding(
        finding=finding.finding,
        severity=messages.Severity.Value(f"SEVERITY_{finding.severity}"),
        count=finding.count,
        subjects=finding.subjects,
        message=finding.message,
        way_out=finding.way_out,
    )


def _set_times(message: Message, **times: datetime | None) -> None:
    for name, time in times.items():
        if time is not None:
            field: Any = getattr(message, name)
            field.FromDatetime(time)
