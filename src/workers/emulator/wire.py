"""What the wires share: the orders, the journal, and faults of the connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from workers.emulator.journal import Call, Journal
from workers.emulator.scenarios import Rule, Rules, Scenario, Step

OPENAI_PATH = "/openai/v1"
FAL_PATH = "/fal"
GROQ_PATH = "/groq/openai/v1"
NOVITA_PATH = "/novita"
FILES_PATH = "/fal-files"
HUGGINGFACE_PATH = "/huggingface"
NOVITA_FILES_PATH = "/novita-files"
STABILITY_PATH = "/stability"
OPENAI_KEY = "sk-emulated"
GROQ_KEY = "gsk_emulated"
NOVITA_KEY = "sk_emulated"
FAL_KEY = "emulated:emulated"
HUGGINGFACE_KEY = "hf_emulated"
STABILITY_KEY = "sk-emulated"

_GARBAGE = "<html><body>It works!</body></html>"
# The status of the answer to a caller who has left, which goes nowhere.
_CLIENT_CLOSED_REQUEST = 499


class Answered(Exception):
    """The call has its answer already; there is nothing more to do for it."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Wire:
    """The emulator's state; `cut` cuts the connection that a call came by."""

    def __init__(self, cut: Callable[[Scope], None]) -> None:
        self.rules = Rules()
        self.journal = Journal()
        self._cut = cut
        self._start = asyncio.get_running_loop().time()

    def cut(self, request: Request) -> None:
        """Cut the connection that a call came by."""
        self._cut(request.scope)

    def open_call(self, request: Request, provider: str, step: Step) -> Call:
        """Note a call in the journal."""
        call = Call(
            number=self.journal.next_number(),
            seconds=round(asyncio.get_running_loop().time() - self._start, 6),
            provider=provider,
            step=step,
            method=request.method,
            path=request.url.path,
            signed="authorization" in request.headers,
        )
        self.journal.add(call)
        return call

    async def follow(
        self,
        request: Request,
        call: Call,
        step: Step,
        refuse: Callable[[Rule], Response | None],
        scenarios: Collection[Scenario] | None = None,
    ) -> None:
        """Do what the orders say about a call. Raises Answered unless it is to go on.

        `refuse` gives the provider's own answers to the scenarios that have one. With `scenarios`,
        orders of other ones are left alone.
        """
        rule = self.rules.take(call.provider, step, call.prompt, scenarios)
        if rule is None:
            return
        if rule.scenario is Scenario.LATENCY:
            await asyncio.sleep(rule.seconds or 0)
            return
        response = refuse(rule)
        if rule.scenario is Scenario.GARBAGE:
            response = HTMLResponse(_GARBAGE)
        if response is not None:
            raise Answered(close_call(call, response, rule.scenario))
        call.outcome = rule.scenario
        if rule.scenario is Scenario.DROP:
            self.cut(request)
        await wait_for_caller(request)
        raise Answered(Response(status_code=_CLIENT_CLOSED_REQUEST))


async def wait_for_caller(request: Request) -> None:
    """Wait until the caller has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def close_call(call: Call, response: Response, outcome: str) -> Response:
    """Note a call's outcome, and return its answer."""
    call.outcome, call.status = outcome, response.status_code
    return response


def retry_after(rule: Rule) -> dict[str, str]:
    """Return the header that says when to come back, if the order gives it."""
    return {} if rule.seconds is None else {"retry-after": f"{rule.seconds:g}"}


async def read_object(request: Request) -> dict[str, Any] | None:
    """Return the JSON object that was sent; None if it is none."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
