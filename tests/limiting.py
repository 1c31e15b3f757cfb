"""Helpers for the limits of workers: a clock to be moved, and a model of what they must say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from redis.asyncio import Redis

from workers.limits import scripts

_CLOCK_KEY = "test:clock"
_TIME = "redis.call('TIME')"


class MovedClock:
    """The time that the scripts read, in ms."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now_ms = 1_763_700_000_000

    async def advance(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms
        await self.write()

    async def write(self) -> None:
        """Tell the store, which may have lost it."""
        seconds, ms = divmod(self.now_ms, 1000)
        await self.redis.mset({f"{_CLOCK_KEY}:s": seconds, f"{_CLOCK_KEY}:us": ms * 1000})


def load_with_clock(redis, script):
    """Return a script that reads the clock that tests move."""
    loaded = scripts.load(redis, script)
    assert _TIME in loaded.script, "a script reads the time by itself"
    read = f"redis.call('MGET', '{_CLOCK_KEY}:s', '{_CLOCK_KEY}:us')"
    return redis.register_script(loaded.script.replace(_TIME, read))


@dataclass
class Line:
    """Places for a while, and those who wait for one in order of rank."""

    limit: int
    held: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)

    def tidy(self, now):
        """Forget what has passed."""
        self.held = {who: until for who, until in self.held.items() if until > now}
        self.waiting = {who: wait for who, wait in self.waiting.items() if wait[1] > now}

    def before(self, rank):
        """How many wait that come sooner."""
        return sum(other < rank for other, _ in self.waiting.values())

    def is_full(self, who, rank):
        """Whether there is no place yet for this one."""
        free = self.limit - len(self.held)
        return self.limit and who not in self.held and self.before(rank) >= free


@dataclass
class Model:
    """What Limits must answer, for one provider. Times are in ms; 0 is no limit."""

    concurrency: int
    account_concurrency: int
    per_minute: int
    lease: int
    failures_max: int = 3
    open_ms: int = 10_000
    open_ms_max: int = 40_000

    def __post_init__(self):
        self.provider = Line(self.concurrency)
        self.accounts = {}
        self.burst = max(1, self.per_minute // 10)
        self.tokens, self.filled = float(self.burst), 0
        self.failures = 0
        self.until = None
        self.openings = 0
        self.probe = None

    def _fill(self, now):
        gained = (now - self.filled) * max(1, self.per_minute - self.burst) / 60_000
        self.tokens, self.filled = min(float(self.burst), self.tokens + gained), now

    def acquire(self, who, account, rank, now):
        """Return '' or why not, as acquire.lua does."""
        line = self.accounts.setdefault(account, Line(self.account_concurrency))
        self.provider.tidy(now)
        line.tidy(now)
        self._fill(now)
        why, waits = self._refusal(who, rank, now, line)
        for other in (self.provider, line):
            other.waiting.pop(who, None)
        if why:
            return why, waits
        if self.per_minute:
            self.tokens -= 1
        self.provider.held[who] = line.held[who] = now + self.lease
        if self.until is not None:
            self.probe = who
        return "", None

    def _refusal(self, who, rank, now, line):
        if self.until is not None and self.until > now:
            return "breaker_open", None
        if self.until is not None and self.probe in self.provider.held and self.probe != who:
            return "breaker_probing", None
        if line.is_full(who, rank):
            return "account_concurrency", line
        if self.provider.is_full(who, rank):
            return "provider_concurrency", self.provider
        if self.per_minute and self.provider.before(rank) >= math.floor(self.tokens + 1e-6):
            return "provider_rate", self.provider
        return "", None

    def wait(self, line, who, rank, retry_ms, now):
        """Let one that was turned away keep its turn."""
        line.waiting[who] = (rank, now + 2 * retry_ms + 3000)

    def release(self, who, account, *, used, now):
        """Give the places back."""
        self.provider.held.pop(who, None)
        self.accounts[account].held.pop(who, None)
        if self.probe == who:
            self.probe = None
        self._fill(now)
        if not used and self.per_minute:
            self.tokens = min(float(self.burst), self.tokens + 1)

    def report(self, who, outcome, now):
        """Tell the breaker."""
        was_probe, is_closed = self.probe == who, self.until is None
        if was_probe:
            self.probe = None
        if outcome == "opens":
            self._open(self.open_ms_max, 1, now)
        elif is_closed and outcome == "succeeded":
            self.failures = 0
        elif is_closed and outcome == "counts":
            self.failures += 1
            if self.failures >= self.failures_max:
                self._open(self.open_ms, 1, now)
        elif was_probe and outcome == "succeeded":
            self.until, self.openings = None, 0
        elif was_probe and outcome == "counts":
            n = self.openings + 1
            self._open(min(self.open_ms * 2 ** (n - 1), self.open_ms_max), n, now)

    def _open(self, ms, openings, now):
        self.until, self.openings, self.failures, self.probe = now + ms, openings, 0, None
