"""Fixtures of tests that need an authority: real stores, a real server on a socket."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import psycopg
import pytest
import uuid_utils

from authority.bootstrap import RunningAuthority, running_authority
from authority.config import AuthoritySettings
from authority.embedded import EmbeddedPostgres
from authority.ledger.migrate import migrate
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import admin_service_pb2_grpc, budget_service_pb2_grpc, resources_pb2
from authority.v1 import budget_service_pb2 as budget

TOKEN = "token-of-the-tests"


class Stubs:
    """The services of one authority as generated stubs, and shorthands over them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.budget = budget_service_pb2_grpc.BudgetServiceStub(channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        self.metadata = (("authorization", f"Bearer {TOKEN}"),)

    async def account(self, account, **fields):
        """Make an account."""
        message = resources_pb2.Account(account=account, **fields)
        request = admin.CreateAccountRequest(account=message)
        return (await self.admin.CreateAccount(request, metadata=self.metadata)).account

    async def set_budget(
        self, account, limit, *, unit="USD", window="DAY", enforcement="BLOCK", name=""
    ):
        """Make a budget."""
        message = resources_pb2.Budget(
            account=account,
            budget=name,
            unit=f"UNIT_{unit}",
            window=f"WINDOW_{window}",
            limit=limit,
            enforcement=f"ENFORCEMENT_{enforcement}",
        )
        request = admin.CreateBudgetRequest(budget=message)
        return (await self.admin.CreateBudget(request, metadata=self.metadata)).budget

    async def reserve(
        self, account, *options, names=None, key=None, ttl=None, labels=None, **fields
    ):
        """Reserve; each option is a dict of units and amounts, and may have a name."""
        names = names or [""] * len(options)
        request = budget.ReserveRequest(
            idempotency_key=key or new_key(),
            account=account,
            options=[
                budget.Option(legs=legs_of(option), name=name)
                for option, name in zip(options, names, strict=True)
            ],
            labels=labels,
            **fields,
        )
        if ttl is not None:
            request.ttl.FromMilliseconds(int(ttl * 1000))
        return await self.budget.Reserve(request, metadata=self.metadata)

    async def commit(self, reservation_id, actual, *, key=None, **fields):
        """Commit an actual cost."""
        request = budget.CommitRequest(
            idempotency_key=key or new_key(),
            reservation_id=reservation_id,
            actual=legs_of(actual),
            **fields,
        )
        return await self.budget.Commit(request, metadata=self.metadata)

    async def release(self, reservation_id, *, key=None, reason=""):
        """Release."""
        request = budget.ReleaseRequest(
            idempotency_key=key or new_key(), reservation_id=reservation_id, reason=reason
        )
        return await self.budget.Release(request, metadata=self.metadata)

    async def refund(self, reservation_id, legs=None, *, key=None):
        """Refund; all of it if no legs are given."""
        request = budget.RefundRequest(
            idempotency_key=key or new_key(),
            reservation_id=reservation_id,
            legs=legs_of(legs or {}),
        )
        return await self.budget.Refund(request, metadata=self.metadata)

    async def extend(self, reservation_id, legs=None, *, key=None, ttl=None):
        """Extend."""
        request = budget.ExtendRequest(
            idempotency_key=key or new_key(),
            reservation_id=reservation_id,
            legs=legs_of(legs or {}),
        )
        if ttl is not None:
            request.ttl.FromMilliseconds(int(ttl * 1000))
        return await self.budget.Extend(request, metadata=self.metadata)

    async def adjust(self, account, amounts, *, key=None, reason="a correction"):
        """Adjust."""
        request = budget.AdjustRequest(
            idempotency_key=key or new_key(), account=account, legs=legs_of(amounts), reason=reason
        )
        return await self.budget.Adjust(request, metadata=self.metadata)

    async def grant(self, account, unit, amount, *, key=None, every=None, **fields):
        """Make a grant. Times are in Unix seconds."""
        message = resources_pb2.Grant(account=account, unit=f"UNIT_{unit}", amount=amount)
        if every:
            message.recurrence = f"WINDOW_{every}"
        for name, value in fields.items():
            if name in {"effective_time", "expire_time"}:
                getattr(message, name).FromMilliseconds(int(value * 1000))
            elif name == "refund_grace":
                message.refund_grace.FromMilliseconds(int(value * 1000))
            else:
                setattr(message, name, value)
        request = admin.CreateGrantRequest(idempotency_key=key or new_key(), grant=message)
        return (await self.admin.CreateGrant(request, metadata=self.metadata)).grant

    async def get_grant(self, grant_id):
        """Read a grant."""
        request = admin.GetGrantRequest(grant_id=grant_id)
        return (await self.admin.GetGrant(request, metadata=self.metadata)).grant

    async def void_grant(self, grant_id, *, key=None):
        """Void a grant."""
        request = admin.VoidGrantRequest(idempotency_key=key or new_key(), grant_id=grant_id)
        return (await self.admin.VoidGrant(request, metadata=self.metadata)).grant

    async def get(self, reservation_id):
        """Read a reservation."""
        request = budget.GetReservationRequest(reservation_id=reservation_id)
        return (await self.budget.GetReservation(request, metadata=self.metadata)).reservation

    async def balance(self, account):
        """Read (reserved, committed, refunded, available) by account and budget."""
        request = budget.GetBalanceRequest(account=account)
        response = await self.budget.GetBalance(request, metadata=self.metadata)
        return {
            (row.budget.account, row.budget.budget): (
                row.reserved,
                row.committed,
                row.refunded,
                row.available,
            )
            for row in response.balances
        }

    async def differences(self, tenant=""):
        """Audit; return the differences."""
        request = admin.AuditRequest(tenant=tenant)
        return list((await self.admin.Audit(request, metadata=self.metadata)).differences)


def legs_of(amounts):
    """Return legs from a dict of units and amounts."""
    return [
        resources_pb2.Leg(unit=f"UNIT_{unit}", amount=amount) for unit, amount in amounts.items()
    ]


def new_key():
    """Return a new idempotency key."""
    return str(uuid_utils.uuid7())


@pytest.fixture(scope="session")
async def template_database(postgres: EmbeddedPostgres) -> str:
    """The name of a database with the present schema, to copy from."""
    name = "template_migrated"
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    await migrate(postgres.url.removesuffix("paymaster") + name)
    return name


@pytest.fixture
async def ledger_url(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[str]:
    """The URL of a database of the test's own, with the present schema."""
    name = f"test_{uuid.uuid4().hex}"
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
        yield postgres.url.removesuffix("paymaster") + name
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def authority_settings(ledger_url: str, redis_url: str, tmp_path: Path) -> AuthoritySettings:
    """Settings of an authority on stores of the test's own."""
    return make_settings(ledger_url, redis_url, tmp_path / "artifacts")


def make_settings(
    database_url: str, redis_url: str, artifacts: Path, **changes
) -> AuthoritySettings:
    """Return settings for a free port."""
    return AuthoritySettings(
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        PAYMASTER_TOKEN=TOKEN,
        PAYMASTER_ARTIFACTS=str(artifacts),
        port=0,
        drain_seconds=0,
        **changes,
    )


@pytest.fixture
async def start_authority(
    authority_settings: AuthoritySettings,
) -> AsyncIterator[Callable[..., Awaitable[tuple[RunningAuthority, Stubs]]]]:
    """A function that starts an authority in this process and connects to it."""
    async with AsyncExitStack() as stack:

        async def start(settings: AuthoritySettings = authority_settings):
            running = await stack.enter_async_context(running_authority(settings))
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{running.port}")
            await stack.enter_async_context(channel)
            return running, Stubs(channel)

        yield start


@pytest.fixture
async def authority(start_authority) -> tuple[RunningAuthority, Stubs]:
    """One authority, running in this process."""
    return await start_authority()


@pytest.fixture
def core(authority):
    """The inside of the running authority."""
    return authority[0].core


@pytest.fixture
def stubs(authority) -> Stubs:
    """The services of the running authority."""
    return authority[1]
