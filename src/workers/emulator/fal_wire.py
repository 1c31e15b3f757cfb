"""fal's side: the queue, which takes a job and is asked for it, and the files of results."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.models import Kind, Model
from workers.emulator.fal_jobs import Job, read_order, result_of
from workers.emulator.journal import Call
from workers.emulator.pictures import film, find_model
from workers.emulator.scenarios import OF_CALLS, OF_JOBS, Rule, Scenario, Step
from workers.emulator.wire import (
    FAL_KEY,
    FAL_PATH,
    FILES_PATH,
    Answered,
    Wire,
    close_call,
    read_object,
    retry_after,
)

PROVIDER = "fal"

_FAILURE = {"detail": "The runner disconnected.", "error_type": "runner_disconnected"}
_CANCELLED = {"detail": "The request was cancelled.", "error_type": "client_cancelled"}
_REFUSALS = {
    Scenario.RATE_LIMITED: (429, "Too many requests."),
    Scenario.UNAVAILABLE: (503, "The service is unavailable."),
    Scenario.SERVER_ERROR: (500, "Bad gateway."),
    Scenario.MODEL_GONE: (404, "Application not found"),
    Scenario.INSUFFICIENT_QUOTA: (403, "User is locked. Reason: Exhausted balance."),
}


class FalWire:
    """Answers as fal's queue does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._jobs: dict[str, Job] = {}

    async def submit(self, request: Request) -> Response:
        """Take a job."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        call.model = request.path_params["model"]
        _check_key(request, call)
        model = find_model(PROVIDER, call.model, (Kind.IMAGE, Kind.VIDEO))
        body = await read_object(request)
        if model is None:
            return close_call(call, _detail(404, "Application not found"), "model_gone")
        if body is None:
            return close_call(call, _detail(400, "Invalid JSON."), "invalid")
        call.prompt = str(body.get("prompt", ""))
        await self._wire.follow(request, call, Step.SUBMIT, _refusal, OF_CALLS)
        job = self._queue(call, model, body)
        await self._wire.follow(request, call, Step.ACCEPT, _refusal, OF_CALLS)
        return close_call(call, JSONResponse(_links(request, job)), "queued")

    async def status(self, request: Request) -> Response:
        """Say how far a job is."""
        call, job = await self._find(request, Step.STATUS)
        status = job.status(asyncio.get_running_loop().time())
        job.asked = True
        answer: dict[str, Any] = {"status": status, **_links(request, job)}
        if status == "IN_QUEUE":
            answer["queue_position"] = 0
        if status == "IN_PROGRESS" and request.query_params.get("logs") == "1":
            answer["logs"] = [{"message": " 50%|#####     | 14/28", "level": "INFO"}]
        if status == "COMPLETED":
            answer["metrics"] = {} if job.cancelled else {"inference_time": 0.5}
            ended = _ending(job)
            if ended is not None:
                answer |= {"error": ended["detail"], "error_type": ended["error_type"]}
        code = 200 if status == "COMPLETED" else 202
        return close_call(call, JSONResponse(answer, code), status.lower())

    async def result(self, request: Request) -> Response:
        """Return what a completed job made, or why it made nothing."""
        call, job = await self._find(request, Step.RESULT)
        headers = {"x-fal-request-id": job.job_id}
        if job.status(asyncio.get_running_loop().time()) != "COMPLETED":
            return close_call(call, _detail(400, "Request is still in progress"), "unfinished")
        ended = _ending(job)
        if ended is not None:
            headers["x-fal-error-type"] = ended["error_type"]
            status = 499 if job.cancelled else 503
            return close_call(call, JSONResponse(ended, status, headers), "failed")
        headers["x-fal-billable-units"] = f"{job.units:f}"
        refusal = job.refusal()
        if refusal or job.order is None:
            return close_call(call, JSONResponse({"detail": refusal}, 422, headers), "rejected")
        answer = await result_of(job, job.order, str(request.base_url)[:-1] + FILES_PATH)
        return close_call(call, JSONResponse(answer, headers=headers), "made")

    async def cancel(self, request: Request) -> Response:
        """Stop a job that has not ended, unless the orders say that it can't be stopped."""
        call, job = await self._find(request, Step.CANCEL)
        if not job.cancel(asyncio.get_running_loop().time()):
            return close_call(call, JSONResponse({"status": "ALREADY_COMPLETED"}, 400), "too_late")
        answer = JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)
        return close_call(call, answer, "cancelled" if job.cancelled else "unstoppable")

    async def file(self, request: Request) -> Response:
        """Return a picture or video. It needs no key, as on fal's own file hosts."""
        call, job = await self._find(request, Step.FILE)
        if job.order is None:
            return close_call(call, _detail(404, "Not found"), "unknown")
        if job.model.kind is Kind.VIDEO:
            content = await asyncio.to_thread(film, job.order)
            return close_call(call, Response(content, media_type="video/mp4"), "sent")
        content = await job.order.draw(request.path_params["index"])
        media_type = f"image/{job.order.output_format}"
        return close_call(call, Response(content, media_type=media_type), "sent")

    def _queue(self, call: Call, model: Model, body: dict[str, Any]) -> Job:
        """Put a job into the queue. Its bill is known at once; to cancel it changes that."""
        rules = self._wire.rules
        fate = rules.take(PROVIDER, Step.SUBMIT, call.prompt, OF_JOBS)
        fate = fate or rules.take(PROVIDER, Step.ACCEPT, call.prompt, OF_JOBS)
        order, faults = read_order(model, body)
        late = fate.seconds if fate and fate.scenario is Scenario.LATENCY else None
        ready = asyncio.get_running_loop().time() + (late or 0)
        job = Job(str(uuid.uuid4()), model, order, faults, fate, call, ready)
        self._jobs[job.job_id] = job
        job.write_bill()
        return job

    async def _find(self, request: Request, step: Step) -> tuple[Call, Job]:
        """Note a call about a job, follow the orders for it, and return it with the job.

        Raises Answered.
        """
        call, path = self._wire.open_call(request, PROVIDER, step), request.path_params
        if step is not Step.FILE:
            _check_key(request, call)
        job = self._jobs.get(path["job_id"])
        owner, _, alias = job.application.partition("/") if job else ("", "", "")
        if job is None or path.get("owner", owner) != owner or path.get("alias", alias) != alias:
            raise Answered(close_call(call, _detail(404, "Request not found"), "unknown"))
        call.model, call.prompt = job.call.model, job.call.prompt
        await self._wire.follow(request, call, step, _refusal)
        return call, job


def _ending(job: Job) -> dict[str, str] | None:
    """Return the error that a job has ended with; None if it has none."""
    if job.cancelled:
        return _CANCELLED
    return _FAILURE if job.scenario is Scenario.JOB_FAILED else None


def _refusal(rule: Rule) -> Response | None:
    """Return the answer with which fal turns a call away, if the order is to do so."""
    found = _REFUSALS.get(rule.scenario)
    if found is None:
        return None
    status = rule.status if rule.scenario is Scenario.SERVER_ERROR else found[0]
    return _detail(status, found[1], retry_after(rule))


def _check_key(request: Request, call: Call) -> None:
    if request.headers.get("authorization") != f"Key {FAL_KEY}":
        refusal = _detail(401, "Authentication is required to access this application.")
        raise Answered(close_call(call, refusal, "unauthorized"))


def _detail(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": text}, status, headers)


def _links(request: Request, job: Job) -> dict[str, str]:
    url = f"{str(request.base_url)[:-1]}{FAL_PATH}/{job.application}/requests/{job.job_id}"
    return {
        "request_id": job.job_id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }
