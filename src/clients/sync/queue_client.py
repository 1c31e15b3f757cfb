# Generated from clients/queue_client.py by tools/sync_client.py; edit that one.
"""The queues, as operators see and steer them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from authority.v1 import queue_service_pb2 as messages
from authority.v1.queue_service_pb2_grpc import QueueServiceStub
from clients.convert_queues import (
    change_from_proto,
    detail_from_proto,
    filter_to_proto,
    finding_from_proto,
    job_from_proto,
    limit_from_proto,
    limits_from_proto,
    pause_from_proto,
    queues_from_proto,
    worker_from_proto,
)
from clients.queue_types import (
    Finding,
    Job,
    JobChange,
    JobDetail,
    JobFilter,
    Limit,
    Limits,
    Pause,
    Queues,
    Worker,
)
from clients.requests import message
from clients.sync.channel import SyncClient

_PAGE_SIZE = 500
_DIAGNOSE_SECONDS = 60.0
_CHANGE_SECONDS = 60.0


class SyncQueueClient(SyncClient):
    """What operators use. Errors are those of `clients.errors`.

    The calls that change jobs take their ids, or a filter, of which an empty one means every job;
    each job is changed only if it still is in a state that the change is for. To repeat one whose
    answer was lost is safe. `reason` is for the record of changes. With `dry_run` nothing is
    changed.
    """

    def _make_stub(self) -> None:
        self._stub = QueueServiceStub(self._channel)

    def list_queues(self) -> Queues:
        """Return the queues of all kinds, in figures."""
        return queues_from_proto(self._call(self._stub.ListQueues, messages.ListQueuesRequest()))

    def list_jobs(
        self,
        jobs: JobFilter | None = None,
        *,
        tenant: str = "",
        include_prompt: bool = False,
        page_size: int = _PAGE_SIZE,
    ) -> Iterator[Job]:
        """Yield jobs in the order of their ids: open ones and dead letters, unless a state is set.

        `page_size` is how many are asked for at a time.
        """
        request = message(
            messages.ListJobsRequest,
            tenant=tenant,
            filter=filter_to_proto(jobs),
            include_prompt=include_prompt,
            page_size=page_size,
        )
        for page in self._pages(self._stub.ListJobs, request):
            for job in page.jobs:
                yield job_from_proto(job)

    def get_job(self, generation_id: str, *, include_prompt: bool = False) -> JobDetail:
        """Return a job with its attempts and what Redis has of it."""
        request = message(
            messages.GetJobRequest, generation_id=generation_id, include_prompt=include_prompt
        )
        return detail_from_proto(self._call(self._stub.GetJob, request))

    def retry_jobs(
        self,
        jobs: Sequence[str] | JobFilter,
        *,
        tenant: str = "",
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _CHANGE_SECONDS,
    ) -> JobChange:
        """Try dead letters again, each under a new reservation."""
        request = message(
            messages.RetryJobsRequest, **_change_of(jobs, tenant, dry_run=dry_run, reason=reason)
        )
        response = self._call(self._stub.RetryJobs, request, timeout=timeout)
        return change_from_proto(response.change)

    def discard_jobs(
        self,
        jobs: Sequence[str] | JobFilter,
        *,
        tenant: str = "",
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _CHANGE_SECONDS,
    ) -> JobChange:
        """Leave dead letters as the failures that they are."""
        request = message(
            messages.DiscardJobsRequest, **_change_of(jobs, tenant, dry_run=dry_run, reason=reason)
        )
        response = self._call(self._stub.DiscardJobs, request, timeout=timeout)
        return change_from_proto(response.change)

    def cancel_jobs(
        self,
        jobs: Sequence[str] | JobFilter,
        *,
        tenant: str = "",
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _CHANGE_SECONDS,
    ) -> JobChange:
        """Cancel jobs that are open: at once what waits, soon what runs."""
        request = message(
            messages.CancelJobsRequest, **_change_of(jobs, tenant, dry_run=dry_run, reason=reason)
        )
        response = self._call(self._stub.CancelJobs, request, timeout=timeout)
        return change_from_proto(response.change)

    def promote_jobs(
        self,
        jobs: Sequence[str] | JobFilter,
        *,
        tenant: str = "",
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _CHANGE_SECONDS,
    ) -> JobChange:
        """Move jobs that wait to the front of their queue, to run now."""
        request = message(
            messages.PromoteJobsRequest, **_change_of(jobs, tenant, dry_run=dry_run, reason=reason)
        )
        response = self._call(self._stub.PromoteJobs, request, timeout=timeout)
        return change_from_proto(response.change)

    def requeue_jobs(
        self,
        jobs: Sequence[str] | JobFilter,
        *,
        tenant: str = "",
        dry_run: bool = False,
        reason: str = "",
        timeout: float = _CHANGE_SECONDS,
    ) -> JobChange:
        """Enqueue jobs anew that nobody is at work on."""
        request = message(
            messages.RequeueJobsRequest, **_change_of(jobs, tenant, dry_run=dry_run, reason=reason)
        )
        response = self._call(self._stub.RequeueJobs, request, timeout=timeout)
        return change_from_proto(response.change)

    def pause_queue(self, target: str, *, reason: str = "") -> Pause:
        """Let workers take nothing more from a queue, or ask nothing more of a provider.

        `target` is a kind such as `image`, `all`, or `provider:NAME`. What runs, ends.
        """
        request = message(messages.PauseQueueRequest, target=target, reason=reason)
        response = self._call(self._stub.PauseQueue, request)
        return pause_from_proto(response.pause, changed=response.changed)

    def resume_queue(self, target: str, *, reason: str = "") -> bool:
        """Undo `pause_queue` of the same target; False if it was not paused."""
        request = message(messages.ResumeQueueRequest, target=target, reason=reason)
        return (self._call(self._stub.ResumeQueue, request)).changed

    def list_limits(self) -> Limits:
        """Return the limits that operators have set, and how busy each provider is."""
        return limits_from_proto(self._call(self._stub.ListLimits, messages.ListLimitsRequest()))

    def set_limit(self, subject: str, name: str, value: int, *, reason: str = "") -> Limit:
        """Set a limit, which holds in place of the workers' settings; 0 is no limit."""
        limit = message(messages.Limit, subject=subject, name=name, value=value)
        request = message(messages.SetLimitRequest, limit=limit, reason=reason)
        response = self._call(self._stub.SetLimit, request)
        return limit_from_proto(response.limit)

    def unset_limit(self, subject: str, name: str, *, reason: str = "") -> bool:
        """Let the workers' settings hold again; False if no limit was set."""
        request = message(messages.UnsetLimitRequest, subject=subject, name=name, reason=reason)
        return (self._call(self._stub.UnsetLimit, request)).changed

    def list_workers(self) -> list[Worker]:
        """Return the workers that are alive, by name."""
        response = self._call(self._stub.ListWorkers, messages.ListWorkersRequest())
        return [worker_from_proto(worker) for worker in response.workers]

    def diagnose(self, *, timeout: float = _DIAGNOSE_SECONDS) -> list[Finding]:
        """Return what is wrong with queues, workers and providers, the most urgent first."""
        request = messages.DiagnoseRequest()
        response = self._call(self._stub.Diagnose, request, timeout=timeout)
        return [finding_from_proto(finding) for finding in response.findings]


def _change_of(
    jobs: Sequence[str] | JobFilter, tenant: str, *, dry_run: bool, reason: str
) -> dict[str, Any]:
    """Return the fields that the requests to change jobs have in common."""
    if isinstance(jobs, JobFilter):
        selection = message(messages.JobSelection, filter=filter_to_proto(jobs))
    else:
        assert not isinstance(jobs, str), "a text is a sequence of its letters"
        selection = message(messages.JobSelection, generation_ids=jobs)
    return {"selection": selection, "tenant": tenant, "dry_run": dry_run, "reason": reason}
