"""`paymaster dev`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from clients import AdminClient
from paymaster.cli.base import command
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Output, Table, note, wide
from paymaster.cli.plan_defaults import make_default_plans
from paymaster.cli.signals import run_until_stopped
from paymaster.clock import now
from paymaster.stack.samples import SAMPLES, Sample, create_samples
from paymaster.stack.stack import Stack
from paymaster.stack.state import default_data_directory
from paymaster.stack.stores import external_urls, shown

_SANDBOX = "sandbox"
_COLUMNS = (Column("part"), Column("place"), wide("detail"))


@command(name="dev")
@click.option("--ephemeral", is_flag=True, help="Start empty, and remove all data at the end.")
async def dev(*, output: Output, data_dir: Path | None, ephemeral: bool) -> None:
    """Start the whole stack on this machine; Ctrl-C stops it.

    Postgres and Valkey come from their wheels, unless DATABASE_URL or REDIS_URL name others. The
    sandbox works without any key; a provider's key, such as OPENAI_API_KEY, switches the real one
    on, which costs real money. The other commands find the stack by themselves.
    """
    stack = Stack(
        data_dir or default_data_directory(),
        clock=now,
        announce=note,
        urls=external_urls(),
        ephemeral=ephemeral,
    )

    async def work() -> None:
        async with stack:
            async with AdminClient(stack.state.address, token=stack.state.token) as admin:
                await create_samples(admin)
                await make_default_plans(admin)
            output.show(_document(stack), Table(_COLUMNS, _rows(stack)))
            if output.for_people:
                where = f" --data-dir {data_dir}" if data_dir else ""
                account = SAMPLES[0].account
                note(f'Try: paymaster generate "a red fox" --account {account}{where}')
            await stack.watch()

    if output.for_people:
        note("Starting ...")
    if await run_until_stopped(stack, work()):
        note("Stopped.")


def _document(stack: Stack) -> dict[str, object]:
    state = stack.state
    return {
        "address": state.address,
        "token_file": str(stack.token_file),
        "pid": state.pid,
        "authority_pid": state.authority_pid,
        "worker_pid": state.worker_pid,
        "postgres": shown(state.database_url),
        "valkey": shown(state.redis_url),
        "data_directory": str(stack.directory),
        "ephemeral": state.ephemeral,
        "artifacts": state.artifacts,
        "providers": list(stack.providers),
        "accounts": [sample.account for sample in SAMPLES],
    }


def _rows(stack: Stack) -> list[list[str]]:
    state = stack.state
    embedded = {server.name for server in stack.stores.embedded}
    return [
        ["authority", state.address, "gRPC"],
        ["worker", f"process {state.worker_pid}", ""],
        ["Postgres", shown(state.database_url), _origin("Postgres" in embedded, "DATABASE_URL")],
        ["Valkey", shown(state.redis_url), _origin("Valkey" in embedded, "REDIS_URL")],
        ["data and logs", str(stack.root), "removed at the end" if state.ephemeral else "kept"],
        *([f"provider {name}", "live", _price(name)] for name in stack.providers),
        *([f"account {item.account}", item.display_name, _limits(item)] for item in SAMPLES),
    ]


def _origin(embedded: bool, variable: str) -> str:
    return "embedded" if embedded else f"external, as {variable} says"


def _price(provider: str) -> str:
    return "draws placeholders; no real money" if provider == _SANDBOX else "costs real money"


def _limits(sample: Sample) -> str:
    return ", ".join(
        f"{format_usd(limit)} a {window.lower()}" for window, limit in sample.limits.items()
    )
