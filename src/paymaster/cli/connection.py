"""How a command finds the running stack and signs in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc

from clients import (
    AdminClient,
    AlertClient,
    AuthorityClient,
    CacheClient,
    GenerationClient,
    HealthClient,
    InsightClient,
    QueueClient,
    ReconciliationClient,
    UsageClient,
    tls_from_environment,
)
from clients.errors import Unavailable
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.stack.state import default_data_directory, read_state

ADDRESS_VARIABLE = "PAYMASTER_ADDRESS"
TOKEN_VARIABLE = "PAYMASTER_TOKEN"  # noqa: S105  # The variable's name.
TOKEN_FILE_VARIABLE = "PAYMASTER_TOKEN_FILE"  # noqa: S105  # The variable's name.
# A call that can't connect fails much sooner.
_TIMEOUT_SECONDS = 10.0


class Endpoint(NamedTuple):
    """An authority, and where its place was learned from."""

    address: str
    token: str
    source: str
    tls: grpc.ChannelCredentials | None = None


class Connection(NamedTuple):
    """The authority's services."""

    authority: AuthorityClient
    admin: AdminClient
    generations: GenerationClient
    queues: QueueClient
    cache: CacheClient
    usage: UsageClient
    bills: ReconciliationClient
    insights: InsightClient
    health: HealthClient
    alerts: AlertClient


def find_endpoint(data_dir: Path | None) -> Endpoint:
    """Return the authority to talk to.

    Raises CommandFailed if none is known, with how to start one, and BadState.
    """
    address = os.environ.get(ADDRESS_VARIABLE)
    if data_dir is None and address:
        return Endpoint(address, _token(), ADDRESS_VARIABLE, _tls())
    directory = (data_dir or default_data_directory()).expanduser().resolve()
    state = read_state(directory)
    if state is None:
        raise CommandFailed(
            f"No stack is running in {directory}.\n"
            f"Start one with `{_dev_command(data_dir)}`, or set"
            f" {ADDRESS_VARIABLE} and {TOKEN_FILE_VARIABLE} to use another.",
            ExitCode.UNREACHABLE,
        )
    return Endpoint(state.address, state.token, str(directory))


@asynccontextmanager
async def connect(
    address: str, token: str, tls: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Connection]:
    """Connect to an authority. Raises ValueError for an address or token that can't be."""
    async with (
        AuthorityClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as authority,
        AdminClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as admin,
        GenerationClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as generations,
        QueueClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as queues,
        CacheClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as cache,
        UsageClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as usage,
        ReconciliationClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as bills,
        InsightClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as insights,
        HealthClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as health,
        AlertClient(
            address, token=token, timeout=_TIMEOUT_SECONDS, channel_credentials=tls
        ) as alerts,
    ):
        yield Connection(
            authority, admin, generations, queues, cache, usage, bills, insights, health, alerts
        )


@asynccontextmanager
async def connected(data_dir: Path | None) -> AsyncIterator[Connection]:
    """Connect to the authority that `find_endpoint` finds.

    Raises CommandFailed and BadState, and lets the errors of the calls pass; those of an authority
    that does not answer say how to start one.
    """
    endpoint = find_endpoint(data_dir)
    async with AsyncExitStack() as exits:
        try:
            connection = await exits.enter_async_context(
                connect(endpoint.address, endpoint.token, endpoint.tls)
            )
        except ValueError as error:
            raise CommandFailed(f"{endpoint.source}: {error}", ExitCode.USAGE) from None
        try:
            yield connection
        except Unavailable as error:
            raise CommandFailed(
                f"{error}\nIt was found by {endpoint.source}. If it has ended, start one with"
                f" `{_dev_command(data_dir)}`.",
                ExitCode.UNREACHABLE,
            ) from error


def _tls() -> grpc.ChannelCredentials | None:
    try:
        return tls_from_environment()
    except ValueError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from None


def _token() -> str:
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if not file:
        return os.environ.get(TOKEN_VARIABLE, "")
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandFailed(
            f"{TOKEN_FILE_VARIABLE}: {file} can't be read: {reason}.", ExitCode.USAGE
        ) from error


def _dev_command(data_dir: Path | None) -> str:
    return f"paymaster dev --data-dir {data_dir}" if data_dir else "paymaster dev"
