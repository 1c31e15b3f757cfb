"""What OpenAI, Groq and Novita say: pieces of a streamed answer, whole ones, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse

from generations.pricing import Usage
from workers.emulator.chat_request import ChatOrder
from workers.emulator.scenarios import Rule, Scenario
from workers.emulator.wire import retry_after

CREATED = 1_763_700_000
DONE = "[DONE]"

# Status, code, type and message of what OpenAI and Groq say.
_REFUSALS: dict[Scenario, tuple[int, str | None, str, str]] = {
    Scenario.RATE_LIMITED: (429, "rate_limit_exceeded", "tokens", "Rate limit reached."),
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
        "content_policy_violation",
        "invalid_request_error",
        "Your request was rejected as a result of our safety system.",
    ),
    Scenario.TOO_LARGE: (
        413,
        "rate_limit_exceeded",
        "tokens",
        "Request too large for the model on tokens per minute.",
    ),
    Scenario.NO_CAPACITY: (498, "capacity_exceeded", "server_error", "Flex capacity exceeded."),
}
_GROQ_GONE = (
    400,
    "model_decommissioned",
    "invalid_request_error",
    "The model has been decommissioned and is no longer supported.",
)
# Status, reason and message of what Novita says.
_NOVITA_REFUSALS = {
    Scenario.RATE_LIMITED: (429, "RATE_LIMIT_EXCEEDED", "You have exceeded the rate limit."),
    Scenario.UNAVAILABLE: (500, "MODEL_NOT_AVAILABLE", "The model is not available now."),
    Scenario.SERVER_ERROR: (500, "INTERNAL_SERVER_ERROR", "The server had an error."),
    Scenario.MODEL_GONE: (404, "MODEL_NOT_FOUND", "The requested model is not found."),
    Scenario.INSUFFICIENT_QUOTA: (403, "NOT_ENOUGH_BALANCE", "Your credit is not enough."),
    Scenario.TOO_LARGE: (413, "REQUEST_TOO_LARGE", "The request is too large."),
}


def refusal(provider: str, rule: Rule) -> JSONResponse | None:
    """Return the answer with which a provider turns a request away, if the order is to do so."""
    scenario, headers = rule.scenario, retry_after(rule)
    if provider == "novita" and scenario in _NOVITA_REFUSALS:
        status, reason, message = _NOVITA_REFUSALS[scenario]
        if scenario is Scenario.SERVER_ERROR:
            status = rule.status
        return novita_error(status, reason, message, headers)
    found = _REFUSALS.get(scenario)
    if provider == "groq" and scenario is Scenario.MODEL_GONE:
        found = _GROQ_GONE
    if found is None:
        return None
    status, code, kind, message = found
    if scenario is Scenario.SERVER_ERROR:
        status = rule.status
    return JSONResponse(openai_error(code, kind, message), status, headers)


def openai_error(
    code: str | None, kind: str, message: str, parameter: str | None = None
) -> dict[str, Any]:
    """Return an error as OpenAI and Groq say it."""
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def novita_error(
    status: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error as Novita says it."""
    said = {"code": status, "reason": reason, "message": message, "metadata": {}}
    return JSONResponse(said, status, headers)


def pieces(order: ChatOrder, number: int) -> Iterator[dict[str, Any]]:
    """Yield a streamed answer's pieces up to the last word, each answer's words in turn."""
    for index, words in enumerate(order.answers()):
        opening = {"role": "assistant", "content": ""}
        yield _piece(order, number, _choice(index, opening))
        for word in words:
            yield _piece(order, number, _choice(index, {"content": word}))


def ends(order: ChatOrder, number: int, reason: str | None) -> Iterator[dict[str, Any]]:
    """Yield a streamed answer's last pieces but the usage; without a reason, how each ended."""
    for index, words in enumerate(order.answers()):
        own = "length" if order.limit == len(words) else "stop"
        yield _piece(order, number, _choice(index, {}) | {"finish_reason": reason or own})


def usage_piece(order: ChatOrder, number: int, usage: Usage) -> dict[str, Any]:
    """Return the piece that tells the usage of a streamed answer."""
    piece = _piece(order, number) | {"usage": _usage(order, usage)}
    if order.provider == "groq":
        piece["x_groq"] = {"id": f"req_{number:026d}", "usage": piece["usage"]}
    return piece


def whole(order: ChatOrder, number: int, usage: Usage, reason: str | None) -> dict[str, Any]:
    """Return an answer that is not streamed."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": "".join(words), "refusal": None},
            "finish_reason": reason or ("length" if order.limit == len(words) else "stop"),
            "logprobs": None,
        }
        for index, words in enumerate(order.answers())
    ]
    return _piece(order, number) | {
        "object": "chat.completion",
        "choices": choices,
        "usage": _usage(order, usage),
    }


def event(piece: dict[str, Any] | str) -> bytes:
    """Return a piece as it is sent."""
    data = piece if isinstance(piece, str) else json.dumps(piece, separators=(",", ":"))
    return f"data: {data}\n\n".encode()


def _piece(order: ChatOrder, number: int, *choices: dict[str, Any]) -> dict[str, Any]:
    piece: dict[str, Any] = {
        "id": f"chatcmpl-{number:024d}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": order.model.name,
        "choices": list(choices),
    }
    if order.provider == "openai" and order.usage_wanted:
        piece["usage"] = None
    return piece


def _choice(index: int, delta: dict[str, str]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _usage(order: ChatOrder, usage: Usage) -> dict[str, Any]:
    text, output = usage.text_input_tokens or 0, usage.text_output_tokens or 0
    told = {"prompt_tokens": text, "completion_tokens": output, "total_tokens": text + output}
    if order.provider == "groq":
        return told | {"queue_time": 0.05, "prompt_time": 0.01, "total_time": 0.5}
    return told | {
        "prompt_tokens_details": {"cached_tokens": usage.cached_text_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
