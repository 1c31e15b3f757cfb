"""`paymaster status`, `audit` and `rebuild`: is everything up, and do the books balance?"""

from __future__ import annotations

from pathlib import Path

import click

from clients.types import AuditReport, Status
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.output import Column, Output, Table, count_of, note, one_line, right, wide

AUDIT_SECONDS_MAX = 600.0
_REBUILD_COLUMNS = (right("tenant_count"), right("epoch"))
_STATUS_COLUMNS = (Column("part"), Column("state"), wide("detail"))
_AUDIT_COLUMNS = (
    Column("tenant"),
    Column("place"),
    wide("subject"),
    Column("field"),
    Column("expected"),
    Column("found"),
)


@command(name="status")
async def status(*, output: Output, data_dir: Path | None) -> None:
    """Show how the authority, its stores and the workers are.

    Exit code 69 if one of the stores is away.
    """
    async with connected(data_dir) as connection:
        found = await connection.admin.get_status()
    output.show(document_of(found), _status_table(found))
    away = [name for name, ok in _stores(found).items() if not ok]
    if away:
        raise CommandFailed(
            f"The authority can't reach its {' and '.join(away)}.", ExitCode.UNREACHABLE
        )


@command(name="audit")
@click.option("--tenant", default="", metavar="ID", help="Only this tenant; all if not given.")
async def audit(*, output: Output, data_dir: Path | None, tenant: str) -> None:
    """Check that ledger and hot state agree; exit 1 if not.

    Recomputes every window and reservation from the ledger's entries, beside running traffic, and
    compares them with the materialised rows and the hot state.
    """
    async with connected(data_dir) as connection:
        report = await connection.admin.audit(tenant=tenant, timeout=AUDIT_SECONDS_MAX)
    rows = [
        [item.tenant, item.place, item.subject, item.field, item.expected, item.found]
        for item in report.differences
    ]
    # Where all is well, a person needs no empty table.
    tables = [] if output.for_people and report.balanced else [Table(_AUDIT_COLUMNS, rows)]
    output.show(document_of(report) | {"balanced": report.balanced}, *tables)
    if not report.balanced:
        raise CommandFailed(f"The books do not balance: {audit_summary(report)}")
    if not output.as_json:
        note(f"The books balance: {audit_summary(report)}")


@command(name="rebuild")
@click.argument("tenant", default="")
async def rebuild(*, output: Output, data_dir: Path | None, tenant: str) -> None:
    """Make hot state anew from the ledger, beside traffic.

    That of TENANT, or of all, before the command ends; that of others when they are next used.
    """
    async with connected(data_dir) as connection:
        report = await connection.admin.rebuild(tenant=tenant)
    row = [str(report.tenant_count), str(report.epoch)]
    output.show(document_of(report), Table(_REBUILD_COLUMNS, [row]))


def audit_summary(report: AuditReport) -> str:
    """Return what an audit found and compared, in one line."""
    compared = ", ".join(
        [
            count_of(report.operation_count, "operation"),
            count_of(report.window_count, "window"),
            count_of(report.reservation_count, "reservation"),
            count_of(report.tenant_count, "tenant"),
        ]
    )
    return f"{count_of(len(report.differences), 'difference')} in {compared}."


def _stores(status: Status) -> dict[str, bool]:
    return {"hot store": status.hot_store_ok, "ledger": status.ledger_ok}


def _status_table(status: Status) -> Table:
    rows = [["authority", "ok", f"version {status.version}, epoch {status.epoch}"]]
    rows += [[name, "ok" if ok else "AWAY", ""] for name, ok in _stores(status).items()]
    rows.append(["queue", "ok", f"{status.queued_count} queued, {status.running_count} running"])
    rows += [
        [
            f"worker {worker.worker}",
            "ok",
            f"{worker.running_count} of {worker.slot_count} busy: {one_line(worker.providers)}",
        ]
        for worker in status.workers
    ]
    if not status.workers:
        rows.append(["worker", "NONE", "generations wait; `paymaster worker` starts one"])
    return Table(_STATUS_COLUMNS, rows)
