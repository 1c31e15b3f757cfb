"""QueueService: what operators see of the queues, and change in them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import grpc

from authority.domain.jobs import WINDOW
from authority.rpc.caller import read_cause
from authority.rpc.pages import make_page_token, read_page_token
from authority.rpc.queue_convert import (
    attempt_to_proto,
    change_to_proto,
    entry_to_proto,
    finding_to_proto,
    job_to_proto,
    limit_to_proto,
    load_to_proto,
    pause_to_proto,
    queue_to_proto,
    worker_to_proto,
)
from authority.rpc.queue_requests import (
    read_filter,
    read_generation_id,
    read_limit,
    read_limit_name,
    read_selection,
    read_target,
)
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.usecases.diagnose import diagnose
from authority.usecases.levers import (
    Lever,
    change_jobs,
    pause,
    resume,
    set_limit,
    unset_limit,
)
from authority.usecases.queues import (
    QueueContext,
    get_job,
    list_jobs,
    list_queues,
    provider_loads,
)
from authority.v1 import queue_service_pb2 as messages
from authority.v1 import queue_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


_JobsRequest = (
    messages.RetryJobsRequest
    | messages.DiscardJobsRequest
    | messages.CancelJobsRequest
    | messages.PromoteJobsRequest
    | messages.RequeueJobsRequest
)


class QueueServicer(queue_service_pb2_grpc.QueueServiceServicer):
    """What operators use. A change that was begun goes on though its caller hangs up."""

    def __init__(self, context: QueueContext, shield: Shield) -> None:
        self._context = context
        self._shield = shield

    async def ListQueues(
        self, request: messages.ListQueuesRequest, context: Call
    ) -> messages.ListQueuesResponse:
        queues = await list_queues(self._context)
        pauses = await self._context.view.pauses()
        now = self._context.now()
        response = messages.ListQueuesResponse(
            queues=[queue_to_proto(queue, now) for queue in queues],
            pauses=[pause_to_proto(*item) for item in pauses.items()],
        )
        response.window.FromTimedelta(WINDOW)
        response.read_time.FromDatetime(now)
        return response

    async def ListJobs(
        self, request: messages.ListJobsRequest, context: Call
    ) -> messages.ListJobsResponse:
        reader = Reader()
        wanted = read_filter(reader, request.filter, request.tenant)
        size = reader.page_size(request.page_size)
        reader.finish()
        # The tenant of a caller that is bound to one was filled in when the call was let in.
        filtered = sha256(request.filter.SerializeToString(deterministic=True)).hexdigest()
        scope = ["jobs", request.tenant, filtered]
        (after,) = read_page_token(request.page_token, scope, [""])
        with_prompt = request.include_prompt
        rows = await list_jobs(self._context, wanted, after, size + 1, with_prompt=with_prompt)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].row.generation_id]) if len(rows) > size else ""
        return messages.ListJobsResponse(jobs=map(job_to_proto, page), next_page_token=more)

    async def GetJob(
        self, request: messages.GetJobRequest, context: Call
    ) -> messages.GetJobResponse:
        reader = Reader()
        read_generation_id(reader, request.generation_id)
        reader.finish()
        job, attempts, entry = await get_job(
            self._context, request.generation_id, with_prompt=request.include_prompt
        )
        return messages.GetJobResponse(
            job=job_to_proto(job),
            attempts=map(attempt_to_proto, attempts),
            entry=entry_to_proto(entry, job.row.requeue_number),
        )

    async def RetryJobs(
        self, request: messages.RetryJobsRequest, context: Call
    ) -> messages.RetryJobsResponse:
        return messages.RetryJobsResponse(change=await self._change(Lever.RETRY, request))

    async def DiscardJobs(
        self, request: messages.DiscardJobsRequest, context: Call
    ) -> messages.DiscardJobsResponse:
        return messages.DiscardJobsResponse(change=await self._change(Lever.DISCARD, request))

    async def CancelJobs(
        self, request: messages.CancelJobsRequest, context: Call
    ) -> messages.CancelJobsResponse:
        return messages.CancelJobsResponse(change=await self._change(Lever.CANCEL, request))

    async def PromoteJobs(
        self, request: messages.PromoteJobsRequest, context: Call
    ) -> messages.PromoteJobsResponse:
        return messages.PromoteJobsResponse(change=await self._change(Lever.PROMOTE, request))

    async def RequeueJobs(
        self, request: messages.RequeueJobsRequest, context: Call
    ) -> messages.RequeueJobsResponse:
        return messages.RequeueJobsResponse(change=await self._change(Lever.REQUEUE, request))

    async def PauseQueue(
        self, request: messages.PauseQueueRequest, context: Call
    ) -> messages.PauseQueueResponse:
        reader = Reader()
        target, cause = read_target(reader, request.target), read_cause(reader, request.reason)
        reader.finish()
        since, changed = await self._shield.run(pause(self._context, target, cause))
        return messages.PauseQueueResponse(pause=pause_to_proto(target, since), changed=changed)

    async def ResumeQueue(
        self, request: messages.ResumeQueueRequest, context: Call
    ) -> messages.ResumeQueueResponse:
        reader = Reader()
        target, cause = read_target(reader, request.target), read_cause(reader, request.reason)
        reader.finish()
        changed = await self._shield.run(resume(self._context, target, cause))
        return messages.ResumeQueueResponse(changed=changed)

    async def ListLimits(
        self, request: messages.ListLimitsRequest, context: Call
    ) -> messages.ListLimitsResponse:
        return messages.ListLimitsResponse(
            limits=map(limit_to_proto, await self._context.view.limits()),
            providers=map(load_to_proto, await provider_loads(self._context)),
        )

    async def SetLimit(
        self, request: messages.SetLimitRequest, context: Call
    ) -> messages.SetLimitResponse:
        reader = Reader()
        limit, cause = read_limit(reader, request.limit), read_cause(reader, request.reason)
        reader.finish()
        await self._shield.run(set_limit(self._context, limit, cause))
        return messages.SetLimitResponse(limit=limit_to_proto(limit))

    async def UnsetLimit(
        self, request: messages.UnsetLimitRequest, context: Call
    ) -> messages.UnsetLimitResponse:
        reader = Reader()
        name = read_limit_name(reader, request.subject, request.name)
        cause = read_cause(reader, request.reason)
        reader.finish()
        changed = await self._shield.run(unset_limit(self._context, request.subject, name, cause))
        return messages.UnsetLimitResponse(changed=changed)

    async def ListWorkers(
        self, request: messages.ListWorkersRequest, context: Call
    ) -> messages.ListWorkersResponse:
        beats = await self._context.view.beats()
        return messages.ListWorkersResponse(workers=map(worker_to_proto, beats))

    async def Diagnose(
        self, request: messages.DiagnoseRequest, context: Call
    ) -> messages.DiagnoseResponse:
        return messages.DiagnoseResponse(
            findings=map(finding_to_proto, await diagnose(self._context))
        )

    async def _change(self, lever: Lever, request: _JobsRequest) -> messages.JobChange:
        reader = Reader()
        selection = read_selection(reader, request.selection, request.tenant)
        cause = read_cause(reader, request.reason)
        reader.finish()
        changed = await self._shield.run(
            change_jobs(self._context, lever, selection, cause, dry_run=request.dry_run)
        )
        return change_to_proto(changed)
