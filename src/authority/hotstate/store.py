"""The hot state in Valkey or Redis: one typed method for each script.

A command whose reply is lost may have run. The client therefore never repeats one by itself, and
every failure is Unavailable: the caller repeats the operation with its idempotency key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.ids import tenant_of
from authority.domain.operations import Operation
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
    adjust_command,
    commit_command,
    compact,
    extend_command,
    further_lots,
    refund_command,
    reserve_command,
)
from authority.hotstate.keys import TenantKeys
from authority.hotstate.scripts import Script, ScriptSet, script_set

_REPLY_SECONDS = 1.5  # as for the ledger: shorter than a client's own deadline
# States of the store that the client has no error of its own for, as it has for a full one.
_STATES = ("BUSY ", "MISCONF ", "NOREPLICAS ")
# What a call may raise when the store is away: RuntimeError is uvloop's, where a connection closes
# while the client is still writing to it.
AWAY = (RedisError, OSError, RuntimeError)
# Without these a cluster client sends a script again, by a new connection, when its reply is lost.
CLUSTER_OPTIONS = {"cluster_error_retry_attempts": 0, "connection_error_retry_attempts": 0}
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


def connect(url: str) -> Redis:
    """Return a client that sends every command at most once."""
    return cast("Redis", Redis.from_url(url, **client_options()))


class HotStore:
    """Implements `domain.ports.HotState`."""

    def __init__(self, redis: Redis, clock: HotClock) -> None:
        self.redis = redis
        self.clock = clock
        self._scripts: ScriptSet | None = None

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
            reply = await cast(
                "Any",
                self.redis.evalsha(scripts.hashes[script], len(keys), *keys, *map(str, arguments)),
            )
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

    async def _decide(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], request: str
    ) -> Decision:
        epoch = self.epoch or 0
        verdict, *detail = await self.call(script, keys, arguments)
        verdict = Verdict(verdict)
        if verdict in {Verdict.DONE, Verdict.CHECKED, Verdict.REPLAYED}:
            result, entry = detail
            return Decision(verdict, Operation.decode(request, result), entry)
        return Decision(verdict, detail=tuple(detail), epoch=epoch)

    async def _decide_keyed(
        self, script: Script, keyed: Keyed, keys: Sequence[str], *command: str
    ) -> Decision:
        checked = "1" if keyed.checked else "0"
        arguments: list[str | int] = [
            self.clock.offset_ms,
            checked,
            keyed.operation_id,
            keyed.request,
            *command,
        ]
        return await self._decide(script, keys, arguments, keyed.request)

    def _keys_of(
        self, keyed: Keyed, reservation_id: str, refs: Iterable[WindowRef], *more: str
    ) -> list[str]:
        keys = self.keys(keyed.tenant)
        return [
            keys.meta,
            keys.answer(keyed.key),
            keys.reservation(reservation_id),
            keys.expiries,
            keys.outbox,
            *(keys.window(ref) for ref in refs),
            *more,
        ]

    def _held_keys(self, keyed: Keyed, held: HeldOn, more: Iterable[WindowRef] = ()) -> list[str]:
        return self._keys_of(keyed, held.reservation_id, (*held.windows, *held.lots, *more))

    async def reserve(self, keyed: Keyed, command: ReserveCommand) -> Decision:
        """Hold the first option that fits, or deny."""
        rates = map(self.keys(keyed.tenant).rate, command.terms.rates)
        keys = self._keys_of(keyed, command.reservation_id, command.terms.refs, *rates)
        return await self._decide_keyed(Script.RESERVE, keyed, keys, reserve_command(command))

    async def commit_reservation(self, keyed: Keyed, command: CommitCommand) -> Decision:
        """Settle a reservation with its actual cost."""
        keys = self._held_keys(keyed, command.held, further_lots(command.money, command.held))
        text = commit_command(command, keyed.key)
        return await self._decide_keyed(Script.COMMIT, keyed, keys, text)

    async def release(self, keyed: Keyed, held: HeldOn) -> Decision:
        """Give an uncommitted reservation back."""
        return await self._decide_keyed(Script.RELEASE, keyed, self._held_keys(keyed, held))

    async def refund(self, keyed: Keyed, command: RefundCommand) -> Decision:
        """Give a charge back."""
        keys = self._held_keys(keyed, command.held)
        return await self._decide_keyed(Script.REFUND, keyed, keys, refund_command(command))

    async def extend(self, keyed: Keyed, command: ExtendCommand) -> Decision:
        """Hold longer, and more."""
        keys = self._held_keys(keyed, command.held, further_lots(command.money, command.held))
        return await self._decide_keyed(Script.EXTEND, keyed, keys, extend_command(command))

    async def adjust(self, keyed: Keyed, command: AdjustCommand) -> Decision:
        """Charge more or less than was committed."""
        keys = self.keys(keyed.tenant)
        refs = [window.ref for window in command.windows] + [lot.ref for lot in command.money.lots]
        names = [keys.meta, keys.answer(keyed.key), keys.outbox, *map(keys.window, refs)]
        return await self._decide_keyed(Script.ADJUST, keyed, names, adjust_command(command))

    async def record(self, keyed: Keyed, fields: Mapping[str, object]) -> Decision:
        """Claim the key for an operation whose effect is the ledger's alone."""
        keys = self.keys(keyed.tenant)
        names = [keys.meta, keys.answer(keyed.key), keys.outbox]
        return await self._decide_keyed(Script.RECORD, keyed, names, compact(fields))

    async def expire(self, held: HeldOn, operation_id: str) -> Decision:
        """Give a reservation back whose time has passed."""
        keys = self.keys(tenant_of(held.reservation_id))
        names = [
            keys.meta,
            keys.reservation(held.reservation_id),
            keys.expiries,
            keys.outbox,
            *(keys.window(ref) for ref in (*held.windows, *held.lots)),
        ]
        arguments: list[str | int] = [self.clock.offset_ms, operation_id, _EXPIRE_REQUEST]
        return await self._decide(Script.EXPIRE, names, arguments, _EXPIRE_REQUEST)

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
        now, sequence, flat, counts = detail
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        held = Reservation.decode(fields, json.loads(fields["labels"])) if fields else None
        rows = zip(counts[::3], counts[1::3], counts[2::3], strict=True)
        return HotReading(epoch, int(now), int(sequence), held, [_counts(row) for row in rows])

    async def load(
        self,
        tenant: str,
        reservation: Reservation | None,
        counts: Mapping[WindowRef, WindowCounts],
        epoch: int,
    ) -> None:
        """Bring in what the ledger has, if the epoch still is the one that it was missed in."""
        if self.epoch != epoch:
            return
        keys = self.keys(tenant)
        names = [
            keys.meta,
            keys.reservation(reservation.reservation_id) if reservation else keys.meta,
            *(keys.window(ref) for ref in counts),
        ]
        fields = _reservation_fields(reservation) if reservation else {}
        arguments: list[str | int] = [len(fields)]
        for field, value in fields.items():
            arguments += [field, value]
        for row in counts.values():
            arguments += row
        await self.call(Script.LOAD, names, arguments)

    async def raise_policy_version(self, tenant: str, version: int) -> bool:
        """Make older policies of the tenant stale; False if the tenant is not loaded."""
        answer = await self.call(Script.POLICY, [self.keys(tenant).meta], [version])
        return bool(answer[0] == Verdict.DONE)


def _counts(row: tuple[str, str, str]) -> WindowCounts | None:
    return WindowCounts(*map(int, row)) if row[0] else None


def _reservation_fields(reservation: Reservation) -> dict[str, str]:
    return {
        "id": reservation.reservation_id,
        "account": reservation.account,
        "state": reservation.state,
        "legs": reservation.legs_text,
        "windows": reservation.windows_text,
        "grants": reservation.grants_text,
        "option": str(reservation.option_index),
        "late": "1" if reservation.late else "0",
        "labels": compact(reservation.labels),
        "created": str(reservation.create_ms),
        "expires": str(reservation.expire_ms),
        "settled": str(reservation.settle_ms),
        "commit_key": reservation.commit_key,
        "receipt": reservation.receipt,
    }
