"""`paymaster serve`, `worker` and `migrate`: the parts of a stack one by one, as in production."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import click
import psycopg
import uvloop
from pydantic import ValidationError

from authority.bootstrap import running_authority
from authority.config import AuthoritySettings
from authority.config import describe as describe_authority
from authority.core import StartError as AuthorityStartError
from authority.ledger.migrate import MigrationError
from authority.ledger.migrate import migrate as apply_migrations
from authority.rpc.server import PortInUse
from authority.telemetry import configure_logging as configure_authority_logging
from paymaster.cli.base import command
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.output import Column, Output, Table, note, one_line
from paymaster.stack.stack import NOT_OURS
from paymaster.stack.state import StackState, default_data_directory, read_state
from paymaster.stack.stores import DATABASE_VARIABLE, REDIS_VARIABLE, external_urls, shown
from workers.config import WorkerSettings
from workers.config import describe as describe_worker
from workers.main import StartError as WorkerStartError
from workers.main import open_worker
from workers.providers.settings import ProviderSettings
from workers.telemetry import configure_logging as configure_worker_logging

_STORES_HELP = """\b
Uses the stores that DATABASE_URL and REDIS_URL name. Without them, or with --data-dir, it joins
the stack that `paymaster dev` runs on this machine."""


@command(name="serve", loop_factory=uvloop.new_event_loop, epilog=_STORES_HELP)
@click.option("--host", help="The address to listen on; AUTHORITY_HOST, else 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0 takes a free one; AUTHORITY_PORT, else 7460."
)
async def serve(
    *, output: Output, data_dir: Path | None, host: str | None, port: int | None
) -> None:
    """Run an authority in the foreground."""
    _join_stack(data_dir)
    _set("AUTHORITY_HOST", host)
    _set("AUTHORITY_PORT", port)
    try:
        settings = AuthoritySettings()
    except ValidationError as error:
        raise CommandFailed(describe_authority(error), ExitCode.USAGE) from None
    configure_authority_logging(settings.log_format)
    stop = asyncio.Event()
    _on_signals(lambda _: stop.set())
    try:
        async with running_authority(settings) as authority:
            address = f"{settings.host}:{authority.port}"
            output.show({"address": address}, Table([Column("address")], [[address]]))
            await stop.wait()
    except (AuthorityStartError, PortInUse) as error:
        raise CommandFailed(str(error)) from None


@command(name="worker", loop_factory=uvloop.new_event_loop, epilog=_STORES_HELP)
async def worker(*, output: Output, data_dir: Path | None) -> None:
    """Run a worker in the foreground."""
    if state := _join_stack(data_dir):
        _set("PAYMASTER_TOKEN", state.worker_token)
    try:
        settings, provider_settings = WorkerSettings(), ProviderSettings()
    except ValidationError as error:
        raise CommandFailed(describe_worker(error), ExitCode.USAGE) from None
    configure_worker_logging(settings.log_format)
    columns = [Column("pid"), Column("slots"), Column("providers")]
    try:
        async with open_worker(settings, provider_settings) as process:
            # Once lets running work end, twice stops at once.
            _on_signals(process.stop)
            providers, slots = list(process.providers), dict(settings.slots)
            shown_slots = one_line([f"{kind} {count}" for kind, count in slots.items()])
            output.show(
                {"pid": os.getpid(), "slots": slots, "providers": providers},
                Table(columns, [[str(os.getpid()), shown_slots, one_line(providers)]]),
            )
            await process.run()
    except WorkerStartError as error:
        raise CommandFailed(str(error)) from None


@command(name="migrate", epilog=_STORES_HELP)
async def migrate(*, output: Output, data_dir: Path | None) -> None:
    """Bring the database's schema up to date."""
    _join_stack(data_dir)
    url = external_urls()[DATABASE_VARIABLE]
    try:
        applied = await apply_migrations(url, note)
    except (MigrationError, psycopg.Error, TimeoutError) as error:
        raise CommandFailed(f"Postgres at {shown(url)} can't be migrated: {error}") from None
    rows = [[name] for name in applied]
    output.show({"applied": applied}, Table([Column("applied")], rows))


def _join_stack(data_dir: Path | None) -> StackState | None:
    """Take the places of a running stack's parts where the environment names no stores.

    Return the stack, or None if none is joined. What the environment says of tokens and of TLS is
    for another authority, and is left out.
    Raises CommandFailed if there is no such stack, and BadState.
    """
    if data_dir is None and os.environ.get(DATABASE_VARIABLE):
        return None
    directory = (data_dir or default_data_directory()).expanduser().resolve()
    state = read_state(directory)
    if state is None:
        raise CommandFailed(
            f"{DATABASE_VARIABLE} is not set, and no stack is running in {directory}.\nSet"
            f" {DATABASE_VARIABLE} and {REDIS_VARIABLE}, or start a stack with `paymaster dev`.",
            ExitCode.USAGE,
        )
    _set(DATABASE_VARIABLE, state.database_url)
    _set(REDIS_VARIABLE, state.redis_url)
    _set("PAYMASTER_ADDRESS", state.address)
    _set("PAYMASTER_ARTIFACTS", state.artifacts)
    for variable in NOT_OURS:
        _set(variable, "")
    return state


def _set(variable: str, value: str | int | None) -> None:
    """Set a setting where it is read from."""
    if value is not None:
        os.environ[variable] = str(value)


def _on_signals(action: Callable[[signal.Signals], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, action, number)
