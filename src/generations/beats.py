"""The workers' signs of life: a key for each worker, which goes away when its beats stop."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from redis.asyncio import Redis

BEAT_INTERVAL_S = 5
# Two beats may be lost before a worker counts as gone.
BEAT_TTL_S = 3 * BEAT_INTERVAL_S

_BEAT_KEY_PREFIX = "paymaster:worker:"
# The names of workers that have beaten, so that nobody has to look through all keys for them.
_WORKERS_KEY = "paymaster:workers"


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life.

    `slots` says how many generations of each kind it may run at once; a kind that it does not work
    on is not in it. `running` has the ids of those at work. One that is `stopping` takes no more.
    """

    worker: str
    version: str
    started: datetime
    beat: datetime
    slots: dict[str, int]
    running: tuple[str, ...]
    providers: tuple[str, ...]
    stopping: bool = False

    @property
    def slot_count(self) -> int:
        """How many generations of all kinds it may run at once."""
        return sum(self.slots.values())


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
    times = {"beat": beat.beat, "started": beat.started}
    assert all(time.tzinfo for time in times.values()), (
        "without a zone it is another time elsewhere"
    )
    texts = {name: time.isoformat() for name, time in times.items()}
    return json.dumps(asdict(beat) | texts, separators=(",", ":"))


def decode_beat(raw: bytes | str) -> Beat:
    """Return the beat that was encoded; keys of a newer version are passed over.

    Raises ValueError.
    """
    try:
        data = json.loads(raw)
        return Beat(
            worker=str(data["worker"]),
            version=str(data["version"]),
            started=datetime.fromisoformat(data["started"]),
            beat=datetime.fromisoformat(data["beat"]),
            slots={str(kind): int(count) for kind, count in data["slots"].items()},
            running=tuple(map(str, data["running"])),
            providers=tuple(map(str, data["providers"])),
            stopping=bool(data["stopping"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
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
