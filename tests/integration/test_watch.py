"""Who looks, when, and that what two of them find is told once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from authority.alerting.detectors.base import HOUR_MS, MINUTE_MS, Schedule
from authority.alerting.detectors.grants import ExpiringGrants
from authority.alerting.watch import Watch
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.errors import Unavailable
from authority.ledger.alert_retention import AlertRetention
from authority.ledger.watching import PostgresWatch
from support import eventually

NOON_MS = 1_795_262_400_000


class Clock:
    """The hot store's clock, as this test moves it."""

    def __init__(self) -> None:
        self.time_ms = NOON_MS

    def now_ms(self) -> int:
        return self.time_ms

    def observe(self, now_ms: int) -> None:
        self.time_ms = now_ms


class Finds:
    """A detector that finds one case for each key that it is given, and may fail after these."""

    def __init__(self, name, keys=(), *, error=None) -> None:
        self.schedule = Schedule(name, 10 * MINUTE_MS)
        self.keys = list(keys)
        self.error = error
        self.looks = 0

    async def find(self, look):
        self.looks += 1
        for key in self.keys:
            yield NewAlert(
                kind=AlertKind.TEST,
                tenant="acme",
                account="acme",
                dedup_key=key,
                severity=Severity.INFO,
                summary="found",
                details={},
                raise_time=look.now,
            )
        if self.error is not None:
            raise self.error


@pytest.fixture
async def store(authority):
    """What watches read, and where they say what they found."""
    return PostgresWatch(authority[0].core.database)


@pytest.fixture
def make_watch(ledger_url, store, authority):
    """A function that makes a watch with a clock of the test."""

    kept = AlertRetention(authority[0].core.database, timedelta(days=32))

    def make(clock, *detectors, retention=kept):
        return Watch(ledger_url, store, clock, detectors, retention)

    return make


async def count(url, statement):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement)
        return (await cursor.fetchone())[0]


ALERTS = "SELECT count(*) FROM alert WHERE kind = 'TEST'"


async def test_each_looks_when_it_is_due_whoever_has_looked_last(make_watch, ledger_url):
    clock, detector = Clock(), Finds("a-test", ["one"])
    assert await make_watch(clock, detector).tick() == 1
    assert await make_watch(clock, detector).tick() == 0
    assert detector.looks == 1, "another leader knows when it has looked"
    clock.time_ms += 10 * MINUTE_MS
    detector.keys.append("two")
    assert await make_watch(clock, detector).tick() == 1
    assert detector.looks == 2
    assert await count(ledger_url, ALERTS) == 2


async def test_one_that_fails_holds_up_no_other_and_waits_for_its_turn(make_watch, ledger_url):
    clock = Clock()
    failing = Finds("a-failing", ["before"], error=ValueError("broken"))
    good = Finds("b-good", ["good"])
    watch = make_watch(clock, failing, good)
    assert await watch.tick() == 1  # what the failing one had found before is told all the same
    assert await count(ledger_url, ALERTS) == 2
    await watch.tick()
    assert (failing.looks, good.looks) == (1, 1)


async def test_a_store_that_is_away_ends_the_tick(make_watch):
    away = Finds("a-away", error=Unavailable("away"))
    good = Finds("b-good")
    with pytest.raises(Unavailable):
        await make_watch(Clock(), away, good).tick()
    assert good.looks == 0


async def test_what_two_find_at_the_same_moment_is_told_once(make_watch, ledger_url):
    keys = [f"case-{number}" for number in range(40)]
    watches = [make_watch(Clock(), Finds(f"of-{number}", keys)) for number in range(4)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch.tick()) for watch in watches]
    assert sum(task.result() for task in tasks) == len(keys)
    assert await count(ledger_url, ALERTS) == len(keys)


async def test_one_looks_and_another_takes_over(make_watch, ledger_url, monkeypatch):
    monkeypatch.setattr("authority.alerting.watch.TICK_SECONDS", 0.01)
    clock = Clock()
    detectors = [Finds("first"), Finds("second")]
    for detector in detectors:
        detector.schedule = Schedule(detector.schedule.name, 0)
    first, second = (asyncio.create_task(make_watch(clock, item).run()) for item in detectors)
    # The authority of the fixture may lead: it has to be out of the way.
    lost = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    async def has_looked(detector):
        if not detector.looks:
            await count(ledger_url, f"WITH lost AS ({lost}) SELECT count(*) FROM lost")
            await asyncio.sleep(0.1)
        return detector.looks

    try:
        for detector in detectors:
            await eventually(lambda detector=detector: has_looked(detector), 30)
    finally:
        for task in (first, second):
            task.cancel()
        await asyncio.wait([first, second])


async def test_time_is_told_to_the_second(make_watch, ledger_url):
    await make_watch(Clock(), Finds("a-test", ["one"])).tick()
    raised = await count(ledger_url, "SELECT raise_time FROM alert WHERE kind = 'TEST'")
    assert raised == datetime.fromtimestamp(NOON_MS / 1000, UTC)


class Deletes:
    """What deletes one row for each batch that it is given, and may fail after these."""

    def __init__(self, batches, *, error=None) -> None:
        self.batches = batches
        self.error = error
        self.asked: list[datetime] = []

    async def delete_some(self, now):
        self.asked.append(now)
        if self.batches:
            self.batches -= 1
            return 1
        if self.error is not None:
            raise self.error
        return 0


async def test_what_is_old_goes_once_an_hour_whoever_has_seen_to_it_last(make_watch):
    clock, retention = Clock(), Deletes(2)
    for _ in range(2):
        await make_watch(clock, retention=retention).tick()
    assert len(retention.asked) == 3
    clock.time_ms += HOUR_MS
    await make_watch(clock, retention=retention).tick()
    assert retention.asked[2:] == [
        datetime.fromtimestamp((NOON_MS + later) / 1000, UTC) for later in (0, HOUR_MS)
    ]


async def test_much_that_is_old_keeps_no_detector_waiting(make_watch):
    clock, retention, detector = Clock(), Deletes(45), Finds("a-test")
    watch = make_watch(clock, detector, retention=retention)
    detector.schedule = Schedule("a-test", 0)
    counts = []
    for _ in range(4):
        await watch.tick()
        counts.append(len(retention.asked))
    assert counts == [20, 40, 46, 46]
    assert detector.looks == 4


async def test_a_deletion_that_fails_waits_for_its_turn(make_watch):
    clock, retention = Clock(), Deletes(0, error=ValueError("broken"))
    watch = make_watch(clock, retention=retention)
    for _ in range(2):
        await watch.tick()
    assert len(retention.asked) == 1
    clock.time_ms += HOUR_MS
    retention.error = Unavailable("away")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await watch.tick()
    assert len(retention.asked) == 3, "a store that was away is asked again at once"


async def test_the_leader_deletes_what_is_old(make_watch, ledger_url):
    clock = Clock()
    await make_watch(clock, Finds("a-test", ["one"])).tick()
    delivered = "WITH done AS (UPDATE webhook_delivery SET state = 'DELIVERED' RETURNING 1)"
    await count(ledger_url, f"{delivered} SELECT count(*) FROM done")
    clock.time_ms += 33 * 24 * HOUR_MS
    await make_watch(clock).tick()
    assert await count(ledger_url, ALERTS) == 0


def test_detectors_have_names_of_their_kind():
    assert ExpiringGrants.schedule.name.upper() in AlertKind.__members__
