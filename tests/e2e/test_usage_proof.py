"""Every figure of UsageService, beside a recount of the ledger by DuckDB, in unlike time zones.

Ninety days of use go through the real operations under a moved clock (usage_history.py).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import grpc
import psycopg

from authorities import Stubs
from authority.bootstrap import running_authority
from authority.v1 import usage_service_pb2 as usage
from authority.v1 import usage_service_pb2_grpc
from support import eventually
from usage_history import DAY, first_day, live, make_accounts
from usage_recount import INTERVALS, SUMS, Recount

DIMENSIONS = (
    *("tenant", "account", "user_name", "kind", "provider", "model", "size", "quality"),
    *("outcome", "downgraded", "late"),
)
# Half an hour off, with summer time; a quarter off; and with a summer time of half an hour.
ZONES = ("America/St_Johns", "UTC", "Asia/Kathmandu", "Australia/Lord_Howe")
START = first_day()
# All of it, with what follows the last day; and a time that is aligned to nothing.
WHOLE = (START - DAY, START + 130 * DAY)
RAGGED = (START + timedelta(days=3, hours=5, minutes=15), START + timedelta(days=57, minutes=45))


VERBS = ("commit", "part", "release", "refund", "adjust", "denied BUDGET_EXHAUSTED")
# What is asked of the recount, and of the service.
FILTERS = {
    "kind IN ('image', 'video')": {"kinds": ["image", "video"]},
    "provider = 'fal' AND outcome = 'succeeded'": {
        "providers": ["fal"],
        "outcomes": ["USAGE_OUTCOME_SUCCEEDED"],
    },
    "model = 'seedance' AND user_name = 'u1'": {"models": ["seedance"], "users": ["u1"]},
    "size = '1024x1024'": {"sizes": ["1024x1024"]},
    "quality IN ('medium', 'high')": {"qualities": ["medium", "high"]},
    "late": {"late": True},
    "NOT downgraded AND outcome <> 'denied'": {
        "downgraded": False,
        "outcomes": [name for name in usage.UsageOutcome.keys()[1:] if not name.endswith("DENIED")],
    },
}


class Usage:
    """Asks UsageService, and returns sums as the recount does."""

    def __init__(self, stubs) -> None:
        self._stub = usage_service_pb2_grpc.UsageServiceStub(stubs.channel)
        self._metadata = stubs.metadata

    async def query(self, span, *by, interval="", **fields):
        """Ask for the sums of a time."""
        request = usage.QueryUsageRequest(
            group_by=[f"USAGE_DIMENSION_{name.removesuffix('_name').upper()}" for name in by],
            page_size=60,
            **fields,
        )
        if interval:
            request.interval = f"USAGE_INTERVAL_{interval.upper()}"
        request.start_time.FromDatetime(span[0])
        request.end_time.FromDatetime(span[1])
        return await self._stub.QueryUsage(request, metadata=self._metadata)

    async def is_in(self, zone):
        """Say whether days are counted in a time zone."""
        return (await self.query(WHOLE)).time_zone == zone


def sums_of(message):
    """Return what the recount has too; the rest follows from it, or is of generations alone."""
    assert message.absorbed == message.actual - message.charged
    assert message.margin == message.revenue - message.actual
    assert [message.input_tokens, message.saved, message.fallback_count] == [0, 0, 0]
    return {name: getattr(message, name) for name in SUMS}


def groups_of(response):
    """Return the sums of groups by their values."""
    return {
        tuple(item.value.lower() if item.dimension == 9 else item.value for item in group.values): (
            sums_of(group.sums)
        )
        for group in response.groups
    }


def points_of(points):
    """Return the sums of a series by when its steps start."""
    return {(str(point.start_time.seconds),): sums_of(point.sums) for point in points}


def total(parts):
    """Return the sums of sums."""
    return {name: sum(part[name] for part in parts) for name in SUMS}


@asynccontextmanager
async def connected(running):
    """Give the services of an authority."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        yield Stubs(channel)


async def settled(ledger_url):
    """Say whether nothing is held any more, and every operation is in the usage log."""
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        held = await connection.execute("SELECT count(*) FROM reservation WHERE state = 'HELD'")
        if (await held.fetchone())[0]:
            return False
        found = await connection.execute(
            "SELECT count(*) FROM (SELECT tenant, max(sequence) AS sequence FROM operation"
            " GROUP BY tenant) AS head LEFT JOIN usage_cursor USING (tenant)"
            " WHERE head.sequence IS DISTINCT FROM usage_cursor.sequence"
        )
        return (await found.fetchone())[0] == 0


async def test_every_figure_is_that_of_a_recount(authority_settings, ledger_url, tmp_path):
    settings, recounts = authority_settings, {}
    for zone in ZONES:
        # What the first one has added up as it went, those after it add up anew.
        settings = settings.model_copy(update={"reporting_time_zone": zone})
        async with running_authority(settings) as running, connected(running) as stubs:
            if not recounts:
                await make_accounts(stubs)
                done = await live(stubs, running.core.hot.clock, seed=7)
                settings.clock_offset_ms = running.core.hot.clock.offset_ms
                assert min(done[verb] for verb in VERBS) > 5, done
                await eventually(lambda: settled(ledger_url), seconds=60)
            recounts[zone] = Recount(zone)
            (tmp_path / zone).mkdir(parents=True)
            await recounts[zone].read(ledger_url, tmp_path / zone)
            asked = Usage(stubs)
            await eventually(partial(asked.is_in, zone))
            await _check_sums(asked, recounts[zone], zone)
            await _check_filters(asked, recounts[zone])
            await _check_denials(asked, done)
            assert await stubs.differences() == []


async def _check_sums(asked, recount, zone):
    for span in (WHOLE, RAGGED):
        expected = recount.sums(*span)[()]
        response = await asked.query(span)
        assert (sums_of(response.totals), response.time_zone) == (expected, zone)
        for interval in INTERVALS:
            response = await asked.query(span, interval=interval)
            points = points_of(response.points)
            assert points == recount.sums(*span, interval), interval
            assert total(points.values()) == expected
        for by in (*((name,) for name in DIMENSIONS), ("account", "model"), ("kind", "outcome")):
            response = await asked.query(span, *by, interval="week")
            groups = groups_of(response)
            assert groups == recount.sums(*span, *by), by
            assert total(groups.values()) == expected
            for group in response.groups:
                assert total(points_of(group.points).values()) == sums_of(group.sums)


async def _check_filters(asked, recount):
    for span in (WHOLE, RAGGED):
        for where, fields in FILTERS.items():
            wanted = usage.UsageFilter(**fields)
            response = await asked.query(span, "account", interval="day", filter=wanted)
            assert groups_of(response) == recount.sums(*span, "account", where=where), where
            assert points_of(response.points) == recount.sums(*span, "day", where=where), where
        for account in ("acme", "umbra/eve"):
            where = f"account = '{account}' OR starts_with(account, '{account}/')"
            response = await asked.query(span, "model", account=account)
            assert groups_of(response) == recount.sums(*span, "model", where=where)
            response = await asked.query(span, interval="hour", account=account)
            assert points_of(response.points) == recount.sums(*span, "hour", where=where)


async def _check_denials(asked, done):
    """Hold the reasons of denials against what the callers were told."""
    response = await asked.query(WHOLE, "reason")
    denied = {
        f"denied {group.values[0].value}": group.sums.denied_count
        for group in response.groups
        if group.sums.denied_count
    }
    assert denied == {name: count for name, count in done.items() if name.startswith("denied")}
