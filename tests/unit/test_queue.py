"""The queue's codec, names, settings and heartbeats, without a server."""

from __future__ import annotations

import asyncio
import json
import pickle
from datetime import UTC, datetime

import pytest

from generations.beats import Beat, beat_key, decode_beat, encode_beat
from generations.queue import (
    JobError,
    NotJson,
    deserialize,
    job_id,
    queue_name,
    redis_settings,
    score_ms,
    serialize,
)
from generations.settings import Priority


def test_names():
    assert queue_name("image") == "paymaster:queue:image"
    assert job_id("acme/0199a0b2", 3) == "acme/0199a0b2:3"
    assert beat_key("host-a:17") == "paymaster:worker:host-a:17"
    with pytest.raises(ValueError, match="song"):
        queue_name("song")


def test_an_entry_comes_back_as_it_was():
    entry = {"t": None, "f": "run_generation", "a": ["acme/1"], "k": {}, "et": 1_763_700_000_000}
    assert deserialize(serialize(entry)) == entry


def test_an_error_comes_back_by_name_and_never_as_its_class():
    entry = deserialize(serialize({"r": ZeroDivisionError("by zero"), "s": False}))
    assert isinstance(entry["r"], JobError)
    assert (entry["r"].name, entry["r"].message) == ("ZeroDivisionError", "by zero")
    assert isinstance(deserialize(serialize({"r": asyncio.CancelledError()}))["r"], BaseException)
    long = deserialize(serialize({"r": ValueError("x" * 10_000)}))["r"]
    assert len(long.message) == 500


def test_what_is_no_json_is_refused_and_never_run():
    with pytest.raises(NotJson, match="a pickle, which is never decoded"):
        deserialize(pickle.dumps({"f": "run_generation"}))
    for raw in (b"", b"\xff", b"{", b"[" * 100_000):
        with pytest.raises(NotJson, match="is not JSON"):
            deserialize(raw)
    with pytest.raises(NotJson, match="not a JSON object"):
        deserialize(b"[1]")
    with pytest.raises(TypeError, match="can't hold a object"):
        serialize({"r": object()})
    with pytest.raises(ValueError, match="JSON"):
        serialize({"r": float("nan")})


def test_a_url_is_read_as_redis_reads_it():
    settings = redis_settings("rediss://ann:p%40ss@cache.example:6380/5?ssl_cert_reqs=none")
    assert (settings.host, settings.port, settings.database) == ("cache.example", 6380, 5)
    assert (settings.username, settings.password, settings.ssl) == ("ann", "p@ss", True)
    assert settings.ssl_cert_reqs == "none"
    plain = redis_settings("redis://localhost")
    assert (plain.port, plain.database, plain.password, plain.ssl) == (6379, 0, None, False)
    unix = redis_settings("unix:///run/valkey.sock?db=2&password=secret")
    assert (unix.unix_socket_path, unix.database) == ("/run/valkey.sock", 2)
    assert unix.password == "secret"
    assert unix.retry is not None
    assert unix.retry_on_timeout


def test_a_password_is_in_no_repr():
    settings = redis_settings("redis://ann:hunter2@localhost:6379/0")
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "hunter2" not in text
        assert "localhost" in text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:hunter2@localhost",
        "redis://:hunter2@localhost:port/0",
        "redis://:hunter2@localhost:99999/0",
        "redis://:hunter2@localhost/zero",
        "redis://:hunter2@localhost/0?db=x",
        "redis://:hunter2@localhost/0?colour=red",
        "redis://:hunter2@[localhost/0",
        "unix://",
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(url: str):
    with pytest.raises(ValueError, match=r"[Tt]he Redis URL") as caught:
        redis_settings(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_beat_comes_back_as_it_was_and_a_newer_one_is_understood():
    now = datetime(2026, 11, 21, tzinfo=UTC)
    slots = {"image": 4, "chat": 2}
    beat = Beat("host-a:17", "0.1.0", now, now, slots, ("acme/1",), ("openai", "sandbox"))
    assert beat.slot_count == 6
    assert decode_beat(encode_beat(beat)) == beat
    newer = json.loads(encode_beat(beat)) | {"colour": "red"}
    assert decode_beat(json.dumps(newer)) == beat
    wrong = encode_beat(beat).replace("4", '"x"', 1)
    for raw in ("", "[]", "{}", '{"worker": 1}', "null", wrong):
        with pytest.raises(ValueError, match="malformed"):
            decode_beat(raw)


def test_the_turn_of_a_generation_is_its_time_moved_by_its_priority():
    def turn(priority, minute):
        return score_ms(priority, datetime(2026, 11, 21, 12, minute, tzinfo=UTC))

    assert turn(Priority.HIGH, 0) < turn(Priority.NORMAL, 0) < turn(Priority.BATCH, 0)
    assert turn(Priority.HIGH, 1) == turn(Priority.NORMAL, 0)
    assert turn(Priority.BATCH, 0) < turn(Priority.HIGH, 7)
    assert turn(Priority.NORMAL, 0) == datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000
