"""Health of the stores: whether they answer, agree on the epoch, and on the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from authority.domain.errors import Unavailable
from authority.domain.health import HealthCheck, HealthStatus, checked, grade, span
from authority.hotstate.store import AWAY, HotStore
from authority.ledger.health import HealthReader

_SLOW_SECONDS = 0.1
_FULL_PERCENT = 90
_SKEW_DEGRADED_SECONDS = 1.0
_SKEW_UNHEALTHY_SECONDS = 30.0


async def hot_store(hot: HotStore) -> Sequence[HealthCheck]:
    """Look at Valkey or Redis: does it answer, has it room, and does it keep what it is given?"""
    began = time.perf_counter()
    await hot.time_ms()
    took = time.perf_counter() - began
    try:
        memory = cast("dict[str, Any]", await hot.redis.info("memory"))
    except AWAY as error:
        raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
    used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    value = f"{span(took)}, {_megabytes(used)}{f' of {_megabytes(most)}' if most else ''}"
    if most and policy != "noeviction":
        return [
            HealthCheck(
                "hot_store",
                HealthStatus.DEGRADED,
                f"{value}, {policy}",
                "It may evict what is not in the ledger yet: set maxmemory-policy to noeviction.",
            )
        ]
    if most and used * 100 >= most * _FULL_PERCENT:
        return [
            HealthCheck(
                "hot_store",
                HealthStatus.DEGRADED,
                value,
                "It is nearly full, and refuses every operation when it is: raise maxmemory.",
            )
        ]
    status = grade(took, _SLOW_SECONDS)
    return [checked("hot_store", status, value, "It is slow: look at its load and the network.")]


async def ledger(reader: HealthReader) -> Sequence[HealthCheck]:
    """Look at Postgres: does it answer, may it be written, and is its schema of this version?"""
    began = time.perf_counter()
    state = await reader.server()
    took = time.perf_counter() - began
    value = f"{span(took)}, Postgres {state.version}"
    if state.is_read_only:
        return [
            HealthCheck(
                "ledger",
                HealthStatus.UNHEALTHY,
                f"{value}, read-only",
                "DATABASE_URL names a standby, or one that was demoted: name the primary.",
            )
        ]
    if state.missing_migrations:
        return [
            HealthCheck(
                "ledger",
                HealthStatus.UNHEALTHY,
                f"{value}, lacks {', '.join(state.missing_migrations)}",
                "Run `paymaster migrate`.",
            )
        ]
    status = grade(took, _SLOW_SECONDS)
    return [checked("ledger", status, value, "It is slow: look at its load and the network.")]


async def epoch(hot: HotStore, reader: HealthReader) -> Sequence[HealthCheck]:
    """Look whether this process decides in the epoch that the ledger has."""
    there, here = await reader.epoch(), hot.epoch
    return [
        checked(
            "epoch",
            HealthStatus.HEALTHY if there == here else HealthStatus.DEGRADED,
            f"{here or 'none'}, and {there} in the ledger",
            "The hot store was replaced just now; if it lasts for more than seconds, two hot "
            "stores are in use: see that all authorities have the same REDIS_URL.",
        )
    ]


async def clocks(
    hot: HotStore, reader: HealthReader, wall_ms: Callable[[], float]
) -> Sequence[HealthCheck]:
    """Compare the clocks of the hot store, of Postgres and of this process."""
    began = wall_ms()
    hot_ms = await hot.time_ms()
    between = wall_ms()
    ledger_ms = await reader.time_ms()
    ended = wall_ms()
    ahead = {
        "process": 0.0,
        "hot store": (hot_ms - (began + between) / 2) / 1000,
        "Postgres": (ledger_ms - (between + ended) / 2) / 1000,
    }
    # No answer can tell the time better than within its own trip.
    trip = max(between - began, ended - between) / 2000
    skew = max(0.0, max(ahead.values()) - min(ahead.values()) - trip)
    told = ", ".join(f"{name} {seconds:+.2f} s" for name, seconds in ahead.items())
    return [
        checked(
            "clocks",
            grade(skew, _SKEW_DEGRADED_SECONDS, _SKEW_UNHEALTHY_SECONDS),
            f"{span(skew)} apart" if skew else "agree",
            f"They must agree ({told}): run NTP on all machines. The hot store's decides.",
        )
    ]


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"
