"""What operators change while workers run: what is paused, and the limits.

Both are hashes beside the queues, which the workers' scripts read whenever they take something. So
a change is honoured at the next poll, by every worker, and by one that starts later too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from generations.models import Kind

PAUSED_KEY = "paymaster:paused"
LIMITS_KEY = "paymaster:limits"
# Pauses every queue.
ALL = "all"
# In the place of an account: those that have no limit of their own.
EVERY_ACCOUNT = "*"
LIMIT_MAX = 1_000_000

_PROVIDER = "provider:"
_ACCOUNT = "account:"
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ACCOUNT_NAME = re.compile(r"\*|[^\s:]{1,200}")


class LimitName(StrEnum):
    """What is limited. 0 is no limit."""

    # Calls at one time: of a provider, or of an account.
    CONCURRENCY = "concurrency"
    # Calls begun in a minute: of a provider.
    PER_MINUTE = "per_minute"


class Limit(NamedTuple):
    """One limit. `subject` is `provider:openai`, `account:acme` or `account:*`."""

    subject: str
    name: LimitName
    value: int


def provider_subject(provider: str) -> str:
    """Return a provider's name as that of a thing to pause or to limit. Raises ValueError."""
    if not _PROVIDER_NAME.fullmatch(provider):
        raise ValueError(f"{provider!r} is no provider's name; one looks like openai.")
    return f"{_PROVIDER}{provider}"


def account_subject(account: str) -> str:
    """Return an account's id as that of a thing to limit. Raises ValueError."""
    if not _ACCOUNT_NAME.fullmatch(account):
        raise ValueError(f"{account!r} is no account's id; one looks like acme/alice.")
    return f"{_ACCOUNT}{account}"


def load_key(subject: str, part: str) -> str:
    """Return the key of a part of what workers count of a provider or an account.

    `held` and `waiting` are sorted sets of generations, `breaker` is a hash: see workers/limits.
    """
    return f"paymaster:limit:{subject}:{part}"


async def pause(redis: Redis, target: str) -> bool:
    """Take nothing more from a queue, or ask nothing more of a provider; what runs, ends.

    `target` is a kind such as `image`, `all` for every queue, or `provider:openai`. Returns False
    if it is paused already. Raises ValueError for another target, and redis errors.
    """
    field = pause_target(target)
    seconds, micros = await redis.time()
    since_ms = int(seconds) * 1000 + int(micros) // 1000
    return bool(await cast("Any", redis.hsetnx(PAUSED_KEY, field, str(since_ms))))


async def resume(redis: Redis, target: str) -> bool:
    """Undo `pause` of the same target; False if it is not paused.

    A queue that is paused by its name stays so when `all` is resumed. Raises ValueError and redis
    errors.
    """
    return bool(await cast("Any", redis.hdel(PAUSED_KEY, pause_target(target))))


async def paused(redis: Redis) -> dict[str, datetime]:
    """Return what is paused and since when, by target. Raises redis errors."""
    fields = await cast("Any", redis.hgetall(PAUSED_KEY))
    return {
        _text(target): datetime.fromtimestamp(int(since_ms) / 1000, UTC)
        for target, since_ms in sorted(fields.items())
    }


def is_paused(kind: Kind, found: Mapping[str, datetime]) -> bool:
    """Say whether a kind's queue is paused, by what `paused` has returned."""
    return ALL in found or str(kind) in found


async def set_limit(redis: Redis, limit: Limit) -> None:
    """Let a limit hold in place of the workers' settings. Raises ValueError and redis errors."""
    if not 0 <= limit.value <= LIMIT_MAX:
        raise ValueError(f"A limit is 0, which is none, to {LIMIT_MAX}; not {limit.value}.")
    field = limit_field(limit.subject, limit.name)
    await cast("Any", redis.hset(LIMITS_KEY, field, str(limit.value)))


async def unset_limit(redis: Redis, subject: str, name: LimitName) -> bool:
    """Let the workers' settings hold again; False if they do. Raises ValueError, redis errors."""
    return bool(await cast("Any", redis.hdel(LIMITS_KEY, limit_field(subject, name))))


async def limits(redis: Redis) -> list[Limit]:
    """Return the limits that hold in place of the workers' settings. Raises redis errors."""
    found = []
    for field, value in sorted((await cast("Any", redis.hgetall(LIMITS_KEY))).items()):
        subject, _, name = _text(field).rpartition(".")
        found.append(Limit(subject, LimitName(name), int(value)))
    return found


def pause_target(target: str) -> str:
    """Return what `pause` takes, checked. Raises ValueError."""
    if target == ALL:
        return target
    if target.startswith(_PROVIDER):
        return provider_subject(target.removeprefix(_PROVIDER))
    try:
        return str(Kind(target))
    except ValueError:
        raise ValueError(
            f"{target!r} can't be paused; name one of {', '.join(Kind)}, all, or provider:NAME."
        ) from None


def limit_field(subject: str, name: LimitName) -> str:
    """Return a limit's field in the hash of limits. Raises ValueError."""
    if subject.startswith(_PROVIDER):
        return f"{provider_subject(subject.removeprefix(_PROVIDER))}.{name}"
    if subject.startswith(_ACCOUNT) and name is LimitName.CONCURRENCY:
        return f"{account_subject(subject.removeprefix(_ACCOUNT))}.{name}"
    raise ValueError(
        f"{subject!r} has no limit {name!r}; a provider (provider:NAME) has concurrency and"
        " per_minute, an account (account:ID, or account:* for all others) has concurrency."
    )


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
