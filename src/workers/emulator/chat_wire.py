"""POST /chat/completions, as OpenAI, Groq and Novita answer it: at once or as a stream.

The order for a call at the step `stream` happens when a part of the words has been sent, that at
the step `usage` when all have been, and the usage has not. What was sent by then is billed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from generations.pricing import Usage
from workers.emulator.chat_answers import (
    DONE,
    ends,
    event,
    novita_error,
    openai_error,
    pieces,
    refusal,
    usage_piece,
    whole,
)
from workers.emulator.chat_request import ChatOrder, read_chat
from workers.emulator.journal import Call
from workers.emulator.openai_request import BadParameter
from workers.emulator.scenarios import Rule, Scenario, Step
from workers.emulator.wire import Answered, Wire, close_call, read_object, wait_for_caller

# So many pieces are sent before what is ordered at the step `stream`.
PIECES_BEFORE = 6

_BROKEN_PIECE = '{"id": "chatcmpl-'


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer: so many words are sent of it, then a fault happens, if there is one."""

    order: ChatOrder
    number: int
    usage: Usage
    sent: int
    is_filtered: bool
    fault: Rule | None


class ChatWire:
    """Answers as one of them does."""

    def __init__(self, wire: Wire, provider: str, key: str) -> None:
        self._wire = wire
        self._provider = provider
        self._key = key

    async def complete(self, request: Request) -> Response:
        """Answer a chat, or do what the orders say."""
        call = self._wire.open_call(request, self._provider, Step.SUBMIT)
        call.attempt = request.headers.get("x-client-request-id", "")
        try:
            response = await self._complete(request, call)
        except Answered as answered:
            response = answered.response
        response.headers["x-request-id"] = f"req_{call.number:032x}"
        return response

    async def _complete(self, request: Request, call: Call) -> Response:
        if request.headers.get("authorization") != f"Bearer {self._key}":
            return close_call(call, self._unauthorized(), "unauthorized")
        try:
            order = read_chat(self._provider, await read_object(request))
        except BadParameter as error:
            return close_call(call, self._bad_request(error), error.code)
        call.model, call.prompt = order.model.name, order.messages[-1]
        await self._wire.follow(request, call, Step.SUBMIT, self._refusal)
        if order.streamed:
            return await self._stream(request, call, order)
        usage = order.usage(sum(map(len, order.answers())))
        call.billed_micros = order.bill(usage)
        rule = self._wire.rules.take(self._provider, Step.STREAM, call.prompt)
        reason = "content_filter" if rule and rule.scenario is Scenario.REFUSED else None
        await self._wire.follow(request, call, Step.ACCEPT, self._refusal)
        return close_call(call, JSONResponse(whole(order, call.number, usage, reason)), "made")

    async def _stream(self, request: Request, call: Call, order: ChatOrder) -> Response:
        rules = self._wire.rules
        amid = rules.take(self._provider, Step.STREAM, call.prompt)
        after = rules.take(self._provider, Step.USAGE, call.prompt)
        sent = sum(map(len, order.answers()))
        if amid is not None:
            sent = min(sent, PIECES_BEFORE)
        usage = order.usage(sent)
        call.billed_micros = order.bill(usage)
        await self._wire.follow(request, call, Step.ACCEPT, self._refusal)
        is_filtered = amid is not None and amid.scenario is Scenario.REFUSED
        fault = after if amid is None or is_filtered else amid
        events = self._events(request, Stream(order, call.number, usage, sent, is_filtered, fault))
        outcome = next((rule.scenario.value for rule in (amid, after) if rule), "made")
        return close_call(call, StreamingResponse(events, media_type="text/event-stream"), outcome)

    async def _events(self, request: Request, stream: Stream) -> AsyncIterator[bytes]:
        order, number, fault = stream.order, stream.number, stream.fault
        said = 0
        for piece in pieces(order, number):
            said += bool(piece["choices"][0]["delta"]["content"])
            if said <= stream.sent:
                yield event(piece)
        if fault is None or fault.step is Step.USAGE:
            for piece in ends(order, number, "content_filter" if stream.is_filtered else None):
                yield event(piece)
        if fault is not None:
            async for data in self._fault(request, fault):
                yield data
            return
        if order.usage_wanted:
            yield event(usage_piece(order, number, stream.usage))
        yield event(DONE)

    async def _fault(self, request: Request, rule: Rule) -> AsyncIterator[bytes]:
        """Go wrong in the middle of a stream, or end it there."""
        if rule.scenario is Scenario.GARBAGE:
            yield event(_BROKEN_PIECE)
        elif rule.scenario is Scenario.SERVER_ERROR:
            yield event(openai_error(None, "server_error", "The server had an error."))
        elif rule.scenario is Scenario.HANG:
            await wait_for_caller(request)
        elif rule.scenario is Scenario.DROP:
            self._wire.cut(request)

    def _refusal(self, rule: Rule) -> Response | None:
        return refusal(self._provider, rule)

    def _unauthorized(self) -> Response:
        if self._provider == "novita":
            return novita_error(401, "INVALID_API_KEY", "The API key is invalid.")
        message = "Incorrect API key provided."
        said = openai_error("invalid_api_key", "invalid_request_error", message)
        return JSONResponse(said, 401)

    def _bad_request(self, error: BadParameter) -> Response:
        if self._provider == "novita":
            gone = error.code in ("model_not_found", "model_decommissioned")
            reason = "MODEL_NOT_FOUND" if gone else "INVALID_REQUEST_BODY"
            return novita_error(404 if gone else 400, reason, str(error))
        said = openai_error(error.code, "invalid_request_error", str(error), error.parameter)
        return JSONResponse(said, error.status)
