"""The Lua scripts of the limits. Each is a file, with the shared ones before it."""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

_FOLDER = files("workers.limits") / "scripts"


class LimitScript(StrEnum):
    """The scripts by the name of their file."""

    ACQUIRE = "acquire"
    RELEASE = "release"
    REPORT = "report"
    RENEW = "renew"


_SHARED = {
    LimitScript.ACQUIRE: ("_clock", "_life", "_semaphore", "_rate", "_breaker"),
    LimitScript.RELEASE: ("_clock", "_rate"),
    LimitScript.REPORT: ("_clock", "_breaker"),
    LimitScript.RENEW: ("_clock", "_life"),
}


def load(redis: Redis, script: LimitScript) -> AsyncScript:
    """Return a script, to be called on the connection."""
    names = (*_SHARED[script], script.value)
    text = "\n".join((_FOLDER / f"{name}.lua").read_text() for name in names)
    return redis.register_script(text)
