"""OpenAI's vectors of texts: POST /embeddings. Texts that share words are near."""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generations.catalogue import Catalogue, UnknownModel
from generations.models import Embedding
from generations.pricing import price_embedding
from workers.emulator.chat_answers import openai_error, refusal
from workers.emulator.journal import Call
from workers.emulator.openai_request import PROVIDER, BadParameter
from workers.emulator.scenarios import Rule, Step
from workers.emulator.wire import OPENAI_KEY, Answered, Wire, close_call, read_object

_PARAMETERS = {"input", "model", "dimensions", "encoding_format", "user"}
_TEXTS_MAX = 2_048
_TOKENS_MAX = 8_192
_BYTES_PER_TOKEN = 4
# Numbers by which a word points somewhere.
_POINTS_PER_WORD = 16


class _Order(NamedTuple):
    model: Embedding
    texts: list[str]
    dimensions: int


class EmbeddingWire:
    """Answers as OpenAI does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def embed(self, request: Request) -> Response:
        """Make vectors, or do what the orders say."""
        call = self._wire.open_call(request, PROVIDER, Step.SUBMIT)
        try:
            response = await self._embed(request, call)
        except Answered as answered:
            response = answered.response
        response.headers["x-request-id"] = f"req_{call.number:032x}"
        return response

    async def _embed(self, request: Request, call: Call) -> Response:
        if request.headers.get("authorization") != f"Bearer {OPENAI_KEY}":
            said = openai_error(
                "invalid_api_key", "invalid_request_error", "Incorrect API key provided."
            )
            return close_call(call, JSONResponse(said, 401), "unauthorized")
        try:
            order = _read(await read_object(request))
        except BadParameter as error:
            said = openai_error(error.code, "invalid_request_error", str(error), error.parameter)
            return close_call(call, JSONResponse(said, error.status), error.code)
        call.model, call.prompt = order.model.name, "\n".join(order.texts)
        await self._wire.follow(request, call, Step.SUBMIT, _refusal)
        tokens = sum(map(_tokens, order.texts))
        call.billed_micros = price_embedding(order.model, order.texts, tokens)
        await self._wire.follow(request, call, Step.ACCEPT, _refusal)
        answer = {
            "object": "list",
            "model": order.model.name,
            "data": [
                {"object": "embedding", "index": index, "embedding": _vector(text, order)}
                for index, text in enumerate(order.texts)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return close_call(call, JSONResponse(answer), "made")


def _refusal(rule: Rule) -> Response | None:
    return refusal(PROVIDER, rule)


def _read(body: dict[str, Any] | None) -> _Order:
    """Return what is asked for. Raises BadParameter."""
    if body is None:
        raise BadParameter("body", "invalid_json", "We could not parse the JSON body.")
    for name in body:
        if name not in _PARAMETERS:
            raise BadParameter(name, "unknown_parameter", f"Unknown parameter: '{name}'.")
    try:
        model = Catalogue.load().embedding(str(body.get("model")))
    except UnknownModel as error:
        raise BadParameter("model", "model_not_found", str(error), 404) from None
    texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
    if not isinstance(texts, list) or not 1 <= len(texts) <= _TEXTS_MAX:
        raise BadParameter("input", "invalid_type", f"Give 1 to {_TEXTS_MAX} texts.")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadParameter("input", "invalid_value", "'input' can't be an empty string.")
    if any(_tokens(text) > _TOKENS_MAX for text in texts):
        message = f"This model's maximum context length is {_TOKENS_MAX} tokens."
        raise BadParameter("input", "context_length_exceeded", message)
    dimensions = body.get("dimensions", model.dimensions_max)
    if type(dimensions) is not int or not 1 <= dimensions <= model.dimensions_max:
        raise BadParameter("dimensions", "invalid_value", "Invalid value for 'dimensions'.")
    if body.get("encoding_format", "float") != "float":
        raise BadParameter("encoding_format", "invalid_value", "It gives floats alone here.")
    return _Order(model, texts, dimensions)


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def _vector(text: str, order: _Order) -> list[float]:
    """Return the sum of where each word points, of length 1."""
    numbers = [0.0] * order.dimensions
    for word in text.lower().split() or [text]:
        digest = hashlib.sha256(word.encode()).digest()
        for at in range(0, 2 * _POINTS_PER_WORD, 2):
            numbers[(digest[at] << 8 | digest[at + 1]) % order.dimensions] += 1.0
    length = math.hypot(*numbers)
    return [number / length for number in numbers]
