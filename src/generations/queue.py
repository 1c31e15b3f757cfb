"""The queues between the authority, which enqueues, and the workers, which consume.

A job is a wake-up call: it carries a generation's id and nothing else, for the durable row is the
truth. Entries are JSON: whoever can write to Redis must not be able to run code in a worker.

Each kind has a queue: a sorted set of job ids by score, which is when the job is to run, in ms. The
score of a new job is its time of submission moved by its priority (`score_ms`), so that none waits
for ever; that of one to be run later is that time. Jobs of the priority BATCH are besides in a
second set while they wait, by their time of submission: a worker with nothing else to do takes them
from there before their score says so, and one in four jobs comes from there once they have waited
for BATCH_PATIENCE.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import job_key_prefix, result_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from generations.models import Kind
from generations.settings import Priority

FUNCTION_NAME = "run_generation"
JOB_EXPIRY = timedelta(days=30)
PRIORITY_OFFSETS = {
    Priority.HIGH: timedelta(seconds=-60),
    Priority.NORMAL: timedelta(0),
    Priority.BATCH: timedelta(seconds=300),
}
# They start within their 300 s, though every slot may be taken when their turn comes.
BATCH_PATIENCE = timedelta(seconds=240)
# A store that restarts is back within these 20 s; arq's own settings would end the worker.
RETRY_DELAY_S = 0.5
RETRIES_MAX = 40
ERROR_MESSAGE_LENGTH_MAX = 500

_URL_FORM = "it looks like redis://:password@host:6379/0."
_URL_OPTIONS = {
    "database",
    "host",
    "max_connections",
    "password",
    "port",
    "ssl",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "unix_socket_path",
    "username",
}
_ERROR_KEY = "__error__"
_PICKLE_START = b"\x80"
_ENQUEUE = (files("generations") / "scripts" / "enqueue.lua").read_text()


class NotJson(ValueError):
    """A queue entry is not what `serialize` writes; it was not decoded any further."""


class JobError(Exception):
    """The error of a job, as its result tells it: the class by name, never the object itself."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.message = message


class QueueSettings(RedisSettings):
    """arq's settings, whose own repr tells the password."""

    def __repr__(self) -> str:
        return f"QueueSettings(host={self.host!r}, port={self.port}, database={self.database})"


def queue_name(kind: str) -> str:
    """Return the name of a kind's queue, which is its key. Raises ValueError for no kind."""
    return f"paymaster:queue:{Kind(kind)}"


def polite_key(kind: str) -> str:
    """Return the key of what waits in a kind's queue with the priority BATCH."""
    return f"{queue_name(kind)}:polite"


def wake_channel(kind: str) -> str:
    """Return the channel on which workers hear of new jobs of a kind."""
    return f"{queue_name(kind)}:wake"


def score_ms(priority: Priority, since: datetime) -> float:
    """Return the score of a generation submitted at a time: the lower, the sooner its turn."""
    return (since + PRIORITY_OFFSETS[priority]).timestamp() * 1000


def job_id(generation_id: str, requeue_number: int) -> str:
    """Return a job's id; a requeue has its own, for arq refuses that of a job that ended lately."""
    return f"{generation_id}:{requeue_number}"


def serialize(data: dict[str, Any]) -> bytes:
    """Return a queue entry as JSON. An exception in it becomes its class's name and its message."""
    return json.dumps(data, default=_encode, allow_nan=False, separators=(",", ":")).encode()


def deserialize(raw: bytes) -> dict[str, Any]:
    """Return a queue entry; an error in it is a JobError, a cancellation itself. Raises NotJson."""
    if raw.startswith(_PICKLE_START):
        raise NotJson("The queue entry is a pickle, which is never decoded; delete it.")
    try:
        data = json.loads(raw, object_hook=_decode)
    except (ValueError, RecursionError) as error:
        raise NotJson("The queue entry is not JSON; delete it.") from error
    if not isinstance(data, dict):
        raise NotJson("The queue entry is not a JSON object; delete it.")
    return data


def redis_settings(url: str) -> RedisSettings:
    """Return arq's settings for a URL: redis://, rediss:// or unix://, as redis-py reads it.

    Raises ValueError, which does not repeat the URL, as that may hold a password.
    """
    try:
        found: dict[str, Any] = dict(parse_url(url))
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"The Redis URL is malformed; {_URL_FORM}") from None
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError(f"The database in the Redis URL is no number; {_URL_FORM}")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("The Redis URL has no path; it looks like unix:///run/valkey.sock?db=0.")
    found.pop("connection_class", None)
    found["ssl"] = parts.scheme == "rediss"
    found["database"] = found.pop("db", 0)
    found["unix_socket_path"] = found.pop("path", None)
    unknown = sorted(found.keys() - _URL_OPTIONS)
    if unknown:
        raise ValueError(f"The Redis URL has the option {unknown[0]!r}, which has no use here.")
    return QueueSettings(
        **found,
        retry=Retry(ConstantBackoff(RETRY_DELAY_S), RETRIES_MAX),
        retry_on_timeout=True,
        retry_on_error=[RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError],
    )


async def open_pool(url: str) -> ArqRedis:
    """Return a pool that speaks this module's JSON. Raises ValueError and redis errors."""
    return await create_pool(
        redis_settings(url), job_serializer=serialize, job_deserializer=deserialize
    )


async def enqueue(
    pool: ArqRedis,
    generation_id: str,
    requeue_number: int,
    kind: str,
    priority: Priority = Priority.NORMAL,
    *,
    since: datetime | None = None,
    run_at: datetime | None = None,
) -> bool:
    """Put a generation's job into its kind's queue.

    `since` is when the generation was submitted, if not just now; `run_at` when it is to run, if
    not as soon as can be. Returns False if that job is there already or has ended lately. Raises
    redis errors; then and when the caller dies the job may or may not be there, and repeating is
    safe.
    """
    assert pool.job_serializer is serialize, "a pool without it would write pickles"
    name = job_id(generation_id, requeue_number)
    entry = serialize_job(
        FUNCTION_NAME, (generation_id,), {}, None, timestamp_ms(), serializer=serialize
    )
    added = await pool.register_script(_ENQUEUE)(
        keys=[job_key_prefix + name, result_key_prefix + name, queue_name(kind), polite_key(kind)],
        args=[
            *(name, entry, int(JOB_EXPIRY.total_seconds() * 1000)),
            int(PRIORITY_OFFSETS[priority].total_seconds() * 1000),
            *(_ms(since), _ms(run_at), wake_channel(kind)),
        ],
    )
    return bool(added)


def _ms(time: datetime | None) -> str:
    return "" if time is None else f"{time.timestamp() * 1000:.0f}"


def _encode(value: object) -> object:
    if isinstance(value, BaseException):
        message = str(value)[:ERROR_MESSAGE_LENGTH_MAX]
        return {_ERROR_KEY: {"name": type(value).__name__, "message": message}}
    raise TypeError(f"A queue entry can't hold a {type(value).__name__}.")


def _decode(data: dict[str, Any]) -> Any:
    error = data.get(_ERROR_KEY)
    if not isinstance(error, dict) or len(data) != 1:
        return data
    if error.get("name") == asyncio.CancelledError.__name__:
        # arq tells an aborted job by this class.
        return asyncio.CancelledError()
    return JobError(str(error.get("name")), str(error.get("message")))
