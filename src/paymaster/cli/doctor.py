"""`paymaster doctor`: how everything is, and what to do about what is not as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clients.errors import (
    DeadlineExceeded,
    NotAllowed,
    NotSignedIn,
    PaymasterError,
    Unavailable,
)
from clients.health_types import Health, HealthCheck, HealthStatus
from paymaster.cli.base import command
from paymaster.cli.books import AUDIT_SECONDS_MAX
from paymaster.cli.connection import Endpoint, connect, find_endpoint
from paymaster.cli.documents import document_of
from paymaster.cli.exits import CommandFailed
from paymaster.cli.output import Column, Output, Table, count_of, note, wide
from paymaster.cli.reaching import (
    check_address,
    check_directory,
    check_processes,
    check_store_urls,
    keeps_artifacts_with_data,
)
from paymaster.stack.errors import BadState

_COLUMNS = (
    Column("status"),
    Column("check"),
    Column("subject"),
    wide("value"),
    wide("advice"),
)
_CODES = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNHEALTHY: 2}


@command(
    name="doctor",
    epilog="Exit codes: 0 healthy, 1 degraded, 2 unhealthy or not to be reached.",
)
@click.option("--audit", "with_audit", is_flag=True, help="Audit all books before.")
async def doctor(*, output: Output, data_dir: Path | None, with_audit: bool) -> None:
    """Look at everything, and say what to do about what is wrong.

    The running authority looks at itself, its stores, queues and workers. Where it can't be
    reached, what can be looked at from here is.
    """
    found = await _look(data_dir, with_audit=with_audit)
    status = _worst(found)
    document = {
        "status": status,
        "checks": document_of(found.checks),
        "read_time": document_of(found.read_time),
        "version": found.version or None,
    }
    output.show(document, _table(found.checks))
    if not output.as_json:
        note(f"{status.capitalize()}: {_summary(found.checks)}")
    raise click.exceptions.Exit(_CODES[status])


async def _look(data_dir: Path | None, *, with_audit: bool) -> Health:
    """Return what the authority says of everything, and what this machine says of the way there."""
    try:
        endpoint = find_endpoint(data_dir)
    except (CommandFailed, BadState) as error:
        checks = [_wrong("configuration", str(error).partition("\n")[0], _rest(str(error)))]
        return _local([*checks, *await check_store_urls(data_dir)])
    local = [*check_processes(data_dir), *await check_directory(data_dir)]
    try:
        async with connect(endpoint.address, endpoint.token, endpoint.tls) as connection:
            if with_audit:
                await connection.admin.audit(timeout=AUDIT_SECONDS_MAX)
            health = await connection.health.get_health()
    except ValueError as error:
        return _local([_wrong("configuration", f"{endpoint.source}: {error}", _ADDRESS_ADVICE)])
    except NotSignedIn as error:
        return _local([_wrong("sign_in", error.message, _SIGN_IN_ADVICE), *local])
    except NotAllowed as error:
        return _local([_wrong("sign_in", error.message, _SCOPE_ADVICE), *local])
    except (Unavailable, DeadlineExceeded) as error:
        return _local(await _unreached(endpoint, error, data_dir))
    reached = HealthCheck("authority", "", HealthStatus.HEALTHY, f"at {endpoint.address}", "")
    if keeps_artifacts_with_data(data_dir) and any(row.check == "disk" for row in health.checks):
        local = [row for row in local if row.check != "data_directory"]  # it is the same disk
    return Health(
        health.status, (reached, *local, *health.checks), health.read_time, health.version
    )


async def _unreached(
    endpoint: Endpoint, error: PaymasterError, data_dir: Path | None
) -> list[HealthCheck]:
    """Return what can be told from here of an authority that does not answer."""
    return [
        _wrong(
            "authority",
            f"{endpoint.address} does not answer: {error.message}",
            f"It was found by {endpoint.source}. The next checks say where the way there ends.",
        ),
        await check_address(endpoint.address),
        *check_processes(data_dir),
        *await check_directory(data_dir),
        *await check_store_urls(data_dir),
    ]


_ADDRESS_ADVICE = "Set PAYMASTER_ADDRESS to host:port of an authority."
_SIGN_IN_ADVICE = (
    "Set PAYMASTER_TOKEN_FILE or PAYMASTER_TOKEN to an API key of the authority's, or use"
    " --data-dir of a stack on this machine."
)
_SCOPE_ADVICE = "Use a key of the platform with the scope read: the health of all is of no tenant."


def _wrong(check: str, value: str, advice: str) -> HealthCheck:
    return HealthCheck(check, "", HealthStatus.UNHEALTHY, value, advice)


def _rest(text: str) -> str:
    return " ".join(text.partition("\n")[2].split())


def _local(checks: Sequence[HealthCheck]) -> Health:
    return Health(HealthStatus.UNHEALTHY, tuple(checks), None, "")


def _worst(found: Health) -> HealthStatus:
    """Return the worst status of the authority's and of what was looked at here."""
    statuses = [found.status, *(check.status for check in found.checks)]
    known = [status if status in _CODES else HealthStatus.DEGRADED for status in statuses]
    return max(known, key=_CODES.__getitem__)


def _summary(checks: Sequence[HealthCheck]) -> str:
    wrong = sum(check.status is not HealthStatus.HEALTHY for check in checks)
    if wrong:
        return f"{wrong} of {count_of(len(checks), 'check')} found something; see the advice above."
    return f"all {count_of(len(checks), 'check')} are as they should be."


def _table(checks: Sequence[HealthCheck]) -> Table:
    """Return the checks as a table, the worst first."""
    rows = sorted(checks, key=lambda check: -_CODES.get(check.status, 1))
    return Table(
        _COLUMNS,
        [
            [row.status.lower(), row.check, row.subject or "-", row.value, row.advice or "-"]
            for row in rows
        ],
    )
