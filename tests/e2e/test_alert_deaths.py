"""Each threshold is told once, whoever is killed: the authority, or the receiver of webhooks."""

from __future__ import annotations

import asyncio
import collections
import itertools
import random
import signal
import sys
from pathlib import Path

import grpc
import pytest

import receivers
from alarming import Alarming, webhook
from authorities import new_key
from authority.embedded.ports import choose
from authority.v1 import alert_service_pb2 as messages
from receivers import Receiver
from support import eventually

pytestmark = pytest.mark.timeout(180)

ACCOUNTS = [f"acme/{name}" for name in "abcdefgh"]
LIMIT = 1_000
PART = 30
PARTS = 40
THRESHOLDS = (75, 80, 90, 100)
UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
DELIVERED = messages.ALERT_DELIVERY_STATE_DELIVERED


async def insist(call):
    """Call again and again, as clients do, until it is answered."""

    async def answered():
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() in UNKNOWN:
                return None
            raise

    return await eventually(answered, 60)


async def spend(stubs, account, amount):
    """Reserve and commit, however often it takes."""
    reserved, committed = new_key(), new_key()
    held = await insist(lambda: stubs.reserve(account, {"USD": amount}, key=reserved))
    name = held.reservation.reservation_id
    await insist(lambda: stubs.commit(name, {"USD": amount}, key=committed))


class ReceiverProcess:
    """A receiver as a process: what it has had survives it."""

    def __init__(self, folder: Path) -> None:
        self.port = choose()
        self.secret = ""
        self.kept = Receiver(folder)
        self._folder = folder
        self._process = None

    @property
    def url(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    async def start(self):
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, receivers.__file__, str(self.port), str(self._folder), self.secret)
        )

    async def kill(self):
        """Kill it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
async def receiver(tmp_path):
    """A receiver, not started yet."""
    folder = tmp_path / "receiver"
    folder.mkdir()
    made = ReceiverProcess(folder)
    yield made
    await made.kill()


@pytest.fixture
def restart(monkeypatch):
    """A function that starts an authority a minute later than the last time, by its clock.

    So it finds what a dead one had leased, and what failed, to be due.
    """
    minutes = itertools.count()

    async def started(process):
        monkeypatch.setenv("AUTHORITY_ALERTS_PRIVATE", "1")
        monkeypatch.setenv("AUTHORITY_CLOCK_OFFSET_MS", str(next(minutes) * 60_000))
        return await process.start()

    return started


async def deliveries(alarming, rule):
    """Return all deliveries of a rule."""
    return await insist(
        lambda: alarming.call("ListAlertDeliveries", rule_id=rule.rule_id, page_size=1_000)
    )


class World:
    """Callers that spend, and what kills those that they need."""

    def __init__(self, stubs, process, receiver, restart) -> None:
        self.stubs = stubs
        self.process = process
        self.receiver = receiver
        self.spent = 0
        self._restart = restart
        self._chosen = random.Random(11)

    async def traffic(self, account):
        """Spend beyond the limit of an account."""
        for _ in range(PARTS):
            await spend(self.stubs, account, PART)
            self.spent += 1

    async def deaths(self):
        """Kill the authority, the receiver, or both, again and again while something goes on."""
        for victim in ("both", *self._chosen.choices(["authority", "receiver", "both"], k=5)):
            had, tries = self.spent, len(self.receiver.kept.tries)
            await eventually(lambda had=had, tries=tries: self._went_on(had, tries), 60)
            await self.die(victim)

    def _went_on(self, had, tries):
        ended = self.spent == len(ACCOUNTS) * PARTS
        return ended or self.spent >= had + 30 or len(self.receiver.kept.tries) > tries

    async def die(self, victim):
        """Kill one or both, and start them again."""
        if victim != "receiver":
            await self.process.send(signal.SIGKILL)
        if victim != "authority":
            await self.receiver.kill()
            await self.receiver.start()
        if victim != "receiver":
            await self._restart(self.process)

    async def settle(self, condition):
        """Wait for a condition: what was under way when somebody died is due a minute later."""
        for _ in range(5):
            try:
                return await eventually(condition, 8)
            except AssertionError:
                await self.die("authority")
        return await eventually(condition, 8)


async def test_each_threshold_is_told_once_whoever_dies(
    make_authority_process, ledger_url, redis_url, receiver, restart
):
    process = await make_authority_process(ledger_url, redis_url)
    stubs = await restart(process)
    alarming = Alarming(stubs)
    await stubs.account("acme")
    for account in ACCOUNTS:
        await stubs.account(account)
        # One that never starts anew while minutes pass.
        await stubs.set_budget(account, LIMIT, enforcement="NOTIFY", window="TOTAL")
    rule = await alarming.rule(channels=[webhook(receiver.url)])
    receiver.secret = rule.channels[0].secret
    await receiver.start()
    world = World(stubs, process, receiver, restart)
    async with asyncio.TaskGroup() as group:
        for account in ACCOUNTS:
            group.create_task(world.traffic(account))
        group.create_task(world.deaths())

    expected = {(account, threshold) for account in ACCOUNTS for threshold in THRESHOLDS}

    async def all_told():
        found = (await deliveries(alarming, rule)).deliveries
        return len(found) == len(expected) and all(item.state == DELIVERED for item in found)

    await world.settle(all_told)
    bodies = [line["body"]["data"] for line in receiver.kept.received]
    told = collections.Counter((body["account"], body["details"]["threshold"]) for body in bodies)
    assert told == dict.fromkeys(expected, 1)
    tries = receiver.kept.tries
    assert all(line["verified"] for line in tries)
    # Each by one id, however often it was tried.
    assert len({line["id"] for line in tries}) == len(expected)
    raised = (await alarming.call("ListAlerts", page_size=1_000)).alerts
    assert len(raised) == len(expected)
    assert await stubs.differences() == []


async def test_who_dies_before_the_answer_comes_tells_it_again_under_the_same_id(
    make_authority_process, ledger_url, redis_url, tmp_path, restart
):
    """The receiver has had it; nobody has written that down."""
    folder = tmp_path / "receiver"
    folder.mkdir()
    process = await make_authority_process(ledger_url, redis_url)
    stubs = await restart(process)
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT, enforcement="NOTIFY", window="TOTAL")
    alarming = Alarming(stubs)
    with receivers.receiving(folder) as receiver:
        receiver.hold = receivers.threading.Event()
        rule = await alarming.rule(channels=[webhook(receiver.url)])
        receiver.secret = rule.channels[0].secret
        await spend(stubs, "acme", LIMIT * 3 // 4)
        await eventually(lambda: receiver.received, 20)
        await process.send(signal.SIGKILL)
        receiver.hold.set()
        await restart(process)

        async def told():
            (delivery,) = (await deliveries(alarming, rule)).deliveries
            return delivery if delivery.state == DELIVERED else None

        delivery = await eventually(told, 30)
        assert len(receiver.tries) == 2
        assert {line["id"] for line in receiver.tries} == {delivery.delivery_id.partition("/")[2]}
        assert len(receiver.received) == 1
