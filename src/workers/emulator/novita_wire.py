"""Novita's side: images as tasks, Flux in one call, and the files of both."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.pricing import Usage
from workers.emulator.journal import Call
from workers.emulator.novita_jobs import FLUX, PROVIDER, BadTask, Task, read_flux, read_task
from workers.emulator.pictures import Order
from workers.emulator.scenarios import OF_CALLS, OF_JOBS, Rule, Scenario, Step
from workers.emulator.wire import (
    NOVITA_FILES_PATH,
    NOVITA_KEY,
    Answered,
    Wire,
    close_call,
    read_object,
    retry_after,
)

# Status, reason and message of what the real API says.
_REFUSALS = {
    Scenario.RATE_LIMITED: (429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded"),
    Scenario.MODEL_GONE: (404, "MODEL_NOT_FOUND", "model not found"),
    Scenario.INSUFFICIENT_QUOTA: (400, "BILLING_BALANCE_NOT_ENOUGH", "balance not enough"),
    Scenario.REFUSED: (400, "ILLEGAL_PROMPT", "prompt contains inappropriate content"),
}


class NovitaWire:
    """Answers as Novita's image API does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._tasks: dict[str, Task] = {}

    async def submit(self, request: Request) -> Response:
        """Take a task."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        _check_key(request, call)
        try:
            order = read_task(await read_object(request) or {})
        except BadTask as fault:
            return close_call(call, _error(400, "INVALID_REQUEST_BODY", str(fault)), "invalid")
        call.model, call.prompt = order.model.name, order.prompt
        await self._wire.follow(request, call, Step.SUBMIT, _refusal, OF_CALLS)
        task = self._take(call, order)
        await self._wire.follow(request, call, Step.ACCEPT, _refusal, OF_CALLS)
        return close_call(call, JSONResponse({"task_id": task.task_id}), "queued")

    async def result(self, request: Request) -> Response:
        """Say how far a task is, and where its images are."""
        call, task = await self._find(request, request.query_params.get("task_id"), Step.STATUS)
        status = task.status(asyncio.get_running_loop().time())
        task.asked = True
        answer = task.answer(status, str(request.base_url)[:-1] + NOVITA_FILES_PATH)
        return close_call(call, JSONResponse(answer), status.removeprefix("TASK_STATUS_").lower())

    async def flux(self, request: Request) -> Response:
        """Make images at once."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        call.model = FLUX
        _check_key(request, call)
        try:
            order = read_flux(await read_object(request) or {})
        except BadTask as fault:
            return close_call(call, _error(400, "INVALID_REQUEST_BODY", str(fault)), "invalid")
        call.prompt = order.prompt
        await self._wire.follow(request, call, Step.SUBMIT, _refusal)
        task = self._take(call, order)
        await self._wire.follow(request, call, Step.ACCEPT, _refusal)
        images = task.images(str(request.base_url)[:-1] + NOVITA_FILES_PATH)
        answer = {"images": images, "task": {"task_id": task.task_id}}
        return close_call(call, JSONResponse(answer), "made")

    async def file(self, request: Request) -> Response:
        """Return an image. It needs no key, as on the hosts of Novita's files."""
        call, task = await self._find(request, request.path_params["task_id"], Step.FILE)
        content = await task.order.draw(request.path_params["index"])
        media_type = f"image/{task.order.output_format}"
        return close_call(call, Response(content, media_type=media_type), "sent")

    def _take(self, call: Call, order: Order) -> Task:
        """Note a task. Its bill is known at once: nobody can stop it."""
        rules = self._wire.rules
        fate = rules.take(PROVIDER, Step.SUBMIT, call.prompt, OF_JOBS)
        fate = fate or rules.take(PROVIDER, Step.ACCEPT, call.prompt, OF_JOBS)
        late = fate.seconds if fate and fate.scenario is Scenario.LATENCY else None
        ready = asyncio.get_running_loop().time() + (late or 0)
        task = Task(str(uuid.uuid4()), order, fate, call, ready)
        self._tasks[task.task_id] = task
        if fate is None or fate.scenario not in (Scenario.JOB_FAILED, Scenario.JOB_STUCK):
            call.billed_units = f"{order.count}"
            call.billed_micros = order.bill(Usage(images=order.count))
        return task

    async def _find(self, request: Request, task_id: str | None, step: Step) -> tuple[Call, Task]:
        """Note a call about a task, follow the orders for it, and return it with the task.

        Raises Answered.
        """
        call = self._wire.open_call(request, PROVIDER, step)
        if step is not Step.FILE:
            _check_key(request, call)
        task = self._tasks.get(task_id or "")
        if task is None:
            refusal = _error(404, "TASK_NOT_FOUND", "task not found")
            raise Answered(close_call(call, refusal, "unknown"))
        call.model, call.prompt = task.call.model, task.call.prompt
        await self._wire.follow(request, call, step, _refusal)
        return call, task


def _refusal(rule: Rule) -> Response | None:
    """Return the answer with which Novita turns a call away, if the order is to do so."""
    if rule.scenario in (Scenario.SERVER_ERROR, Scenario.UNAVAILABLE):
        # A gateway's, which does not say whether anything was made.
        status = 503 if rule.scenario is Scenario.UNAVAILABLE else rule.status
        return JSONResponse({"message": "Bad gateway"}, status, retry_after(rule))
    found = _REFUSALS.get(rule.scenario)
    if found is None:
        return None
    return _error(*found, headers=retry_after(rule))


def _check_key(request: Request, call: Call) -> None:
    if request.headers.get("authorization") != f"Bearer {NOVITA_KEY}":
        refusal = _error(403, "INVALID_API_KEY", "invalid api key")
        raise Answered(close_call(call, refusal, "unauthorized"))


def _error(
    status: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body: dict[str, Any] = {"code": status, "reason": reason, "message": message, "metadata": {}}
    return JSONResponse(body, status, headers)
