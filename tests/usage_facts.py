"""Usage made up for tests, and every figure of it counted again by hand, with no code of ours."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MEASURES = (
    *("images", "videos", "messages", "input_tokens", "output_tokens", "actual", "charged"),
    *("refunded", "credits", "revenue", "saved", "duration_ms"),
)
OUTCOMES = (
    *("SUCCEEDED", "FAILED", "PART", "DENIED", "RELEASED", "EXPIRED", "REFUNDED", "ADJUSTED"),
    *("HIT", "REVERSED"),
)
FLAGS = ("downgraded", "fallback", "presumed_spent", "late")
COLUMNS = (
    *("tenant", "event_time", "sequence", "account", "user_name", "outcome", "kind", "provider"),
    *("model", "size", "quality", "images", "videos", "messages", "input_tokens", "output_tokens"),
    *("actual_micros", "charged_micros", "absorbed_micros", "refunded_micros", "credits_micros"),
    *("revenue_micros", "saved_micros", "duration_ms", "cached", "entry_id", "downgraded"),
    *("downgrade_reason", "fallback", "presumed_spent", "late", "error_class", "reason"),
)
# Numbers are spread so that a sum with one event too many or too few differs from the right one.
_MODELS = (
    *(("image", "openai", "gpt-image-1", "1024x1024", quality) for quality in ("low", "high")),
    ("image", "fal", "flux", "512x512", "standard"),
    ("chat", "openai", "gpt-4o-mini", "", ""),
    ("video", "fal", "kling", "720p", "standard"),
    ("", "", "", "", ""),
)


def make_events(seed, count, start, days, *, tenants=("acme", "beta"), people=4):
    """Return events as dicts, each tenant's in the order of its sequence and time."""
    chance = random.Random(seed)
    moments = sorted(
        start + timedelta(milliseconds=chance.randrange(days * 86_400_000)) for _ in range(count)
    )
    sequences = defaultdict(int)
    events = []
    for moment in moments:
        tenant = chance.choice(tenants)
        sequences[tenant] += chance.randrange(1, 3)
        events.append(_event(chance, tenant, sequences[tenant], moment, people))
    return events


def _event(chance, tenant, sequence, moment, people):
    outcome = chance.choice((*OUTCOMES, *["SUCCEEDED"] * 10))
    person = chance.randrange(people + 1)
    kind, provider, model, size, quality = chance.choice(_MODELS)
    made = outcome in ("SUCCEEDED", "FAILED", "PART")
    actual = chance.randrange(200_000) if made else 0
    charged = min(actual, chance.randrange(250_000))
    if outcome == "ADJUSTED":
        charged = chance.randrange(-1000, 1000)
    return {
        "tenant": tenant,
        "event_time": moment,
        "sequence": sequence,
        "account": f"{tenant}/p{person}" if person else tenant,
        "user_name": chance.choice(("", "ada", "bob")) if person % 2 else "",
        "outcome": outcome,
        "kind": kind,
        "provider": provider,
        "model": model,
        "size": size,
        "quality": quality,
        "images": chance.randrange(4) if made and kind == "image" else 0,
        "videos": int(made and kind == "video"),
        "messages": int(made and kind == "chat"),
        "input_tokens": chance.randrange(5000) if made and kind == "chat" else 0,
        "output_tokens": chance.randrange(900) if made and kind == "chat" else 0,
        "actual_micros": actual,
        "charged_micros": charged,
        "absorbed_micros": actual - charged,
        "refunded_micros": chance.randrange(9000) if outcome == "REFUNDED" else 0,
        "credits_micros": chance.randrange(3_000_000) if made else 0,
        "revenue_micros": chance.randrange(300_000) if made else 0,
        "saved_micros": {"HIT": 7001, "REVERSED": -7001}.get(outcome, 0),
        "duration_ms": chance.randrange(30_000) if outcome == "SUCCEEDED" else None,
        "cached": "exact" if outcome in ("HIT", "REVERSED") else "",
        "entry_id": f"{tenant}/e{chance.randrange(15)}" if outcome in ("HIT", "REVERSED") else None,
        "downgraded": made and chance.random() < 0.1,
        "downgrade_reason": "",
        "fallback": made and chance.random() < 0.1,
        "presumed_spent": outcome == "FAILED" and chance.random() < 0.5,
        "late": outcome == "SUCCEEDED" and chance.random() < 0.05,
        "error_class": chance.choice(("rate_limited", "content_refused"))
        if outcome == "FAILED"
        else "",
        "reason": "BUDGET_EXHAUSTED" if outcome == "DENIED" else "",
    }


def count_again(events):
    """Return what UsageSums has to say of events, as a dict without what is zero."""
    sums = defaultdict(int)
    for event in events:
        sums[f"{event['outcome'].lower()}_count"] += 1
        for name in MEASURES:
            column = name if name in event else f"{name}_micros"
            sums[name] += event[column] or 0
        sums["duration_count"] += event["duration_ms"] is not None
        if event["outcome"] in ("SUCCEEDED", "FAILED"):
            for flag in FLAGS:
                sums[f"{flag}_count"] += event[flag]
    return {name: value for name, value in sums.items() if value}


def step_of(moment, interval, time_zone):
    """Return when the step of a series began that holds a moment."""
    local = moment.astimezone(ZoneInfo(time_zone))
    day = local.date()
    if interval == "hour":
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return local.astimezone(UTC) - past
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    elif interval == "year":
        day = day.replace(month=1, day=1)
    return datetime(day.year, day.month, day.day, tzinfo=local.tzinfo).astimezone(UTC)


def grouped(events, key):
    """Return lists of events by a key."""
    groups = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


def as_text(value):
    """Return a value as a group names it."""
    return str(value).lower() if isinstance(value, bool) else value


async def write_events(connection, events):
    """Copy events into the log."""
    copy = f"COPY usage_event ({', '.join(COLUMNS)}) FROM STDIN"
    async with connection.cursor() as cursor, cursor.copy(copy) as writer:
        for event in events:
            await writer.write_row([event[name] for name in COLUMNS])
