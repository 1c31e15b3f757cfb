"""The usage log: an event for each operation of use, with what is known of it, and sums of both."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import status_pb2
from psycopg.types.json import Jsonb

from authorities import new_key
from authority.ledger.usage_projection import UsageProjection
from authority.v1 import cache_service_pb2, cache_service_pb2_grpc, errors_pb2
from support import eventually

MICROS = 1_000_000
LABELS = {
    "user": "ada",
    "kind": "image",
    "provider": "openai",
    "model": "gpt-image-1",
    "size": "1024x1024",
    "quality": "high",
}


async def rows(core, statement, **parameters):
    """Read rows past every rule."""
    return await core.database.rows(statement, parameters)


async def logged(core, tenant="acme"):
    """Return the tenant's events once all of its operations are in the log."""
    projection = UsageProjection(core.database)

    async def all_in():
        # The background does the same; who is second finds nothing to do.
        await projection.project([tenant], 1000)
        return await projection.behind(10) == []

    await eventually(all_in)
    return await rows(
        core, "SELECT * FROM usage_event WHERE tenant = %(tenant)s ORDER BY sequence", tenant=tenant
    )


def of(event, *names):
    """Return some columns of an event."""
    return tuple(event[name] for name in names)


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme", display_name="Acme")
    await stubs.set_budget("acme", 10 * MICROS)
    return stubs


async def test_every_verb_leaves_its_event(core, acme):
    held = (await acme.reserve("acme", {"USD": 1000, "IMAGES": 3}, labels=LABELS)).reservation
    await acme.commit(held.reservation_id, {"USD": 400, "IMAGES": 1}, final=False)
    await acme.commit(held.reservation_id, {"USD": 500, "IMAGES": 2})
    await acme.refund(held.reservation_id, {"USD": 300})
    back = (await acme.reserve("acme", {"USD": 1000})).reservation
    await acme.release(back.reservation_id)
    other = (await acme.reserve("acme", {"USD": 1000})).reservation
    await acme.refund(other.reservation_id)
    await acme.adjust("acme", {"USD": -70})
    with pytest.raises(grpc.aio.AioRpcError):
        await acme.reserve("acme", {"USD": 11 * MICROS}, labels=LABELS)
    events = await logged(core)
    assert [
        of(event, "outcome", "actual_micros", "charged_micros", "refunded_micros", "images")
        for event in events
    ] == [
        ("PART", 400, 400, 0, 1),
        ("SUCCEEDED", 500, 500, 0, 2),
        ("REFUNDED", 0, 0, 300, 0),
        ("RELEASED", 0, 0, 0, 0),
        ("RELEASED", 0, 0, 0, 0),
        ("ADJUSTED", 0, -70, 0, 0),
        ("DENIED", 0, 0, 0, 0),
    ]
    for position in (0, 1, 2, 6):
        assert of(
            events[position], "user_name", "kind", "provider", "model", "size", "quality"
        ) == tuple(LABELS.values())
    assert events[6]["reason"] == "BUDGET_EXHAUSTED"
    assert events[5]["absorbed_micros"] == 70
    assert events[0]["duration_ms"] is None
    assert events[1]["duration_ms"] >= 0
    assert await acme.differences() == []


async def test_the_reason_of_a_denial_is_the_one_that_was_answered(core, acme):
    await acme.account("acme/bob", parent="acme")
    await acme.set_budget("acme/bob", 3, unit="IMAGES", name="images")
    await acme.set_budget("acme/bob", 1, unit="RESERVATIONS", window="TOTAL", name="at-once")
    await acme.grant("acme/bob", "CREDITS", 5)
    answered = []

    async def ask(account="acme/bob", **legs):
        try:
            return (await acme.reserve(account, legs)).reservation
        except grpc.aio.AioRpcError as error:
            answered.append(refused_reason(error))

    await ask(CREDITS=50)
    await ask(IMAGES=4)
    await ask(USD=11 * MICROS)
    await ask(CREDITS=50, IMAGES=4)
    held = await ask(IMAGES=2)
    await ask(IMAGES=1)
    await ask(IMAGES=2)
    await acme.release(held.reservation_id)
    # One budget is busy and the other exhausted: waiting does not help.
    await acme.account("acme/eve", parent="acme")
    await acme.set_budget("acme/eve", 3, unit="IMAGES", name="images")
    held = await ask("acme/eve", IMAGES=2)
    await ask("acme/eve", IMAGES=2)
    await ask("acme/eve", IMAGES=2, USD=11 * MICROS)
    assert answered[-2:] == ["BUDGET_BUSY", "BUDGET_EXHAUSTED"]
    events = [event for event in await logged(core) if event["outcome"] == "DENIED"]
    assert [event["reason"] for event in events] == answered
    assert len(set(answered)) > 2


def refused_reason(error):
    """Return the reason of a Denial in a status."""
    status = status_pb2.Status.FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"]
    )
    denial = errors_pb2.Denial()
    assert any(detail.Unpack(denial) for detail in status.details)
    return errors_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")


async def test_what_users_paid_is_revenue_to_the_last_micro(core, acme):
    await acme.account("acme/bob", parent="acme")
    await acme.grant("acme/bob", "CREDITS", 7, price=1_000_000)
    for _ in range(7):
        held = (await acme.reserve("acme/bob", {"CREDITS": 1, "USD": 10})).reservation
        await acme.commit(held.reservation_id, {"CREDITS": 1, "USD": 10})
    events = await logged(core)
    made = [event for event in events if event["outcome"] == "SUCCEEDED"]
    assert [event["credits_micros"] for event in made] == [1] * 7
    assert sum(event["revenue_micros"] for event in made) == 1_000_000
    assert {event["revenue_micros"] for event in made} == {142_857, 142_858}
    await acme.refund(held.reservation_id, {"CREDITS": 1})
    events = await logged(core)
    assert of(events[-1], "outcome", "credits_micros", "revenue_micros") == (
        "REFUNDED",
        -1,
        -142_858,
    )
    assert await acme.differences() == []


async def insert_attempt(core, generation_id, **attempt):
    """Add a generation with an attempt, as workers leave them."""
    tenant = generation_id.partition("/")[0]
    await rows(
        core,
        "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt,"
        " requested_model, size, quality, count) VALUES (%(id)s, %(tenant)s, %(tenant)s, %(id)s,"
        " 'chat', 'a poem', '', '', 'premium', 1) RETURNING 1",
        id=generation_id,
        tenant=tenant,
    )
    options = [
        {"provider": "openai", "model": "gpt-5", "quality": "premium", "estimate_micros": 9},
        {"provider": "fal", "model": "small", "quality": "standard", "estimate_micros": 4},
    ]
    columns = {"options": Jsonb(options), "attempt": 1, "state": "COMMITTED", **attempt}
    await rows(
        core,
        f"INSERT INTO generation_attempt (generation_id, {', '.join(columns)}) VALUES (%(id)s, "
        f"{', '.join(f'%({name})s' for name in columns)}) RETURNING 1",
        id=generation_id,
        **columns,
    )


async def test_what_an_attempt_knows_is_in_its_events(core, acme):
    generation_id = f"acme/{new_key()}"
    await insert_attempt(
        core,
        generation_id,
        option_index=1,
        provider="fal",
        model="small",
        actual_images=1,
        usage=Jsonb({"input_tokens": 120, "output_tokens": 34}),
        downgrade_reason="soft_cap",
        presumed_spent=True,
        error_reason="timeout_unknown",
        elsewhere=True,
    )
    labels = {"generation": generation_id, "attempt": "1", "model": "of a label"}
    held = (await acme.reserve("acme", {"USD": 5}, labels=labels)).reservation
    await acme.commit(held.reservation_id, {"USD": 4})
    (event,) = await logged(core)
    assert of(event, "outcome", "generation_id", "attempt", "kind", "provider", "model") == (
        *("FAILED", generation_id, 1, "chat", "fal", "small"),
    )
    assert of(event, "quality", "messages", "input_tokens", "output_tokens") == (
        *("standard", 1, 120, 34),
    )
    assert of(event, "downgraded", "downgrade_reason", "presumed_spent", "error_class") == (
        *(True, "soft_cap", True, "timeout_unknown"),
    )
    assert not event["fallback"]
    await rows(
        core,
        "INSERT INTO generation_attempt (generation_id, attempt, options, option_index, provider,"
        " model, error_reason) SELECT generation_id, 2, options, 0, 'openai', 'gpt-5', '' FROM"
        " generation_attempt RETURNING 1",
    )
    labels |= {"attempt": "2"}
    held = (await acme.reserve("acme", {"USD": 5}, labels=labels)).reservation
    await acme.commit(held.reservation_id, {"USD": 4})
    (_, event) = await logged(core)
    assert of(event, "outcome", "attempt", "provider", "fallback", "error_class") == (
        *("SUCCEEDED", 2, "openai", True, ""),
    )


async def test_a_label_tells_nothing_of_another_tenant(core, acme):
    await acme.account("globex")
    await acme.set_budget("globex", 1000)
    theirs = f"acme/{new_key()}"
    await insert_attempt(core, theirs, provider="fal", model="secret", option_index=0)
    for attempt in ("1", "x", "99999999999999999999", ""):
        labels = {"generation": theirs, "attempt": attempt, "kind": "own"}
        held = (await acme.reserve("globex", {"USD": 5}, labels=labels)).reservation
        await acme.commit(held.reservation_id, {"USD": 5})
    events = await logged(core, "globex")
    assert {of(event, "generation_id", "kind", "model") for event in events} == {(None, "own", "")}


async def test_a_label_makes_no_failure_of_anothers_work(core, acme):
    failed = f"acme/{new_key()}"
    await insert_attempt(
        core, failed, provider="fal", reservation_id=f"acme/{new_key()}", error_reason="timeout"
    )
    labels = {"generation": failed, "attempt": "1"}
    held = (await acme.reserve("acme", {"USD": 5}, labels=labels)).reservation
    await acme.commit(held.reservation_id, {"USD": 5})
    (event,) = await logged(core)
    assert of(event, "outcome", "generation_id", "provider") == ("SUCCEEDED", None, "")


async def test_hits_and_what_is_taken_back_of_them(core, acme):
    generation_id = f"acme/{new_key()}"
    await insert_attempt(core, generation_id)
    stub = cache_service_pb2_grpc.CacheServiceStub(acme.channel)
    hit = cache_service_pb2.BookHitRequest(
        idempotency_key=new_key(),
        account="acme",
        generation_id=generation_id,
        entry_id=f"acme/{new_key()}",
        stage="guarded",
        score_ppm=912_345,
        saved=42_000,
    )
    await stub.BookHits(cache_service_pb2.BookHitsRequest(requests=[hit]), metadata=acme.metadata)
    (event,) = await logged(core)
    assert of(event, "outcome", "kind", "cached", "score_ppm", "saved_micros", "entry_id") == (
        *("HIT", "chat", "guarded", 912_345, 42_000, hit.entry_id),
    )


async def test_an_audit_finds_what_is_wrong_in_the_log(core, acme):
    held = (await acme.reserve("acme", {"USD": 1000}, labels=LABELS)).reservation
    await acme.commit(held.reservation_id, {"USD": 900})
    await logged(core)
    assert await acme.differences() == []
    for spoil, repair in (
        ("usage_event SET actual_micros = actual_micros + 1", "- 1"),
        ("usage_rollup SET actual_micros = actual_micros + 1 WHERE level = 3", "- 1"),
        ("usage_total SET actual_micros = actual_micros + 1 WHERE level = 1", "- 1"),
        ("usage_total SET actual_micros = actual_micros + 1 WHERE level = 0", "- 1"),
    ):
        await rows(core, f"UPDATE {spoil} RETURNING 1")
        found = await acme.differences()
        assert {difference.place for difference in found} == {"usage"}, spoil
        await rows(core, f"UPDATE {spoil.replace('+ 1', repair)} RETURNING 1")
    await rows(core, "DELETE FROM usage_rollup WHERE level = 2 AND grain = 15 RETURNING 1")
    assert {difference.place for difference in await acme.differences()} == {"usage"}


async def test_it_is_complete_though_nobody_says_so(core, acme):
    """The background finds by looking what no journal of its own has told it."""
    held = (await acme.reserve("acme", {"USD": 1000})).reservation
    await acme.commit(held.reservation_id, {"USD": 900})

    async def is_there():
        return await rows(core, "SELECT 1 FROM usage_event WHERE outcome = 'SUCCEEDED'")

    await eventually(is_there)
