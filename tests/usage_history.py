"""Ninety days of use, made by the real operations under a moved clock.

Two tenants with users of unlike habits: weekdays are busy and nights are quiet, some days are
bursts, some work is settled a day late, in parts or not at all, some charges are given back weeks
later, and budgets deny. All of it follows from a seed. The days pass two changes of summer time.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import grpc

from authority.v1 import errors_pb2
from refusals import Refusal

DAYS = 90
DAY = timedelta(days=1)
# Monday to Sunday.
_WEEK = (1.0, 1.1, 1.2, 1.1, 0.9, 0.4, 0.3)
_BURST = 6.0
_BURSTS = 4
_TTL_S = 600


class Model(NamedTuple):
    """What may be asked for; `cost` is the usual one, in micros of USD."""

    kind: str
    provider: str
    model: str
    size: str
    quality: str
    cost: int
    unit: str


MODELS = (
    Model("image", "openai", "gpt-image-1", "1024x1024", "medium", 42_000, "IMAGES"),
    Model("image", "openai", "gpt-image-1", "1536x1024", "high", 250_000, "IMAGES"),
    Model("image", "fal", "flux-schnell", "1024x1024", "standard", 3_000, "IMAGES"),
    Model("chat", "groq", "llama-3.1-8b", "", "", 173, "MESSAGES"),
    Model("video", "fal", "seedance", "720p", "", 480_007, "VIDEOS"),
)


class User(NamedTuple):
    """An account, how much it does on a usual weekday, and what it likes, by model."""

    account: str
    per_day: float
    likes: tuple[int, ...]


USERS = (
    User("acme/ann", 4.0, (6, 1, 2, 1, 0)),
    User("acme/bob", 2.0, (0, 0, 1, 8, 0)),
    User("acme/cas", 1.0, (1, 1, 1, 1, 1)),
    User("umbra/dee", 3.0, (2, 0, 6, 0, 1)),
    User("umbra/eve", 1.5, (0, 3, 0, 0, 2)),
)


class Step(NamedTuple):
    """Something to do at a moment; `piece` is what it belongs to."""

    moment: datetime
    number: int
    verb: str
    piece: dict


async def make_accounts(stubs) -> None:
    """Make the tenants, their users and budgets, and prepaid credits for one of them."""
    for tenant in ("acme", "umbra"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 2_000_000_000, window="MONTH")
    for user in USERS:
        await stubs.account(user.account)
    # One that is often full, so that there are denials, and one that is paid for in advance.
    await stubs.set_budget("acme/cas", 300_000, window="DAY")
    await stubs.grant("umbra/eve", "CREDITS", 77_000_000, price=7_000_003)
    await stubs.grant("umbra/eve", "CREDITS", 40_000_000_000, priority=1, price=3_333_333_331)
    # Past it the dearer of two options is denied.
    await stubs.set_budget("umbra/dee", 500_000, window="WEEK", enforcement="DOWNGRADE")


def _adjustments(
    chance: random.Random, start: datetime, days: int
) -> Iterator[tuple[datetime, dict]]:
    for day in range(3, days, 9):
        amount = chance.choice((-1, 1)) * chance.randint(1, 5_000)
        moment = start + day * DAY + timedelta(hours=chance.uniform(0, 24))
        yield moment, {"account": chance.choice(USERS).account, "amount": amount}


async def live(stubs, clock, *, seed: int, days: int = DAYS) -> Counter:
    """Go through the days. Return how often each verb was answered, and denials as `denied`.

    `clock` is the hot store's, which is moved.
    """
    chance = random.Random(seed)
    done = Counter()
    numbers = itertools.count()
    start = first_day()
    steps = [
        Step(moment, next(numbers), "reserve", piece)
        for moment, piece in _pieces(chance, start, days)
    ]
    steps += [
        Step(moment, next(numbers), "adjust", piece)
        for moment, piece in _adjustments(chance, start, days)
    ]
    heapq.heapify(steps)
    while steps:
        step = heapq.heappop(steps)
        clock.offset_ms += int(step.moment.timestamp() * 1000) - clock.now_ms()
        for after, verb in await _do(stubs, chance, step, done):
            heapq.heappush(steps, Step(step.moment + after, next(numbers), verb, step.piece))
    clock.offset_ms += int((start + days * DAY).timestamp() * 1000) - clock.now_ms()
    return done


def first_day() -> datetime:
    """Return the next tenth of February: summer time begins in the days that follow."""
    now = datetime.now(UTC)  # noqa: TID251  # The clock may only be moved forward.
    this_year = datetime(now.year, 2, 10, tzinfo=UTC)
    return this_year if this_year > now else this_year.replace(year=now.year + 1)


def _pieces(chance: random.Random, start: datetime, days: int) -> Iterator[tuple[datetime, dict]]:
    bursts = {(chance.choice(USERS).account, chance.randrange(days)) for _ in range(_BURSTS)}
    for user, day in itertools.product(USERS, range(days)):
        date = start + day * DAY
        rate = user.per_day * _WEEK[date.weekday()]
        rate *= _BURST if (user.account, day) in bursts else 1
        for _ in range(_rounded(chance, rate)):
            # Most is done by day; the times have odd seconds, so that no bucket is met by luck.
            hour = min(max(chance.gauss(13, 5), 0), 23.99)
            moment = date + timedelta(hours=hour, milliseconds=chance.randrange(1000))
            yield moment, _piece(chance, user)


def _rounded(chance: random.Random, rate: float) -> int:
    return int(rate) + (chance.random() < rate % 1)


def _piece(chance: random.Random, user: User) -> dict:
    (model,) = chance.choices(MODELS, user.likes)
    count = 1 if model.kind == "chat" else chance.randint(1, 3)
    cost = int(model.cost * count * chance.uniform(0.5, 1.0))
    legs = {"USD": model.cost * count, model.unit: count}
    actual = {"USD": cost, model.unit: count}
    if user.account == "umbra/eve":
        legs["CREDITS"] = actual["CREDITS"] = 1_000_000 * count
    labels = {
        "kind": model.kind,
        "provider": model.provider,
        "model": model.model,
        "size": model.size,
        "quality": model.quality,
        "user": chance.choice(("", "u1", "u2")),
    }
    return {
        "account": user.account,
        "legs": legs,
        "options": [legs | {"USD": legs["USD"] * 3}, legs] if chance.random() < 0.3 else [legs],
        "actual": actual,
        "labels": {name: value for name, value in labels.items() if value},
        "end": chance.choices(
            ("commit", "over", "parts", "release", "expire", "late", "refund"),
            (60, 5, 8, 7, 4, 6, 10),
        )[0],
    }


async def _do(
    stubs, chance: random.Random, step: Step, done: Counter
) -> list[tuple[timedelta, str]]:
    """Do a step; return what is to be done how much later."""
    piece, verb = step.piece, step.verb
    if verb == "reserve":
        try:
            held = await stubs.reserve(
                piece["account"], *piece["options"], ttl=_TTL_S, labels=piece["labels"]
            )
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error.details()
            done[f"denied {_reason(error)}"] += 1
            return []
        piece["id"] = held.reservation.reservation_id
        done["reserve"] += 1
        return _ends(chance, piece["end"])
    if verb == "part":
        await stubs.commit(piece["id"], _scaled(piece["actual"], 2), final=False)
    elif verb == "commit":
        actual = piece["actual"]
        if piece["end"] == "over":
            actual = actual | {"USD": piece["legs"]["USD"] * 3 // 2}
        elif piece["end"] == "parts":
            part = _scaled(actual, 2)
            actual = {unit: amount - part[unit] for unit, amount in actual.items()}
        await stubs.commit(piece["id"], actual, final=True)
    elif verb == "adjust":
        await stubs.adjust(piece["account"], {"USD": piece["amount"]})
    elif verb == "release":
        await stubs.release(piece["id"])
    elif verb == "refund":
        # Less than was charged, whatever that was; the second time all the rest.
        amounts = {"USD": max(1, piece["actual"]["USD"] // 3)} if chance.random() < 0.5 else None
        await stubs.refund(piece["id"], amounts)
    done[verb] += 1
    return []


def _reason(error: grpc.aio.AioRpcError) -> str:
    denial = Refusal.of(error).detail(errors_pb2.Denial)
    return errors_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")


def _ends(chance: random.Random, end: str) -> list[tuple[timedelta, str]]:
    soon = timedelta(seconds=chance.uniform(1, 90))
    if end == "expire":
        return []
    if end == "late":
        return [(timedelta(hours=chance.uniform(1, 30)), "commit")]
    if end == "parts":
        return [(soon, "part"), (soon * 2, "commit")]
    if end == "refund":
        return [(soon, "commit"), (timedelta(days=chance.uniform(0.1, 25)), "refund")]
    return [(soon, "release" if end == "release" else "commit")]


def _scaled(amounts: dict, parts: int) -> dict:
    return {unit: amount // parts for unit, amount in amounts.items()}
