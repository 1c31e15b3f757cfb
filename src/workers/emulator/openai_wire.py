"""OpenAI's images: POST /images/generations and /images/edits."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.pricing import Usage
from workers.emulator.forms import read_parts
from workers.emulator.journal import Call
from workers.emulator.openai_request import PROVIDER, BadParameter, read_edit, read_order
from workers.emulator.pictures import TOKENS_PER_RATE, Order, price_of_one
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.emulator.wire import OPENAI_KEY, Answered, Wire, close_call, read_object, retry_after

CREATED = 1_763_700_000

# What the emulator counts for each image that it is given.
TOKENS_PER_REFERENCE = 400

# Status, code, type and message of what the real API says.
_REFUSALS: dict[Scenario, tuple[int, str | None, str, str]] = {
    Scenario.RATE_LIMITED: (
        429,
        "rate_limit_exceeded",
        "requests",
        "Rate limit reached for images per minute.",
    ),
    Scenario.UNAVAILABLE: (503, None, "server_error", "The engine is currently overloaded."),
    Scenario.SERVER_ERROR: (500, None, "server_error", "The server had an error."),
    Scenario.MODEL_GONE: (
        404,
        "model_not_found",
        "invalid_request_error",
        "The model does not exist or you do not have access to it.",
    ),
    Scenario.INSUFFICIENT_QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota.",
    ),
    Scenario.REFUSED: (
        400,
        "moderation_blocked",
        "image_generation_user_error",
        "Your request was rejected by the safety system.",
    ),
}


ReadOrder = Callable[[Request], Awaitable[Order]]


class OpenAIWire:
    """Answers as OpenAI does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def generate(self, request: Request) -> Response:
        """Make images, or do what the orders say."""
        return await self._answer(request, self._read_generation)

    async def edit(self, request: Request) -> Response:
        """Edit images, or do what the orders say."""
        return await self._answer(request, self._read_edit)

    async def _answer(self, request: Request, read: ReadOrder) -> Response:
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        call.attempt = request.headers.get("x-client-request-id", "")
        try:
            response = await self._make(request, call, read)
        except Answered as answered:
            response = answered.response
        response.headers["x-request-id"] = f"req_{call.number:032x}"
        return response

    async def _read_generation(self, request: Request) -> Order:
        return read_order(await read_object(request))

    async def _read_edit(self, request: Request) -> Order:
        return read_edit(await read_parts(request))

    async def _make(self, request: Request, call: Call, read: ReadOrder) -> Response:
        if request.headers.get("authorization") != f"Bearer {OPENAI_KEY}":
            refusal = _error(
                401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided."
            )
            return close_call(call, refusal, "unauthorized")
        try:
            order = await read(request)
        except BadParameter as error:
            refusal = _error(
                error.status, error.code, "invalid_request_error", str(error), error.parameter
            )
            return close_call(call, refusal, error.code)
        call.model, call.prompt = order.model.name, order.prompt
        await self._wire.follow(request, call, Step.SUBMIT, _refusal)
        usage = _usage(order)
        call.billed_micros = order.bill(usage)
        await self._wire.follow(request, call, Step.ACCEPT, _refusal)
        return close_call(call, JSONResponse(await _answer(order, usage)), "made")


def _refusal(rule: Rule) -> Response | None:
    """Return the answer with which the real API turns a request away, if the order is to do so."""
    found = _REFUSALS.get(rule.scenario)
    if found is None:
        return None
    status, code, kind, message = found
    more: dict[str, Any] = {}
    if rule.scenario is Scenario.SERVER_ERROR:
        status = rule.status
    if rule.scenario is Scenario.REFUSED:
        stage = "input" if rule.step is Step.SUBMIT else "output"
        more["moderation_details"] = {"moderation_stage": stage, "categories": ["violence"]}
    return _error(status, code, kind, message, headers=retry_after(rule), **more)


def _error(
    status: int,
    code: str | None,
    kind: str,
    message: str,
    parameter: str | None = None,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    error = {"message": message, "type": kind, "param": parameter, "code": code, **more}
    return JSONResponse({"error": error}, status, headers)


def _usage(order: Order) -> Usage:
    """Return tokens that cost what the catalogue says of the pictures, or a little less."""
    text = len(order.prompt.split()) * 4 // 3 + 8
    image = price_of_one(order) * TOKENS_PER_RATE
    image //= order.model.micros_per_million_tokens["image_output"]
    return Usage(
        images=order.count,
        text_input_tokens=text * order.count,
        image_input_tokens=len(order.given) * TOKENS_PER_REFERENCE * order.count,
        image_output_tokens=image * order.count,
        text_output_tokens=0,
    )


async def _answer(order: Order, usage: Usage) -> dict[str, Any]:
    contents = [await order.draw(index) for index in range(order.count)]
    text, image = usage.text_input_tokens or 0, usage.image_output_tokens or 0
    given = usage.image_input_tokens or 0
    return {
        "created": CREATED,
        "background": "opaque",
        "data": [{"b64_json": base64.b64encode(content).decode()} for content in contents],
        "output_format": order.output_format,
        "quality": order.quality,
        "size": order.size,
        "usage": {
            "input_tokens": text + given,
            "input_tokens_details": {"text_tokens": text, "image_tokens": given},
            "output_tokens": image,
            "output_tokens_details": {"text_tokens": 0, "image_tokens": image},
            "total_tokens": text + given + image,
        },
    }
