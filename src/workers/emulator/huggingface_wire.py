"""Hugging Face's side: POST /models/{model}, answered with the bytes of an image."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.models import Model
from generations.pricing import Usage
from generations.settings import Settings
from workers.emulator.pictures import Order, find_model
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.emulator.wire import (
    HUGGINGFACE_KEY,
    Wire,
    close_call,
    read_object,
    retry_after,
)
from workers.providers.pictures import pixels

PROVIDER = "huggingface"
# What each image takes to compute, and is billed.
COMPUTE_SECONDS = Decimal("1.25")

_LOADING_SECONDS = 20.0
_FORMATS = ("png", "jpeg", "webp")
_REFUSALS = {
    Scenario.RATE_LIMITED: (429, "Too Many Requests"),
    Scenario.UNAVAILABLE: (503, "Service Unavailable"),
    Scenario.SERVER_ERROR: (500, "Internal Server Error"),
    Scenario.MODEL_GONE: (404, "Model not found"),
    Scenario.INSUFFICIENT_QUOTA: (
        402,
        "You have exceeded your monthly included credits for Inference Providers.",
    ),
}


class HuggingFaceWire:
    """Answers as Hugging Face's own inference does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def generate(self, request: Request) -> Response:
        """Make an image, or do what the orders say."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        call.model = request.path_params["model"]
        if request.headers.get("authorization") != f"Bearer {HUGGINGFACE_KEY}":
            return close_call(call, _error(401, "Invalid username or password."), "unauthorized")
        model, body = find_model(PROVIDER, call.model), await read_object(request)
        if model is None:
            message = f"Model {call.model} is not supported by provider hf-inference."
            return close_call(call, _error(400, message), "model_gone")
        order, faults = _read_order(model, body or {}, _format(request))
        if order is None:
            return close_call(call, _error(400, faults), "invalid")
        call.prompt = order.prompt
        await self._wire.follow(request, call, Step.SUBMIT, _refusal)
        call.billed_units = f"{COMPUTE_SECONDS}"
        call.billed_micros = order.bill(Usage(images=1, seconds=COMPUTE_SECONDS))
        await self._wire.follow(request, call, Step.ACCEPT, _refusal)
        headers = {"x-compute-time": f"{COMPUTE_SECONDS}", "x-request-id": str(uuid.uuid4())}
        media_type = f"image/{order.output_format}"
        answer = Response(await order.draw(0), media_type=media_type, headers=headers)
        return close_call(call, answer, "made")


def _format(request: Request) -> str:
    wanted = request.headers.get("accept", "").removeprefix("image/")
    return wanted if wanted in _FORMATS else "jpeg"


def _read_order(model: Model, body: dict[str, Any], form: str) -> tuple[Order | None, list[str]]:
    """Return what is asked for, or what is wrong with it."""
    prompt, parameters = body.get("inputs"), body.get("parameters") or {}
    width, height = parameters.get("width", 1024), parameters.get("height", 1024)
    steps, faults = parameters.get("num_inference_steps"), []
    if not isinstance(prompt, str) or not prompt:
        faults.append("Error in `inputs`: field required")
    try:
        pixels(f"{width}x{height}")
    except ValueError:
        faults.append("Error in `parameters.width`: invalid size")
    if steps is not None and (type(steps) is not int or steps < 1):
        faults.append("Error in `parameters.num_inference_steps`: must be a positive integer")
    if faults:
        return None, faults
    size, settings = f"{width}x{height}", Settings(steps=steps)
    return Order(model, str(prompt), size, model.default_quality, 1, form, settings=settings), []


def _refusal(rule: Rule) -> Response | None:
    """Return the answer with which the real API turns a request away, if the order is to do so."""
    if rule.scenario is Scenario.LOADING:
        seconds = _LOADING_SECONDS if rule.seconds is None else rule.seconds
        message = "The model is currently loading"
        return JSONResponse({"error": message, "estimated_time": seconds}, 503)
    found = _REFUSALS.get(rule.scenario)
    if found is None:
        return None
    status = rule.status if rule.scenario is Scenario.SERVER_ERROR else found[0]
    return _error(status, found[1], retry_after(rule))


def _error(
    status: int, error: str | list[str], headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
