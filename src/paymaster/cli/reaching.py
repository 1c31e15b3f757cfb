"""What can be told, from this machine alone, of an authority that may not answer."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from clients.health_types import HealthCheck, HealthStatus
from paymaster.stack.errors import BadState
from paymaster.stack.state import StackState, default_data_directory, read_state

_SECONDS = 2.0
_FREE_PERCENT_DEGRADED, _FREE_PERCENT_UNHEALTHY = 10, 3
_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}
_STORES = {"DATABASE_URL": "database_url", "REDIS_URL": "redis_url"}


async def check_address(address: str) -> HealthCheck:
    """Look whether anything listens at an address."""
    host, _, port = address.rpartition(":")
    problem = await _connection_problem(host.strip("[]"), int(port) if port.isdigit() else 0)
    if problem:
        return HealthCheck(
            "address",
            address,
            HealthStatus.UNHEALTHY,
            problem,
            "Start the authority there (`paymaster serve`, or `paymaster dev` on this machine), or"
            " correct PAYMASTER_ADDRESS.",
        )
    return HealthCheck(
        "address",
        address,
        HealthStatus.DEGRADED,
        "something listens, and does not speak as an authority does",
        "If the authority has TLS, set PAYMASTER_TLS_CA, and else unset it; a proxy in between has"
        " to pass HTTP/2 on.",
    )


def check_processes(data_dir: Path | None) -> list[HealthCheck]:
    """Look which processes of a stack on this machine have died; nothing where there is none."""
    state = _state(data_dir)
    if state is None:
        return []
    checks = []
    for name, pid in (
        ("stack", state.pid),
        ("authority", state.authority_pid),
        ("worker", state.worker_pid),
    ):
        if not _is_alive(pid):
            checks.append(
                HealthCheck(
                    "process",
                    name,
                    HealthStatus.UNHEALTHY,
                    f"{pid} does not run",
                    "Start the stack again: `paymaster dev`. Nothing acknowledged is lost.",
                )
            )
    return checks


async def check_directory(data_dir: Path | None) -> list[HealthCheck]:
    """Look at the data directory of a stack on this machine; nothing where there is none."""
    if _state(data_dir) is None:
        return []
    directory = _directory(data_dir)
    usage = await asyncio.to_thread(shutil.disk_usage, directory)
    free = usage.free * 100 / usage.total
    status = (
        HealthStatus.UNHEALTHY
        if free <= _FREE_PERCENT_UNHEALTHY
        else HealthStatus.DEGRADED
        if free <= _FREE_PERCENT_DEGRADED
        else HealthStatus.HEALTHY
    )
    advice = "" if status is HealthStatus.HEALTHY else f"Make room on the disk of {directory}."
    value = f"{free:.0f} % of {usage.total / 1e9:.0f} GB free in {directory}"
    return [HealthCheck("data_directory", "", status, value, advice)]


def keeps_artifacts_with_data(data_dir: Path | None) -> bool:
    """Say whether a stack's artifacts are on the disk of its data directory.

    That one is looked at by its authority then.
    """
    state = _state(data_dir)
    if state is None:
        return False
    try:
        return _directory(data_dir).stat().st_dev == Path(state.artifacts).stat().st_dev
    except OSError:
        return False  # a bucket, or a folder that is gone


async def check_store_urls(data_dir: Path | None) -> list[HealthCheck]:
    """Look whether anything listens where the stores should be."""
    state = _state(data_dir)
    checks = []
    for variable, field in _STORES.items():
        url = getattr(state, field) if state else os.environ.get(variable, "")
        if url:
            checks.append(await _check_store(variable, url))
    return checks


async def _check_store(variable: str, url: str) -> HealthCheck:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        host, port = "", 0
    problem = await _connection_problem(host, port) if host and port else "is no URL of a store"
    # The URL itself may hold a password.
    place = f"{host}:{port}" if host else "-"
    return HealthCheck(
        "store_address",
        variable,
        HealthStatus.UNHEALTHY if problem else HealthStatus.HEALTHY,
        f"{place} {problem}" if problem else f"{place} accepts connections",
        f"Start the server, or correct {variable}." if problem else "",
    )


async def _connection_problem(host: str, port: int) -> str:
    """Return why nobody can connect there; '' if one can."""
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"does not answer within {_SECONDS:.0f} seconds"
    except OSError as error:
        # What asyncio makes of a refusal names the address, and not the refusal.
        return (os.strerror(error.errno) if error.errno else str(error)).lower()
    writer.close()
    return ""


def _state(data_dir: Path | None) -> StackState | None:
    """Return what is known of the stack on this machine that the commands use, if it is one."""
    if data_dir is None and os.environ.get("PAYMASTER_ADDRESS"):
        return None
    try:
        return read_state(_directory(data_dir))
    except BadState:
        return None


def _directory(data_dir: Path | None) -> Path:
    return (data_dir or default_data_directory()).expanduser().resolve()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    return True
