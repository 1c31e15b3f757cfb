"""Health of the process and its machine: its loops, the disk, and how old the price list is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

from authority.domain.health import HealthCheck, HealthStatus, checked, grade
from generations.catalogue import Catalogue

_FREE_PERCENT_DEGRADED = 10
_FREE_PERCENT_UNHEALTHY = 3
_CATALOGUE_DAYS = 90


async def loops(tasks: Iterable[asyncio.Task[None]]) -> Sequence[HealthCheck]:
    """Look whether all that runs beside the calls still runs."""
    ended = sorted(task.get_name() for task in tasks if task.done())
    return [
        checked(
            "loops",
            HealthStatus.UNHEALTHY if ended else HealthStatus.HEALTHY,
            f"ended: {', '.join(ended)}" if ended else "all run",
            "This authority does its calls and not all of the rest: start it again, and see its "
            "log for why.",
        )
    ]


async def disk(folder: Path | None) -> Sequence[HealthCheck]:
    """Look how much room is left where artifacts are stored; None where that is a bucket."""
    if folder is None:
        return [HealthCheck("disk", HealthStatus.HEALTHY, "artifacts are in a bucket")]
    try:
        usage = await asyncio.to_thread(shutil.disk_usage, folder)
    except OSError as error:
        return [
            HealthCheck(
                "disk",
                HealthStatus.UNHEALTHY,
                f"{folder}: {error.strerror}",
                "PAYMASTER_ARTIFACTS must be a folder that this process may enter.",
            )
        ]
    used_percent = 100 - usage.free * 100 / usage.total
    return [
        checked(
            "disk",
            grade(used_percent, 100 - _FREE_PERCENT_DEGRADED, 100 - _FREE_PERCENT_UNHEALTHY),
            f"{100 - used_percent:.0f} % of {usage.total / 1e9:.0f} GB free in {folder}",
            "Make room there, or set WORKERS_RETENTION_DAYS.",
        )
    ]


async def catalogue(prices: Catalogue, today: Callable[[], date]) -> Sequence[HealthCheck]:
    """Look how old what is known of prices is."""
    if prices.as_of is None:
        return [HealthCheck("catalogue", HealthStatus.HEALTHY, "says no date")]
    age = (today() - prices.as_of).days
    return [
        checked(
            "catalogue",
            grade(age, _CATALOGUE_DAYS),
            f"as of {prices.as_of}",
            "Prices may have changed since: compare them with the providers', and put what has "
            "changed in a file of your own (PAYMASTER_CATALOGUE).",
        )
    ]
