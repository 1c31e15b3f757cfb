"""The hot state in Valkey or Redis: one typed method for each script.

A command whose reply is lost may have run. The client therefore never repeats one by itself, and
every failure is Unavailable: the caller repeats the operation with its idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import hiredis
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.ids import tenant_of
from authority.domain.leases import Lease
from authority.domain.operations import Move, Operation
from authority.domain.ports import (
    AdjustCommand,
    CommitCommand,
    Decision,
    ExtendCommand,
    HeldOn,
    HotReading,
    Keyed,
    RefundCommand,
    ReserveCommand,
    Verdict,
    WindowCounts,
)
from authority.domain.reservations import Reservation
from authority.hotstate.clock import HotClock
from authority.hotstate.commands import (
    Call,
    Item,
    adjust_item,
    commit_item,
    expire_item,
    extend_item,
    record_item,
    refund_item,
    release_item,
    reserve_item,
)
from authority.hotstate.keys import TenantKeys
from authority.hotstate.scripts import Script, ScriptSet, script_set
from authority.usecases.gatherer import Gatherer

_FAULT = "FAULT"
_REPLY_SECONDS = 1.5  # as for the ledger: shorter than a client's own deadline
# States of the store that the client has no error of its own for, as it has for a full one.
_STATES = ("BUSY ", "MISCONF ", "NOREPLICAS ")
# What a call may raise when the store is away: RuntimeError is uvloop's, where a connection closes
# while the client is still writing to it.
AWAY = (RedisError, OSError, RuntimeError)
# Without these a cluster client sends a script again, by a new connection, when its reply is lost.
CLUSTER_OPTIONS = {"cluster_error_retry_attempts": 0, "connection_error_retry_attempts": 0}
# The same in the answer of one item. A store that has become read-only refuses the whole call.
_REFUSALS = (*_STATES, "OOM ")
_EXPIRE_REQUEST = '{"kind":"EXPIRE"}'


def client_options() -> dict[str, Any]:
    """Return what every client of the hot store is made with: it sends a command at most once.

    Given to `Redis`, and to `Sentinel`. `RedisCluster` has a second set of retries of its own, and
    needs `CLUSTER_OPTIONS` too.
    """
    return {
        "decode_responses": True,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _REPLY_SECONDS,
        "socket_connect_timeout": _REPLY_SECONDS,
        "socket_keepalive": True,
    }


class ScriptConnection(Connection):
    """Packs calls of scripts in C: they have hundreds of arguments."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return what goes over the wire."""
        if args[0] == "EVALSHA":
            return [hiredis.pack_command(args)]
        return super().pack_command(*args)


def connect(url: str) -> Redis:
    """Return a client that sends every command at most once."""
    # A URL of another scheme, such as `rediss`, brings a class of its own.
    client = Redis.from_url(url, connection_class=ScriptConnection, **client_options())
    return cast("Redis", client)


class ScriptFault(Exception):
    """A script could not decide an item, such as one whose hot state is unreadable."""


class _Answer(NamedTuple):
    """What DECIDE answered for one item, and the epoch that it was given in."""

    epoch: int
    answer: list[Any]


class HotStore:
    """Implements `domain.ports.HotState`."""

    def __init__(self, redis: Redis, clock: HotClock) -> None:
        self.redis = redis
        self.clock = clock
        self._scripts: ScriptSet | None = None
        self._gatherer: Gatherer[Item, _Answer] = Gatherer(self._send)

    @property
    def epoch(self) -> int | None:
        """Return the epoch that this process decides in; None until scripts are loaded."""
        return self._scripts.epoch if self._scripts else None

    def forget_epoch(self) -> None:
        """Stop deciding until scripts are loaded for the present epoch."""
        self._scripts = None

    async def time_ms(self) -> int:
        """Return the store's own Unix time in milliseconds. Raises Unavailable."""
        try:
            seconds, microseconds = await self.redis.time()
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def run_id(self, connection: Redis) -> str:
        """Return the id of the server's run, which changes with every restart."""
        info = cast("Mapping[str, Any]", await connection.info("server"))
        return str(info["run_id"])

    async def load_scripts(self, connection: Redis, epoch: int) -> None:
        """Load the scripts of an epoch over the connection that the run id was read on.

        Over that very connection, so that the server that gets them is the one that was asked.
        """
        scripts = script_set(epoch)
        for text in scripts.texts.values():
            await connection.script_load(text)
        seconds, microseconds = await connection.time()
        self.clock.synchronise(seconds * 1000 + microseconds // 1000)
        self._scripts = scripts

    def keys(self, tenant: str) -> TenantKeys:
        """Return the keys of a tenant in the present epoch."""
        return TenantKeys(tenant, self.epoch or 0)

    async def call(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]
    ) -> list[Any]:
        """Run a script once. NOT_LOADED if this process has no scripts that the store knows."""
        scripts = self._scripts
        if scripts is None:
            return [Verdict.NOT_LOADED]
        try:
            evalsha = cast("Any", self.redis.evalsha)
            reply = await evalsha(scripts.hashes[script], len(keys), *keys, *arguments)
        except NoScriptError:
            # The store was restarted or the epoch has changed: nothing ran.
            if self._scripts is scripts:
                self._scripts = None
            return [Verdict.NOT_LOADED]
        except ResponseError as error:
            if type(error) is ResponseError and not str(error).startswith(_STATES):
                raise  # a fault in the script
            raise Unavailable(f"The hot store refuses commands: {error}") from error
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return cast("list[Any]", reply)

    async def _send(self, tenant: str, items: Sequence[Item]) -> list[_Answer]:
        """Let DECIDE run over items, in one call."""
        epoch = self.epoch or 0
        call = Call(TenantKeys(tenant, epoch), self.clock.offset_ms)
        for item in items:
            call.add(item)
        answers = await self.call(Script.DECIDE, call.keys(), call.arguments())
        if answers[0] == Verdict.NOT_LOADED:
            return [_Answer(epoch, answers)] * len(items)
        return [_Answer(epoch, answer) for answer in answers]

    async def _decide(self, tenant: str, item: Item) -> Decision:
        epoch, (verdict, *detail) = await self._gatherer.answer(tenant, item)
        if verdict == _FAULT:
            (problem,) = detail
            if problem.startswith(_REFUSALS):
                raise Unavailable(f"The hot store refuses commands: {problem}")
            raise ScriptFault(problem)
        verdict = Verdict(verdict)
        if verdict in {Verdict.DONE, Verdict.CHECKED, Verdict.REPLAYED}:
            result, more = detail
            operation = Operation.decode(item.request, result)
            if verdict is Verdict.REPLAYED:
                return Decision(verdict, operation, waits=more == "1")
            return Decision(verdict, operation, waits=verdict is Verdict.DONE, entry=more)
        return Decision(verdict, detail=tuple(detail), epoch=epoch)

    async def reserve(self, keyed: Keyed, command: ReserveCommand) -> Decision:
        """Hold the first option that fits, or deny."""
        return await self._decide(keyed.tenant, reserve_item(keyed, command))

    async def commit_reservation(self, keyed: Keyed, command: CommitCommand) -> Decision:
        """Settle a reservation with its actual cost."""
        return await self._decide(keyed.tenant, commit_item(keyed, command))

    async def release(self, keyed: Keyed, held: HeldOn) -> Decision:
        """Give an uncommitted reservation back."""
        return await self._decide(keyed.tenant, release_item(keyed, held))

    async def refund(self, keyed: Keyed, command: RefundCommand) -> Decision:
        """Give a charge back."""
        return await self._decide(keyed.tenant, refund_item(keyed, command))

    async def extend(self, keyed: Keyed, command: ExtendCommand) -> Decision:
        """Hold longer, and more."""
        return await self._decide(keyed.tenant, extend_item(keyed, command))

    async def adjust(self, keyed: Keyed, command: AdjustCommand) -> Decision:
        """Charge more or less than was committed."""
        return await self._decide(keyed.tenant, adjust_item(keyed, command))

    async def record(
        self, keyed: Keyed, fields: Mapping[str, object], moves: Sequence[Move] = ()
    ) -> Decision:
        """Claim the key for an operation whose effect is the ledger's alone."""
        return await self._decide(keyed.tenant, record_item(keyed, fields, moves))

    async def expire(self, held: HeldOn, operation_id: str) -> Decision:
        """Give a reservation back whose time has passed."""
        item = expire_item(held, operation_id, _EXPIRE_REQUEST)
        return await self._decide(tenant_of(held.reservation_id), item)

    async def set_aside(self, reservation_id: str) -> None:
        """Let no Reserve reclaim a reservation until the hot state is made anew."""
        expiries = self.keys(tenant_of(reservation_id)).expiries
        try:
            await self.redis.zrem(expiries, reservation_id)
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error

    async def read(
        self, tenant: str, reservation: str | None, refs: Sequence[WindowRef]
    ) -> HotReading | None:
        """Read a reservation and windows in one moment; None if the tenant is not loaded."""
        keys = self.keys(tenant)
        names = [
            keys.meta,
            keys.reservation(reservation) if reservation else keys.meta,
            *(keys.window(ref) for ref in refs),
        ]
        epoch = self.epoch or 0
        verdict, *detail = await self.call(Script.READ, names, [self.clock.offset_ms])
        if verdict != Verdict.DONE:
            return None
        now, sequence, (packed, *counts) = detail
        held = Reservation.unpack(packed) if packed else None
        return HotReading(epoch, int(now), int(sequence), held, [_counts(text) for text in counts])

    async def load(
        self,
        tenant: str,
        reservation: Reservation | None,
        counts: Mapping[WindowRef, WindowCounts],
        epoch: int,
        leases: Mapping[WindowRef, Lease] | None = None,
    ) -> None:
        """Bring in what the ledger has, if the epoch still is the one that it was missed in."""
        if self.epoch != epoch:
            return
        keys = self.keys(tenant)
        names = [
            keys.meta,
            keys.reservation(reservation.reservation_id) if reservation else keys.meta,
            *(keys.window(ref) for ref in counts),
            *(keys.lease(ref) for ref in leases or ()),
        ]
        packed = reservation.pack() if reservation else ""
        rows = [*counts.values(), *(leases or {}).values()]
        await self.call(Script.LOAD, names, [packed, *(" ".join(map(str, row)) for row in rows)])

    async def raise_policy_version(self, tenant: str, version: int) -> bool:
        """Make older policies of the tenant stale; False if the tenant is not loaded."""
        answer = await self.call(Script.POLICY, [self.keys(tenant).meta], [version])
        return bool(answer[0] == Verdict.DONE)


def _counts(text: str) -> WindowCounts | None:
    return WindowCounts(*map(int, text.split())) if text else None
