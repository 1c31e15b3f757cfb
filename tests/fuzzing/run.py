"""Sends generated requests, many at once, and judges every answer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from alarming import insert_given_up
from authorities import TOKEN, Stubs
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2, resources_pb2
from calls import METHODS, send
from fuzzing.names import Names
from fuzzing.valid import Valid
from fuzzing.wrong import garbage, spoil
from generating import insert_hits

KINDS = {"valid": 5, "near-valid": 4, "garbage": 1}
# How often a method is called; 1 if it is not here. What reads everything is called less, and so
# is what ends the few things there are of a kind.
_WEIGHTS = {
    **dict.fromkeys(("Reserve", "Commit", "Apply"), 4.0),
    **dict.fromkeys(("Release", "Refund", "Extend", "BatchReserve"), 2.0),
    **dict.fromkeys(("CreateAlertRule", "UpdateAlertRule"), 2.0),
    "DeleteAlertRule": 0.3,
    **dict.fromkeys(("Audit", "Rebuild"), 0.04),
}
_FAULTS = {"INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "DATA_LOSS", "ABORTED", "CANCELLED"}
_REASONS = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118 - not a dict
# grpc.aio says this, and not the status that it was sent, of a session that the server ended while
# the client was writing (grpc/grpc#36066). A fault of the server's is in its log all the same.
_LOST = "Internal error from Core"
# In the authority's log, the marks of what went wrong inside.
_LOGGED = ('"level": "error"', "Traceback", "never retrieved")
_CALL_SECONDS = 120.0  # The authority gives up after 30; what hangs ends the run.
_WATCH_SECONDS = 0.2
_TENANT_EVERY = 500
_SHOWN_BYTES = 2_000


@dataclass
class Tally:
    """What was sent and what came of it."""

    by_kind: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    # By method, kind and code.
    by_method: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # Codes of the items of batches and sessions that were refused.
    by_item_code: Counter[str] = field(default_factory=Counter)
    # What must not be, with the first call of each kind, and how often it was.
    problems: dict[str, str] = field(default_factory=dict)
    problem_counts: Counter[str] = field(default_factory=Counter)

    def problem(self, what: str, example: str) -> None:
        """Note what must not be."""
        self.problems.setdefault(what, example)
        self.problem_counts[what] += 1

    def count(self, code: str) -> int:
        """Return how many calls or items of calls had a code."""
        return self.by_code[code] + self.by_item_code[code]

    def never_done(self) -> list[str]:
        """Return the methods of which no valid request succeeded: their fuzzing proves little."""
        names = (method.name for method in METHODS.values())
        return [name for name in names if not self.by_method[name, "valid", "OK"]]


@dataclass(frozen=True)
class _Sent:
    method: MethodDescriptor
    kind: str
    frames: list[bytes]
    token: str

    def __str__(self) -> str:
        body = [frame.hex()[:_SHOWN_BYTES] for frame in self.frames]
        return f"{self.method.name} ({self.kind}) {body}"


class Fuzz:
    """One run. The same seed makes the same requests for as long as the answers are the same."""

    def __init__(self, stubs: Stubs, seed: int) -> None:
        self.tally = Tally()
        self.names = Names(random.Random(f"names {seed}"))
        self._choice = random.Random(seed)
        self._stubs = stubs
        self._valid = Valid(self._choice, self.names)
        self._methods = list(METHODS.values())
        self._weights = [_WEIGHTS.get(method.name, 1.0) for method in self._methods]

    async def send(self, count: int, *, at_once: int) -> Tally:
        """Send requests, each method and kind at least once if `count` allows."""
        left = iter(range(count))
        every = [(method, kind) for method in self._methods for kind in KINDS]
        self._choice.shuffle(every)
        await self._make_tenant(0)

        async def caller() -> None:
            for number in left:
                if number and number % _TENANT_EVERY == 0:
                    await self._make_tenant(number)
                method, kind = every.pop() if every else self._pick()
                await self._one(self._make(method, kind, self._token() if not every else TOKEN))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(caller())
        return self.tally

    async def _make_tenant(self, number: int) -> None:
        """Make accounts with something to spend, so that valid requests can succeed."""
        tenant = f"fuzz-{self.names.new_uuid()[:8]}-{number}"
        accounts = [tenant, f"{tenant}/alice", f"{tenant}/bob"]
        stubs, key = self._stubs, self.names.new_uuid()
        for account in accounts:
            await _made(lambda account=account: stubs.account(account))
            await _made(lambda account=account: stubs.set_budget(account, 10**12))
        await _made(
            lambda: send(stubs, admin.CreatePlanRequest(plan=resources_pb2.Plan(plan=tenant)))
        )
        self.names.add("plan", tenant)
        for unit in ("CREDITS", "IMAGES"):
            await _made(lambda unit=unit: stubs.set_budget(tenant, 10**12, unit=unit))
        await _made(lambda: stubs.grant(tenant, "CREDITS", 10**12, key=key))
        # Known only now: before, requests would make the same budgets.
        for account in accounts:
            self.names.add_spender(account)
            self.names.add("account", account)

    def _pick(self) -> tuple[MethodDescriptor, str]:
        (method,) = self._choice.choices(self._methods, self._weights)
        (kind,) = self._choice.choices(list(KINDS), list(KINDS.values()))
        return method, kind

    def _token(self) -> str:
        """Return the root's token, or another: a tenant's, one that was revoked, or none."""
        if self._choice.random() < 0.9:
            return TOKEN
        known = self.names.token() if self._choice.random() < 0.6 else None
        return known or self._choice.choice(["", "x", "pm_a_b"])

    def _make(self, method: MethodDescriptor, kind: str, token: str) -> _Sent:
        # Only the last frame may end a session: see _LOST.
        valid = self._choice.randint(0, 2) if method.client_streaming and token == TOKEN else 0
        frames = [self._frame(method, "valid") for _ in range(valid)]
        if method.name == "ImportBill" and self._choice.random() < 0.9:
            frames = [self._valid.bill_header().SerializeToString(), *frames]
        return _Sent(method, kind, [*frames, self._frame(method, kind)], token)

    def _frame(self, method: MethodDescriptor, kind: str) -> bytes:
        request = self._valid.request(method.input_type)
        match kind:
            case "valid":
                return bytes(request.SerializeToString())
            case "near-valid":
                return spoil(self._choice, request)
            case _:
                return garbage(self._choice, request.SerializeToString())

    async def _one(self, sent: _Sent) -> None:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                answers = await _ask(self._stubs.channel, sent)
            for answer in answers:
                if sent.kind == "valid":
                    self.names.learn(_read(sent), answer)
                self._judge_items(sent, answer)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            if error.details() == _LOST:
                code = "LOST"
            else:
                self._judge(sent, code, rpc_status.from_call(error), error.details() or "")
        self.tally.by_kind[sent.kind] += 1
        self.tally.by_code[code] += 1
        self.tally.by_method[sent.method.name, sent.kind, code] += 1

    def _judge_items(self, sent: _Sent, answer: Message) -> None:
        for status in _statuses(answer):
            code = code_pb2.Code.Name(status.code)
            self.tally.by_item_code[code] += 1
            self._judge(sent, code, status, status.message)

    def _judge(self, sent: _Sent, code: str, status: status_pb2.Status | None, text: str) -> None:
        """Note what is wrong with a refusal."""
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for packed in status.details if status else ():
            _ = packed.Unpack(info) or packed.Unpack(bad)
        fields = [violation.field for violation in bad.field_violations]
        wrong = ""
        if code in _FAULTS:
            wrong = "is a fault"
        elif info.domain != "paymaster" or info.reason not in _REASONS:
            wrong = "has no ErrorInfo of ours"
        elif (info.reason == "INVALID_FIELD") != bool(fields) or not all(fields):
            wrong = "names no field, or should not"
        if wrong:
            what = f"{sent.method.name}: {code} {info.reason} {wrong}"
            self.tally.problem(what, f"{text[:300]!r}; {sent}")


def logged_faults(log: str) -> list[str]:
    """Return the lines of an authority's log that tell of a fault."""
    return [line for line in log.splitlines() if any(mark in line for mark in _LOGGED)]


def _read(sent: _Sent) -> Any:
    """Return the request that was sent."""
    return GetMessageClass(sent.method.input_type).FromString(sent.frames[-1])


async def _made(make: Callable[[], Awaitable[Any]]) -> None:
    """Make something, again while a Rebuild is in the way."""
    while True:
        try:
            await make()
        except grpc.aio.AioRpcError as error:
            if error.code().name == "UNAVAILABLE":
                continue
            if error.code().name != "ALREADY_EXISTS":
                raise
        return


async def _ask(channel: grpc.aio.Channel, sent: _Sent) -> list[Any]:
    """Send one request; return the messages of the answer, of a watch those that come at once."""
    method = sent.method
    path = f"/{method.containing_service.full_name}/{method.name}"
    read = GetMessageClass(method.output_type).FromString
    metadata = (("authorization", f"Bearer {sent.token}"),)
    (body, *_) = sent.frames
    if method.client_streaming:
        session = channel.stream_stream(path, None, read)(iter(sent.frames), metadata=metadata)
        return [message async for message in session]
    if method.server_streaming:
        answers: list[Any] = []
        stream = channel.unary_stream(path, None, read)(body, metadata=metadata)
        try:
            async with asyncio.timeout(_WATCH_SECONDS if "Watch" in method.name else None):
                async for message in stream:
                    answers.append(message)  # noqa: PERF401 - kept when time is over
        except TimeoutError:
            stream.cancel()
        return answers
    return [await channel.unary_unary(path, None, read)(body, metadata=metadata)]


def _statuses(message: Any) -> Iterator[status_pb2.Status]:
    """Yield the statuses of items in an answer."""
    for part, value in message.ListFields():
        if part.type != FieldDescriptor.TYPE_MESSAGE or part.message_type.GetOptions().map_entry:
            continue
        for item in value if part.is_repeated else [value]:
            if part.message_type is status_pb2.Status.DESCRIPTOR:
                yield item
            else:
                yield from _statuses(item)


async def add_hits(names: Names, ledger_url: str) -> None:
    """Plant what the cache has served, which an authority without workers has none of."""
    entry_id, served = await insert_hits(ledger_url, 50)
    names.add("entry_id", entry_id)
    for generation_id in served:
        names.add("generation_id", generation_id)


async def add_given_up(names: Names, ledger_url: str) -> None:
    """Plant deliveries that were given up: with nobody to tell, an authority has none."""
    for delivery_id in await insert_given_up(ledger_url, 40):
        names.add("delivery_id", delivery_id)
