"""Stability's side: POST /v2beta/stable-image/generate/{endpoint}, a form in parts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.pricing import Usage
from workers.emulator.forms import read_form
from workers.emulator.pictures import Order, find_model, size_of_ratio
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.emulator.wire import STABILITY_KEY, Wire, close_call, retry_after

PROVIDER = "stability"

_ENDPOINTS = {"core": "stable-image-core", "ultra": "stable-image-ultra", "sd3": ""}
_FORMATS = ("png", "jpeg", "webp")
_PROMPT_LENGTH_MAX = 10_000
_SEED_MAX = 2**32 - 2
# Status, name and what is said.
_REFUSALS = {
    Scenario.RATE_LIMITED: (429, "rate_limit_exceeded", "You have exceeded the rate limit."),
    Scenario.MODEL_GONE: (404, "not_found", "The model was not found."),
    Scenario.INSUFFICIENT_QUOTA: (402, "payment_required", "You lack sufficient credits."),
    Scenario.REFUSED: (403, "content_moderation", "Your request was flagged by our moderation."),
}


class StabilityWire:
    """Answers as Stability does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def generate(self, request: Request) -> Response:
        """Make an image, or do what the orders say."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        if request.headers.get("authorization") != f"Bearer {STABILITY_KEY}":
            refusal = _error(401, "unauthorized", "authorization: is invalid")
            return close_call(call, refusal, "unauthorized")
        form = await read_form(request)
        if form is None:
            refusal = _error(400, "bad_request", "content-type: must be multipart/form-data")
            return close_call(call, refusal, "invalid")
        call.prompt = form.get("prompt", "")
        order = _read_order(request.path_params["endpoint"], form)
        if isinstance(order, Response):
            return close_call(call, order, "invalid")
        call.model = order.model.name
        await self._wire.follow(request, call, Step.SUBMIT, _refusal)
        call.billed_units, call.billed_micros = "1", order.bill(Usage(images=1))
        # Content that is refused when it has been made is shown, but blurred.
        filtered = self._wire.rules.take(PROVIDER, Step.ACCEPT, call.prompt, {Scenario.REFUSED})
        await self._wire.follow(request, call, Step.ACCEPT, _refusal)
        outcome = "filtered" if filtered else "made"
        return close_call(call, await _image(order, form, filtered=bool(filtered)), outcome)


async def _image(order: Order, form: Mapping[str, str], *, filtered: bool) -> Response:
    headers = {
        "finish-reason": "CONTENT_FILTERED" if filtered else "SUCCESS",
        "seed": form.get("seed", "42"),
        "x-request-id": str(uuid.uuid4()),
    }
    media_type = f"image/{order.output_format}"
    return Response(await order.draw(0), media_type=media_type, headers=headers)


def _read_order(endpoint: str, form: Mapping[str, str]) -> Order | Response:
    """Return what is asked for, or the answer that says what is wrong with it."""
    name = _ENDPOINTS.get(endpoint)
    model = None if name is None else find_model(PROVIDER, name or form.get("model", "sd3.5-large"))
    if model is None:
        return _error(404, "not_found", "model: was not found")
    faults, has_image = [], "image" in form
    if not 1 <= len(form.get("prompt", "")) <= _PROMPT_LENGTH_MAX:
        faults.append("prompt: must be between 1 and 10000 characters")
    size = size_of_ratio(model, form.get("aspect_ratio", "1:1"))
    if not size:
        faults.append("aspect_ratio: is unknown")
    if form.get("output_format", "png") not in _FORMATS:
        faults.append("output_format: is unknown")
    if has_image != ("strength" in form):
        faults.append("strength: goes with image")
    if endpoint == "sd3" and has_image != (form.get("mode") == "image-to-image"):
        faults.append("mode: image-to-image goes with image")
    if endpoint == "core" and has_image:
        faults.append("image: is unknown")
    seed = form.get("seed", "0")
    if not seed.isdecimal() or int(seed) > _SEED_MAX:
        faults.append(f"seed: must be 0 to {_SEED_MAX}")
    if faults:
        return _error(400, "bad_request", *faults)
    output_format = form.get("output_format", "png")
    return Order(model, form["prompt"], size, model.default_quality, 1, output_format)


def _refusal(rule: Rule) -> Response | None:
    """Return the answer with which the real API turns a request away, if the order is to do so."""
    if rule.scenario in (Scenario.SERVER_ERROR, Scenario.UNAVAILABLE):
        # A gateway's, which does not say whether anything was made.
        status = 503 if rule.scenario is Scenario.UNAVAILABLE else rule.status
        return JSONResponse({"message": "Bad gateway"}, status, retry_after(rule))
    found = _REFUSALS.get(rule.scenario)
    if found is None:
        return None
    return _error(*found, headers=retry_after(rule))


def _error(
    status: int, name: str, *errors: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = {"id": uuid.uuid4().hex, "name": name, "errors": list(errors)}
    return JSONResponse(body, status, headers)
