"""Health: how single looks become one answer, and what the checks make of what they find."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest

from authority.domain.errors import Unavailable
from authority.domain.health import HealthCheck, HealthStatus, checked, grade, span, worst
from authority.health import books, machine, stores
from authority.ledger.health import Audits, ServerState
from authority.usecases import health
from authority.usecases.health import Probe, SharedExamination, StoreProbe, examine

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


def a_check(name, status=HEALTHY):
    return HealthCheck(name, status, "seen")


def looks(*checks):
    async def look():
        return list(checks)

    return look


def fails(error):
    async def look():
        raise error

    return look


def test_the_whole_is_as_its_worst_part():
    assert worst([]) is HEALTHY
    assert worst([a_check("a"), a_check("b", DEGRADED)]) is DEGRADED
    assert worst([a_check("a", UNHEALTHY), a_check("b", DEGRADED)]) is UNHEALTHY


@pytest.mark.parametrize(
    ("value", "status"),
    [(0, HEALTHY), (9.9, HEALTHY), (10, DEGRADED), (19, DEGRADED), (20, UNHEALTHY)],
)
def test_a_value_is_graded_by_two_bounds(value, status):
    assert grade(value, 10, 20) is status
    assert grade(value, 10) is min(status, DEGRADED, key=list(HealthStatus).index)


def test_advice_is_for_what_is_not_healthy():
    assert checked("a", HEALTHY, "fine", "mend it").advice == ""
    assert checked("a", DEGRADED, "slow", "mend it").advice == "mend it"


def test_times_are_told_as_people_say_them():
    told = [span(seconds) for seconds in (0.0123, 1, 119, 120, 7_199, 7_200, 172_800)]
    assert told == ["12 ms", "1 s", "119 s", "2 min", "120 min", "2 h", "2 d"]


async def test_all_are_asked_and_answered_in_order():
    found = await examine(
        [StoreProbe("store", looks(a_check("store")), "")],
        [Probe("b", looks(a_check("b1"), a_check("b2"))), Probe("a", looks(a_check("a")))],
    )
    assert [row.check for row in found] == ["store", "b1", "b2", "a"]


async def test_where_a_store_is_away_who_needs_it_is_not_asked():
    asked = []

    async def look():
        asked.append(True)
        return []

    found = await examine(
        [
            StoreProbe("store", fails(Unavailable("It is away.")), "Start it."),
            StoreProbe("other", looks(a_check("other")), ""),
        ],
        [
            Probe("needs", look, frozenset({"store"})),
            Probe("needs_other", looks(a_check("needs_other")), frozenset({"other"})),
        ],
    )
    assert found[0] == HealthCheck("store", UNHEALTHY, "It is away.", "Start it.")
    assert (found[2].status, found[2].value) == (DEGRADED, "not looked at: store away")
    assert found[3].status is HEALTHY
    assert not asked


async def test_what_is_slow_or_at_fault_hides_nothing_else(monkeypatch):
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.05)
    found = await examine(
        [StoreProbe("store", asyncio.Event().wait, "Start it.")],
        [
            Probe("slow", asyncio.Event().wait),
            Probe("wrong", fails(KeyError("x"))),
            Probe("away", fails(Unavailable("No."))),
            Probe("fine", looks(a_check("fine"))),
        ],
    )
    assert [row.status for row in found] == [UNHEALTHY, DEGRADED, DEGRADED, DEGRADED, HEALTHY]
    assert found[2].value == "could not be looked at: KeyError"
    assert found[3].value == "No."
    assert all(row.advice for row in found[:4])


class Counted:
    """Looks when it is let, and counts how often it was asked to."""

    def __init__(self):
        self.count = 0
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_end.set()
        self.seconds = 100.0
        self.examination = SharedExamination(self.examine, self.now, lambda: self.seconds)

    async def examine(self):
        self.count += 1
        count = self.count
        self.began.set()
        await self.may_end.wait()
        return [a_check(f"look {count}")]

    def now(self):
        return datetime.fromtimestamp(self.seconds, UTC)

    async def find(self):
        found = await self.examination.find()
        return found.checks[0].check


async def test_a_flood_of_questions_is_one_look():
    looked = Counted()
    looked.may_end.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(looked.find()) for _ in range(100)]
        await asyncio.sleep(0)
        looked.may_end.set()
    assert {task.result() for task in asking} == {"look 1"}
    assert looked.count == 1


async def test_an_answer_is_shared_for_a_second_and_says_when_it_was_found():
    looked = Counted()
    assert await looked.find() == "look 1"
    looked.seconds += 0.9
    assert await looked.find() == "look 1"
    assert (await looked.examination.find()).read_time.timestamp() == 100
    looked.seconds += 0.1
    assert await looked.find() == "look 2"
    assert (await looked.examination.find()).read_time.timestamp() == 101


async def test_what_was_found_before_an_audit_is_told_to_nobody_after_it():
    looked = Counted()
    assert await looked.find() == "look 1"
    looked.examination.forget()
    assert await looked.find() == "look 2"
    looked.seconds += 1
    looked.may_end.clear()
    looked.began.clear()
    asked_before = asyncio.create_task(looked.find())
    await looked.began.wait()
    looked.examination.forget()
    looked.began.clear()
    asked_after = asyncio.create_task(looked.find())
    await looked.began.wait()
    looked.may_end.set()
    assert await asked_after == "look 4"
    assert await asked_before == "look 3"
    assert await looked.find() == "look 4"


async def test_a_look_that_fails_is_not_shared():
    looked = Counted()
    looked.examination = SharedExamination(fails(Unavailable("away")), looked.now)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await looked.examination.find()


class Redis:
    def __init__(self, **memory):
        self.memory = memory

    async def info(self, _):
        return self.memory


class Hot:
    epoch = 3

    def __init__(self, now_ms=0, **memory):
        self.now_ms = now_ms
        self.redis = Redis(**memory)

    async def time_ms(self):
        return self.now_ms


class Reader:
    """Answers what each method of HealthReader is to answer."""

    def __init__(self, **answers):
        self.answers = answers

    def __getattr__(self, name):
        async def answer(*_):
            return self.answers[name]

        return answer


@pytest.mark.parametrize(
    ("memory", "status", "word"),
    [
        ({"used_memory": 5_000_000}, HEALTHY, "5 MB"),
        ({"maxmemory_policy": "allkeys-lru"}, HEALTHY, "0 MB"),
        ({"maxmemory": 10**8, "maxmemory_policy": "allkeys-lru"}, DEGRADED, "allkeys-lru"),
        ({"maxmemory": 10**8, "used_memory": 9 * 10**7}, DEGRADED, "90 MB of 100 MB"),
        ({"maxmemory": 10**8, "used_memory": 8 * 10**7}, HEALTHY, "80 MB of 100 MB"),
    ],
)
async def test_a_hot_store_keeps_what_it_is_given(memory, status, word):
    (row,) = await stores.hot_store(Hot(**memory))
    assert (row.status, word in row.value) == (status, True)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ServerState("18.0", False, []), HEALTHY),
        (ServerState("18.0", True, []), UNHEALTHY),
        (ServerState("18.0", False, ["0016_usage"]), UNHEALTHY),
    ],
)
async def test_a_ledger_may_be_written_and_is_of_this_version(state, status):
    (row,) = await stores.ledger(Reader(server=state))
    assert (row.status, bool(row.advice)) == (status, status is not HEALTHY)


async def test_two_epochs_are_told():
    assert (await stores.epoch(Hot(), Reader(epoch=3)))[0].status is HEALTHY
    assert (await stores.epoch(Hot(), Reader(epoch=4)))[0].status is DEGRADED


@pytest.mark.parametrize(
    ("hot_ms", "ledger_ms", "status"),
    [
        (10_000, 10_000, HEALTHY),
        (10_900, 10_000, HEALTHY),
        (10_600, 9_500, DEGRADED),
        (10_000, 8_900, DEGRADED),
        (41_000, 10_000, UNHEALTHY),
    ],
)
async def test_clocks_agree_within_a_second(hot_ms, ledger_ms, status):
    (row,) = await stores.clocks(Hot(hot_ms), Reader(time_ms=ledger_ms), lambda: 10_000.0)
    assert row.status is status


async def test_a_slow_answer_is_no_skew():
    times = iter([10_000.0, 14_000.0, 14_000.0])
    (row,) = await stores.clocks(Hot(11_900), Reader(time_ms=14_000), lambda: next(times))
    assert row.value == "agree"


@pytest.mark.parametrize(
    ("late_ms", "status"), [(14_000, HEALTHY), (15_000, DEGRADED), (300_000, UNHEALTHY)]
)
async def test_what_should_have_expired_is_told(late_ms, status):
    reader = Reader(expired=(2, 1_000_000 - late_ms))
    (row,) = await books.expiry(reader, lambda: 1_000_000)
    assert row.status is status
    assert (await books.expiry(Reader(expired=(0, 0)), lambda: 1))[0].status is HEALTHY


async def test_lags_of_usage_and_of_telling_are_told():
    def now_ms():
        return 10_000_000

    for look, name in ((books.usage_log, "usage_lag"), (books.telling, "untold_alerts")):
        assert (await look(Reader(**{name: (0, 0)}), now_ms))[0].status is HEALTHY
        assert (await look(Reader(**{name: (3, 9_999_000)}), now_ms))[0].status is HEALTHY
        (row,) = await look(Reader(**{name: (3, 10_000_000 - 1_000_000)}), now_ms)
        assert row.status is DEGRADED
        assert row.value.startswith("3 ")


async def test_what_the_last_audits_found_is_told():
    (row,) = await books.drift(Reader(audits=Audits(["acme"], 2, 0)), lambda: 0)
    assert (row.status, row.value) == (UNHEALTHY, "2 differences: acme")
    assert "paymaster audit" in row.advice
    assert (await books.drift(Reader(audits=Audits([], 0, 1)), lambda: 0))[0].status is DEGRADED
    assert (await books.drift(Reader(audits=Audits([], 0, 0)), lambda: 0))[0].status is HEALTHY


class Waiting:
    def __init__(self, count):
        self.waiting_count = count


async def test_a_journal_that_does_not_keep_up_is_told():
    found = [(await books.journal(Waiting(count)))[0].status for count in (0, 1_000, 5_000)]
    assert found == [HEALTHY, DEGRADED, UNHEALTHY]


async def test_a_loop_that_has_ended_is_told():
    async def nothing():
        return None

    ended = asyncio.create_task(nothing(), name="sweeper")
    await ended
    running = asyncio.create_task(asyncio.Event().wait(), name="feed")
    assert (await machine.loops([running]))[0].status is HEALTHY
    (row,) = await machine.loops([running, ended])
    assert (row.status, row.value) == (UNHEALTHY, "ended: sweeper")
    running.cancel()


class Usage:
    def __init__(self, free):
        self.free, self.total = free, 1_000


@pytest.mark.parametrize(
    ("free", "status"), [(500, HEALTHY), (101, HEALTHY), (100, DEGRADED), (30, UNHEALTHY)]
)
async def test_a_full_disk_is_told(monkeypatch, tmp_path, free, status):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(free))
    (row,) = await machine.disk(tmp_path)
    assert (row.status, row.value.endswith(f" free in {tmp_path}")) == (status, True)


async def test_a_folder_that_is_gone_and_a_bucket_are_told(tmp_path):
    assert (await machine.disk(tmp_path / "gone"))[0].status is UNHEALTHY
    assert (await machine.disk(None))[0].status is HEALTHY


class Prices:
    def __init__(self, as_of):
        self.as_of = as_of


@pytest.mark.parametrize(
    ("as_of", "status"),
    [(date(2026, 3, 3), HEALTHY), (date(2026, 3, 2), DEGRADED), (None, HEALTHY)],
)
async def test_old_prices_are_told(as_of, status):
    (row,) = await machine.catalogue(Prices(as_of), lambda: date(2026, 5, 31))
    assert row.status is status
