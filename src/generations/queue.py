"""The queue between the authority, which enqueues, and the workers, which consume.

A job is a wake-up call: it carries a generation's id and nothing else, for the durable row is the
truth. Entries are JSON: whoever can write to Redis must not be able to run code in a worker. Beside
the queues each worker keeps a key that says it is alive, and that goes away when its beats stop.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import job_key_prefix, result_key_prefix
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from generations.models import Kind

FUNCTION_NAME = "run_generation"
JOB_EXPIRY = timedelta(days=30)
ENQUEUE_ATTEMPTS_MAX = 3
# A store that restarts is back within these 20 s; arq's own settings would end the worker.
RETRY_DELAY_S = 0.5
RETRIES_MAX = 40
ERROR_MESSAGE_LENGTH_MAX = 500
BEAT_INTERVAL_S = 5
# Two beats may be lost before a worker counts as gone.
BEAT_TTL_S = 3 * BEAT_INTERVAL_S

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
_BEAT_KEY_PREFIX = "paymaster:worker:"
# The names of workers that have beaten, so that nobody has to look through all keys for them.
_WORKERS_KEY = "paymaster:workers"
_ERROR_KEY = "__error__"
_PICKLE_START = b"\x80"


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


async def enqueue(pool: ArqRedis, generation_id: str, requeue_number: int, kind: str) -> bool:
    """Put a generation's job into its kind's queue.

    Returns False if that job is there already or has ended lately. Raises redis errors; then and
    when the caller dies the job may or may not be there, and repeating is safe.
    """
    assert pool.job_serializer is serialize, "a pool without it would write pickles"
    name = job_id(generation_id, requeue_number)
    for _ in range(ENQUEUE_ATTEMPTS_MAX):
        job = await pool.enqueue_job(
            FUNCTION_NAME,
            generation_id,
            _job_id=name,
            _queue_name=queue_name(kind),
            _expires=JOB_EXPIRY,
        )
        if job is not None:
            return True
        # arq says the same when its connection was lost halfway, and then nothing may be there.
        if await pool.exists(job_key_prefix + name, result_key_prefix + name):
            return False
    raise RedisConnectionError(f"The job {name} could not be enqueued; the connection was lost.")


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life. `running` has the ids of the generations at work, at most `slots`."""

    worker: str
    slots: int
    running: tuple[str, ...]
    providers: tuple[str, ...]
    beat: datetime


def worker_name(host: str, pid: int) -> str:
    """Return a worker's name, as in its beats."""
    return f"{host}:{pid}"


def beat_key(worker: str) -> str:
    """Return the key of a worker's beats."""
    return f"{_BEAT_KEY_PREFIX}{worker}"


async def write_beat(redis: Redis, beat: Beat) -> None:
    """Show that a worker is alive, for BEAT_TTL_S seconds. Raises redis errors."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.set(beat_key(beat.worker), encode_beat(beat), ex=BEAT_TTL_S)
    pipeline.sadd(_WORKERS_KEY, beat.worker)
    await pipeline.execute()


async def end_beats(redis: Redis, worker: str) -> None:
    """Say that a worker has ended. Raises redis errors."""
    await redis.delete(beat_key(worker))


def encode_beat(beat: Beat) -> str:
    """Return a beat as JSON."""
    assert beat.beat.tzinfo is not None, "a time without a zone means another time elsewhere"
    return json.dumps(asdict(beat) | {"beat": beat.beat.isoformat()}, separators=(",", ":"))


def decode_beat(raw: bytes | str) -> Beat:
    """Return the beat that was encoded; keys of a newer version are passed over.

    Raises ValueError.
    """
    try:
        data = json.loads(raw)
        return Beat(
            worker=str(data["worker"]),
            slots=int(data["slots"]),
            running=tuple(map(str, data["running"])),
            providers=tuple(map(str, data["providers"])),
            beat=datetime.fromisoformat(data["beat"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("A worker's heartbeat is malformed.") from error


async def read_beats(redis: Redis) -> list[Beat]:
    """Return the last beat of every worker alive, by name; what is malformed is no worker.

    Raises redis errors.
    """
    workers = sorted(_text(name) for name in await cast("Any", redis.smembers(_WORKERS_KEY)))
    if not workers:
        return []
    beats, gone = [], []
    for worker, raw in zip(workers, await redis.mget(map(beat_key, workers)), strict=True):
        try:
            beats.append(decode_beat(raw or ""))
        except ValueError:
            gone.append(worker)
    if gone:
        # One that beats again at this moment is named again by its next beat.
        await cast("Any", redis.srem(_WORKERS_KEY, *gone))
    return beats


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


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
