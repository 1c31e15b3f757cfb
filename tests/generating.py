"""Fixtures of tests that make generations: stubs, the emulator, workers to be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.rows import dict_row

from authorities import TOKEN, new_key
from authority.v1 import generation_service_pb2 as messages
from authority.v1 import generation_service_pb2_grpc
from generations.artifacts import ArtifactStore
from support import eventually
from workers.emulator import Emulator, running_emulator

LEASE_S = 1.0
LIMIT = 10_000_000
ENDED = {"SUCCEEDED", "FAILED", "DENIED", "CANCELLED"}


class Generations:
    """GenerationService of one authority, with shorthands."""

    def __init__(self, stubs) -> None:
        self.stub = generation_service_pb2_grpc.GenerationServiceStub(stubs.channel)
        self.metadata = stubs.metadata

    async def submit(self, account="acme", prompt="a lighthouse", *, key=None, **fields):
        """Submit; return the response."""
        request = messages.SubmitGenerationRequest(
            idempotency_key=key or new_key(), account=account, prompt=prompt, **fields
        )
        return await self.stub.SubmitGeneration(request, metadata=self.metadata)

    async def get(self, generation_id):
        """Return a generation."""
        request = messages.GetGenerationRequest(generation_id=generation_id)
        return (await self.stub.GetGeneration(request, metadata=self.metadata)).generation

    async def cancel(self, generation_id):
        """Ask for a generation to be cancelled; return it."""
        request = messages.CancelGenerationRequest(generation_id=generation_id)
        return (await self.stub.CancelGeneration(request, metadata=self.metadata)).generation

    async def retry(self, generation_id):
        """Try a generation anew; return it."""
        request = messages.RetryGenerationRequest(generation_id=generation_id)
        return (await self.stub.RetryGeneration(request, metadata=self.metadata)).generation

    async def ended(self, generation_id, seconds=20):
        """Return a generation once it has ended."""

        async def final():
            found = await self.get(generation_id)
            assert state(found) in ENDED, found
            return found

        return await eventually(final, seconds)

    async def make(self, *args, **fields):
        """Submit, and return the generation once it has ended."""
        response = await self.submit(*args, **fields)
        return await self.ended(response.generation.generation_id)

    async def download(self, artifact_id):
        """Return the bytes of an artifact, and the length of the longest piece."""
        request = messages.DownloadArtifactRequest(artifact_id=artifact_id)
        pieces = [
            response.chunk
            async for response in self.stub.DownloadArtifact(request, metadata=self.metadata)
        ]
        return b"".join(pieces), max(map(len, pieces))


def state(generation):
    """Return a generation's state without its prefix."""
    name = messages.GenerationState.Name(generation.state)
    return name.removeprefix("GENERATION_STATE_")


async def insert_generation(ledger_url, prompt="a lighthouse", kind="image"):
    """Add a generation of `acme`, as if it had been submitted a minute ago; return its id."""
    generation_id = f"acme/{new_key()}"
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO tenant (tenant) VALUES ('acme') ON CONFLICT DO NOTHING"
        )
        await connection.execute(
            "INSERT INTO account VALUES ('acme', 'acme', 'platform', '', 'UTC', 'ACTIVE',"
            " 'AVAILABLE', now()) ON CONFLICT DO NOTHING"
        )
        await connection.execute(
            "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt,"
            " requested_model, size, quality, count, create_time) VALUES (%s, 'acme', 'acme', %s,"
            " %s, %s, '', '1024x1024', 'premium', 1, now() - interval '1 minute')",
            [generation_id, generation_id, kind, prompt],
        )
    return generation_id


async def insert_hits(ledger_url, count):
    """Add an entry of the cache, and generations that it has served; return the id and theirs."""
    source, *served = [await insert_generation(ledger_url) for _ in range(count + 1)]
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO cache_entry (entry_id, tenant, scope_hash, exact_hash, generation_id,"
            " kind, model, quality_class, cost_micros, expire_time) VALUES (%s, 'acme', 'scope',"
            " 'exact', %s, 'image', 'gpt-image-2', 'premium', 42000, now() + interval '1 day')",
            [source, source],
        )
        await connection.execute(
            "INSERT INTO cache_hit (generation_id, tenant, account, entry_id, source_generation_id,"
            " stage, saved_micros) SELECT served, 'acme', 'acme', %s, %s, 'exact', 42000"
            " FROM unnest(%s::text[]) AS served",
            [source, source, served],
        )
    return source, served


async def insert_artifact(ledger_url, artifacts):
    """Add a generation of `acme` that has succeeded, with a file in the store; return its id."""
    generation_id = await insert_generation(ledger_url)
    stored = await ArtifactStore(str(artifacts)).put(
        "acme", generation_id, 0, b"an image", "image/png", datetime(2026, 11, 21, tzinfo=UTC)
    )
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO artifact VALUES (%s, %s, 0, %s, 'image/png', %s, %s)",
            [f"{generation_id}/0", generation_id, stored.path, stored.size_bytes, stored.sha256],
        )
        await connection.execute(
            "UPDATE generation SET state = 'SUCCEEDED', end_time = now() WHERE generation_id = %s",
            [generation_id],
        )
    return f"{generation_id}/0"


async def read_generation(ledger_url, generation_id, *columns):
    """Return columns of a generation."""
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        cursor = await connection.execute(
            f"SELECT {', '.join(columns)} FROM generation WHERE generation_id = %s", [generation_id]
        )
        return await cursor.fetchone()


class WorkerProcess:
    """`python -m workers` on the stores of a test, with its provider the emulator."""

    def __init__(self, environment, log_file) -> None:
        self.environment = environment
        self.log_file = log_file
        self._process: asyncio.subprocess.Process | None = None

    async def start(self):
        """Start it, and return when it has reported itself."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "workers", env=self.environment, stdout=log, stderr=log
            )
        await eventually(self._has_started, 60)

    def _has_started(self):
        log = self.log_file.read_text()
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(log)
        return log.count("worker_started") > log.count("worker_stopped")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.signal(number)
        assert self._process is not None
        return await self._process.wait()

    async def close(self):
        """End it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            await self.send(signal.SIGKILL)


@pytest.fixture
async def funded(stubs):
    """The account acme, with a budget of LIMIT."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)


@pytest.fixture
def committed(stubs):
    """A function that returns what acme was charged, when nothing is held."""

    async def read():
        reserved, amount, _, _ = (await stubs.balance("acme"))["acme", "usd-day"]
        assert reserved == 0
        return amount

    return read


@pytest.fixture
def spent(stubs, committed):
    """A function that does the same, when the books balance too."""

    async def read():
        assert await stubs.differences() == []
        return await committed()

    return read


@pytest.fixture
def generations(stubs) -> Generations:
    """GenerationService of the running authority."""
    return Generations(stubs)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator of the providers, with nothing in its journal."""
    async with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def authority_address(authority) -> str:
    """Where the running authority listens."""
    return f"127.0.0.1:{authority[0].port}"


@pytest.fixture
async def make_worker(authority_address, authority_settings, emulator, tmp_path):
    """A function that makes a worker process for the running authority, not started yet."""
    async with AsyncExitStack() as stack:
        count = 0

        def make(**changes) -> WorkerProcess:
            nonlocal count
            count += 1
            environment = {
                **os.environ,
                "DATABASE_URL": authority_settings.database_url.get_secret_value(),
                "REDIS_URL": authority_settings.redis_url.get_secret_value(),
                "PAYMASTER_ADDRESS": authority_address,
                "PAYMASTER_TOKEN": TOKEN,
                "PAYMASTER_ARTIFACTS": authority_settings.artifacts,
                "WORKERS_LEASE_S": str(LEASE_S),
                "WORKERS_RECONCILE_S": "0.5",
                "OPENAI_API_KEY": emulator.openai_key,
                "OPENAI_BASE_URL": emulator.openai_base_url,
                "FAL_KEY": emulator.fal_key,
                "FAL_QUEUE_URL": emulator.fal_queue_url,
                **changes,
            }
            worker = WorkerProcess(environment, tmp_path / f"worker-{count}.log")
            stack.push_async_callback(worker.close)
            return worker

        yield make


@pytest.fixture
async def worker(make_worker) -> WorkerProcess:
    """A worker at work."""
    made = make_worker()
    await made.start()
    return made


@pytest.fixture
def attempts(authority_settings):
    """A function that returns the attempts at a generation, in order."""

    async def read(generation_id):
        url = authority_settings.database_url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            cursor = await connection.execute(
                "SELECT * FROM generation_attempt WHERE generation_id = %s ORDER BY attempt",
                [generation_id],
            )
            return await cursor.fetchall()

    return read
