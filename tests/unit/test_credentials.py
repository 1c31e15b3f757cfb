"""Tokens and what is remembered of them: for seconds, and longer while the ledger is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authority.domain.callers import ROOT, ApiKey, Scope, StoredKey
from authority.domain.errors import NotSignedIn, Unavailable
from authority.domain.tokens import Token, is_api_key_id
from authority.usecases import credentials as module
from authority.usecases.credentials import KEY_SECONDS, Credentials
from support import eventually

NOW = datetime(2026, 12, 1, tzinfo=UTC)


class Keys:
    """A ledger that can be away, or slow."""

    def __init__(self):
        self.stored = {}
        self.reads = 0
        self.away = False
        self.slow = asyncio.Event()
        self.slow.set()

    def add(self, **changes):
        token = Token.new()
        key = replace(
            ApiKey(token.api_key_id, "acme", frozenset({Scope.SPEND}), "checkout", NOW), **changes
        )
        self.stored[token.api_key_id] = StoredKey(key, token.secret_hash)
        return token

    def revoke(self, token):
        stored = self.stored[token.api_key_id]
        key = replace(stored.key, revoke_time=NOW)
        self.stored[token.api_key_id] = StoredKey(key, stored.secret_hash)

    async def find(self, api_key_id):
        self.reads += 1
        await self.slow.wait()
        if self.away:
            raise Unavailable("away")
        return self.stored.get(api_key_id)


class World:
    """Credentials over such a ledger, with clocks that stand still."""

    def __init__(self, root=""):
        self.keys = Keys()
        self.seconds = 0.0
        self.now = NOW
        self.credentials = Credentials(
            self.keys, root, lambda: int(self.now.timestamp() * 1000), lambda: self.seconds
        )

    async def signed_in(self, token):
        text = token if isinstance(token, str) else token.text
        known = self.credentials.known(text)
        try:
            caller = await self.credentials.caller(text)
        except NotSignedIn as refused:
            assert "secret" not in refused.message
            caller = None
        # What is answered without asking is what would have been answered.
        assert known in {None, caller}
        return caller


@pytest.fixture
async def world():
    return World()


def test_a_token_is_read_as_it_was_written():
    for _ in range(200):
        token = Token.new()
        assert is_api_key_id(token.api_key_id)
        read = Token.parse(token.text)
        assert (read.api_key_id, read.secret) == (token.api_key_id, token.secret)
        assert token.secret not in repr(token)
        assert token.matches(read.secret_hash)
        assert not token.matches(Token.new().secret_hash)


CHANGES = {
    "shorter": lambda text: text[:-1],
    "longer": lambda text: text + "A",
    "with its line break": lambda text: text + "\n",
    "in capitals": lambda text: text.upper(),
    "with another mark": lambda text: text.replace("pm_", "pm__"),
    "without the mark": lambda text: text[3:],
    "with another letter": lambda text: text[:-1] + "é",
    "nothing but the mark": lambda _: "pm__",
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_token_of_another_form_asks_the_ledger_nothing(world, change):
    token = world.keys.add()
    assert await world.signed_in(change(token.text)) is None
    assert world.keys.reads == 0


async def test_a_key_lets_in_whom_it_stands_for(world):
    caller = await world.signed_in(world.keys.add())
    assert (caller.tenant, caller.scopes) == ("acme", {Scope.SPEND})
    assert caller.actor == f"checkout ({caller.id})"


async def test_another_secret_does_not(world):
    token = world.keys.add()
    assert await world.signed_in(Token(token.api_key_id, Token.new().secret)) is None
    assert await world.signed_in(Token.new()) is None
    # Nor once the key was seen.
    assert await world.signed_in(token)
    assert await world.signed_in(Token(token.api_key_id, Token.new().secret)) is None


async def test_the_root_token_is_the_one_that_was_set():
    world = World(root="s3cret")
    assert await world.signed_in("s3cret") is ROOT
    for other in ("", "s3cre", "s3crets", "S3cret"):
        assert await world.signed_in(other) is None
    assert await World(root="").signed_in("") is None


async def test_a_key_ends_when_it_says(world):
    token = world.keys.add(expire_time=NOW + timedelta(seconds=1))
    assert await world.signed_in(token)
    world.now += timedelta(seconds=1)
    assert await world.signed_in(token) is None
    assert world.keys.reads == 1


async def test_a_token_that_was_let_in_is_known_for_as_long_as_its_key_is_fresh():
    world = World(root="s3cret")
    token = world.keys.add(expire_time=NOW + timedelta(seconds=KEY_SECONDS * 2))
    known = world.credentials.known
    assert known(token.text) is None
    caller = await world.signed_in(token)
    assert known(token.text) == caller
    assert known(Token(token.api_key_id, Token.new().secret).text) is None
    for wrong in ("", "s3cret", "é", "\udcff", token.text + "A"):
        assert known(wrong) is None
    world.seconds = KEY_SECONDS
    assert known(token.text) is None
    assert await world.signed_in(token) == known(token.text) == caller
    world.credentials.forget(token.api_key_id)
    assert known(token.text) is None
    assert await world.signed_in(token) == known(token.text) == caller
    world.now += timedelta(seconds=KEY_SECONDS * 2)
    assert known(token.text) is None


async def test_a_token_is_not_known_once_its_key_was_read_again(world):
    first, second = world.keys.add(), Token.new()
    assert await world.signed_in(first)
    second = Token(first.api_key_id, second.secret)
    stored = world.keys.stored[first.api_key_id]
    world.keys.stored[first.api_key_id] = StoredKey(stored.key, second.secret_hash)
    world.credentials.forget(first.api_key_id)
    assert await world.signed_in(second)
    assert world.credentials.known(first.text) is None
    assert world.credentials.known(second.text)


async def test_a_revocation_binds_within_seconds(world):
    token = world.keys.add()
    assert await world.signed_in(token)
    world.keys.revoke(token)
    world.seconds += KEY_SECONDS - 0.1
    assert await world.signed_in(token)
    world.seconds += 0.2
    assert await world.signed_in(token) is None
    assert KEY_SECONDS <= 5


async def test_a_key_that_is_gone_is_forgotten(world):
    token = world.keys.add()
    assert await world.signed_in(token)
    world.keys.stored.clear()
    world.seconds += KEY_SECONDS
    assert await world.signed_in(token) is None
    world.keys.away = True
    with pytest.raises(Unavailable):
        await world.credentials.caller(token.text)


async def test_the_process_that_revokes_refuses_at_once(world):
    token = world.keys.add()
    assert await world.signed_in(token)
    world.keys.revoke(token)
    world.credentials.forget(token.api_key_id)
    assert await world.signed_in(token) is None


async def test_a_key_that_was_seen_outlives_the_ledger(world):
    seen, unseen = world.keys.add(), world.keys.add()
    assert await world.signed_in(seen)
    world.keys.away = True
    for _ in range(3):
        world.seconds += KEY_SECONDS
        assert await world.signed_in(seen)
        reads = world.keys.reads
        assert await world.signed_in(seen)
        assert world.keys.reads == reads  # The ledger is not asked at every call.
        with pytest.raises(Unavailable):
            await world.credentials.caller(unseen.text)
    world.keys.revoke(seen)
    world.keys.away = False
    world.seconds += KEY_SECONDS
    assert await world.signed_in(seen) is None
    assert await world.signed_in(unseen)


async def test_a_ledger_that_is_slow_is_not_waited_for(world, monkeypatch):
    monkeypatch.setattr(module, "_READ_SECONDS_MAX", 0.01)
    token = world.keys.add()
    assert await world.signed_in(token)
    world.keys.slow.clear()
    world.keys.revoke(token)
    world.seconds += KEY_SECONDS
    assert await world.signed_in(token)
    # What it answers late counts all the same.
    world.keys.slow.set()
    await eventually(lambda: not world.credentials._reads)
    assert await world.signed_in(token) is None


async def test_calls_at_one_moment_ask_once(world):
    token = world.keys.add()
    world.keys.slow.clear()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(world.signed_in(token)) for _ in range(50)]
        await eventually(lambda: world.keys.reads)
        calls[0].cancel()  # Whoever leaves takes nobody along.
        world.keys.slow.set()
    assert all(call.result() for call in calls[1:])
    assert world.keys.reads == 1


async def test_what_is_remembered_is_bounded(world, monkeypatch):
    monkeypatch.setattr(module, "KEYS_MAX", 3)
    for _ in range(9):
        assert await world.signed_in(world.keys.add())
    assert len(world.credentials._seen) == len(world.credentials._known) == 3
