"""The hot state in Valkey or Redis: one typed method for each script.

A command whose reply is lost may have run. The client therefore never repeats one by itself, and
every failure is Unavailable: the caller repeats the operation with its idempotency key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.ids import tenant_of
from authority.domain.money import Leg
from authority.domain.operations import Operation
from authority.domain.ports import (
    CommitCommand,
    Decision,
    HotReading,
    Keyed,
    ReserveCommand,
    Verdict,
    WindowCounts,
)
from authority.domain.reservations import Reservation
from authority.hotstate.clock import HotClock
from authority.hotstate.keys import TenantKeys
from authority.hotstate.scripts import Script, ScriptSet, script_set

_REPLY_SECONDS = 1.5  # as for the ledger: shorter than a client's own deadline
# States of the store that the client has no error of its own for, as it has for a full one.
_STATES = ("BUSY ", "MISCONF ", "NOREPLICAS ")
_EXPIRE_REQUEST = '{"kind":"EXPIRE"}'


def connect(url: str) -> Redis:
    """Return a client that sends every command at most once."""
    return cast(
        "Redis",
        Redis.from_url(
            url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_REPLY_SECONDS,
            socket_connect_timeout=_REPLY_SECONDS,
            socket_keepalive=True,
        ),
    )


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
        except (RedisError, OSError) as error:
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
        except (RedisError, OSError) as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return cast("list[Any]", reply)

    async def _decide(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], request: str
    ) -> Decision:
        verdict, *detail = await self.call(script, keys, arguments)
        verdict = Verdict(verdict)
        if verdict in {Verdict.DONE, Verdict.REPLAYED}:
            result, entry = detail
            return Decision(verdict, Operation.decode(request, result), entry)
        return Decision(verdict, detail=tuple(detail))

    def _keyed(
        self, keyed: Keyed, reservation_id: str, refs: Sequence[WindowRef]
    ) -> tuple[list[str], list[str | int]]:
        """Return the keys and the first arguments that all operations with a key share."""
        keys = self.keys(keyed.tenant)
        names = [
            keys.meta,
            keys.answer(keyed.key),
            keys.reservation(reservation_id),
            keys.expiries,
            keys.outbox,
            *(keys.window(ref) for ref in refs),
        ]
        checked = "1" if keyed.checked else "0"
        return names, [self.clock.offset_ms, checked, keyed.operation_id, keyed.request]

    async def reserve(self, keyed: Keyed, command: ReserveCommand) -> Decision:
        """Hold the first option that fits, or deny."""
        refs = [window.ref for window in command.windows]
        keys, arguments = self._keyed(keyed, command.reservation_id, refs)
        arguments += [
            command.policy_version,
            command.account,
            command.reservation_id,
            command.ttl_ms,
            json.dumps(command.labels, ensure_ascii=False, separators=(",", ":")),
            command.refusal or "",
            "1" if command.may_reclaim else "0",
            len(command.windows),
        ]
        for (budget, span), ref in zip(command.windows, refs, strict=True):
            arguments += [
                str(ref),
                budget.unit,
                budget.limit,
                budget.enforcement,
                span.start_ms,
                span.end_ms,
            ]
        arguments.append(len(command.options))
        for option, metered in zip(command.options, command.metered, strict=True):
            arguments += ["1" if metered else "0", *_legs(option.legs)]
        return await self._decide(Script.RESERVE, keys, arguments, keyed.request)

    async def commit_reservation(self, keyed: Keyed, command: CommitCommand) -> Decision:
        """Settle a reservation with its actual cost."""
        keys, arguments = self._keyed(keyed, command.reservation_id, command.windows)
        arguments += [command.policy_version, command.overage, keyed.key, len(command.limits)]
        arguments += ["" if limit is None else limit for limit in command.limits]
        arguments += _legs(command.actual)
        return await self._decide(Script.COMMIT, keys, arguments, keyed.request)

    async def release(self, keyed: Keyed, reservation: str, refs: Sequence[WindowRef]) -> Decision:
        """Give an uncommitted reservation back."""
        keys, arguments = self._keyed(keyed, reservation, refs)
        return await self._decide(Script.RELEASE, keys, arguments, keyed.request)

    async def refund(
        self, keyed: Keyed, reservation: str, refs: Sequence[WindowRef], legs: Sequence[Leg]
    ) -> Decision:
        """Give a charge back."""
        keys, arguments = self._keyed(keyed, reservation, refs)
        arguments += _legs(legs)
        return await self._decide(Script.REFUND, keys, arguments, keyed.request)

    async def expire(
        self, reservation: str, refs: Sequence[WindowRef], operation_id: str
    ) -> Decision:
        """Give a reservation back whose time has passed."""
        keys = self.keys(tenant_of(reservation))
        names = [
            keys.meta,
            keys.reservation(reservation),
            keys.expiries,
            keys.outbox,
            *(keys.window(ref) for ref in refs),
        ]
        arguments: list[str | int] = [self.clock.offset_ms, operation_id, _EXPIRE_REQUEST]
        return await self._decide(Script.EXPIRE, names, arguments, _EXPIRE_REQUEST)

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
        verdict, *detail = await self.call(Script.READ, names, [self.clock.offset_ms])
        if verdict != Verdict.DONE:
            return None
        now, sequence, flat, counts = detail
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        held = Reservation.decode(fields, json.loads(fields["labels"])) if fields else None
        rows = zip(counts[::3], counts[1::3], counts[2::3], strict=True)
        return HotReading(int(now), int(sequence), held, [_counts(row) for row in rows])

    async def load(
        self,
        tenant: str,
        reservation: Reservation | None,
        counts: Mapping[WindowRef, WindowCounts],
    ) -> bool:
        """Bring in what the ledger has; False if the tenant is not loaded."""
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
        return bool((await self.call(Script.LOAD, names, arguments))[0] == Verdict.DONE)

    async def raise_policy_version(self, tenant: str, version: int) -> bool:
        """Make older policies of the tenant stale; False if the tenant is not loaded."""
        answer = await self.call(Script.POLICY, [self.keys(tenant).meta], [version])
        return bool(answer[0] == Verdict.DONE)


def _legs(legs: Sequence[Leg]) -> list[str | int]:
    flat: list[str | int] = [len(legs)]
    for unit, amount in legs:
        flat += [unit, amount]
    return flat


def _counts(row: tuple[str, str, str]) -> WindowCounts | None:
    return WindowCounts(*map(int, row)) if row[0] else None


def _reservation_fields(reservation: Reservation) -> dict[str, str]:
    return {
        "id": reservation.reservation_id,
        "account": reservation.account,
        "state": reservation.state,
        "legs": reservation.legs_text,
        "windows": reservation.windows_text,
        "option": str(reservation.option_index),
        "late": "1" if reservation.late else "0",
        "labels": json.dumps(reservation.labels, ensure_ascii=False, separators=(",", ":")),
        "created": str(reservation.create_ms),
        "expires": str(reservation.expire_ms),
        "settled": str(reservation.settle_ms),
        "commit_key": reservation.commit_key,
    }
