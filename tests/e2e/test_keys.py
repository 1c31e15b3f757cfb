"""API keys over the wire: made, used, refused, listed, ended; on every process, in every fault."""

from __future__ import annotations

import time

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from authorities import TOKEN, make_settings, new_key
from authority.domain.tokens import Token
from authority.ledger.migrate import migrate
from authority.rpc.access import PLATFORM_ONLY, SCOPES
from authority.usecases import credentials
from authority.usecases.credentials import KEY_SECONDS
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from calls import METHODS, REQUESTS, send
from keys import ALL_SCOPES, make_key, signed_in, with_key
from refusals import invalid, refused
from support import eventually


def path_of(request):
    method = METHODS[request.DESCRIPTOR]
    return f"/{method.containing_service.full_name}/{method.name}"


def seconds_on(seconds):
    time_then = Timestamp()
    time_then.GetCurrentTime()
    time_then.seconds += seconds
    return time_then


@pytest.mark.parametrize("scope", ALL_SCOPES)
async def test_every_rpc_asks_for_its_scope(stubs, scope):
    key = await with_key(stubs, "platform", [scope])
    for request in REQUESTS:
        needed = SCOPES[path_of(request)]
        lets = scope in needed or ("READ" in needed and scope == "ADMIN")
        if not lets:
            refusal = await refused(send(key, request()))
            assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED")
            assert refusal.metadata["scope"] == " or ".join(needed)


async def test_a_key_does_what_it_is_for(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    spender = await with_key(stubs, "acme", ["SPEND"])
    held = (await spender.reserve("acme", {"USD": 10})).reservation
    await spender.commit(held.reservation_id, {"USD": 7})
    reader = await with_key(stubs, "acme", ["READ"])
    assert (await reader.balance("acme"))["acme", "usd-day"][1] == 7
    owner = await with_key(stubs, "acme", ["ADMIN"])
    await owner.account("acme/alice")
    await owner.set_budget("acme/alice", 5)
    everywhere = await with_key(stubs, "platform", ["ADMIN"])
    await everywhere.account("globex")


async def test_a_key_is_shown_once_and_kept_as_a_hash(stubs, authority_settings):
    await stubs.account("acme")
    made = await make_key(
        stubs, "acme", ["READ", "SPEND"], display_name="checkout", expire_time=seconds_on(60)
    )
    key = made.api_key
    assert made.token.startswith(f"pm_{key.api_key_id}_")
    assert list(key.scopes) == [admin.SCOPE_SPEND, admin.SCOPE_READ]
    assert key.create_time.seconds > 0
    listed = await send(stubs, admin.ListApiKeysRequest())
    assert list(listed.api_keys) == [key]
    assert made.token not in str(listed)
    url = authority_settings.database_url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT api_key::text FROM api_key")
        (row,) = await cursor.fetchone()
    secret = Token.parse(made.token)
    assert secret.secret not in row
    assert secret.secret_hash.hex() in row


async def test_keys_are_listed_page_by_page(stubs):
    await stubs.account("acme")
    ids = [
        (await make_key(stubs, tenant)).api_key.api_key_id for tenant in ("acme", "platform") * 3
    ]
    listed, token = [], ""
    while True:
        request = admin.ListApiKeysRequest(page_size=4, page_token=token)
        page = await send(stubs, request)
        listed += [key.api_key_id for key in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(ids)
    own = await send(stubs, admin.ListApiKeysRequest(tenant="platform"))
    assert [key.api_key_id for key in own.api_keys] == sorted(ids[1::2])


async def test_what_no_key_can_be_is_told_field_by_field(stubs):
    assert await invalid(send(stubs, admin.CreateApiKeyRequest())) == [
        "api_key.tenant",
        "api_key.scopes",
    ]
    wrong = admin.ApiKey(
        api_key_id="mine", tenant="acme/alice", scopes=[0, 99], display_name="x" * 129
    )
    wrong.expire_time.seconds = 2**40
    assert await invalid(send(stubs, admin.CreateApiKeyRequest(api_key=wrong, reason="\n"))) == [
        "api_key.tenant",
        "api_key.api_key_id",
        "api_key.expire_time",
        "api_key.scopes[0]",
        "api_key.scopes[1]",
        "api_key.display_name",
        "reason",
    ]
    past = admin.ApiKey(tenant="platform", scopes=[admin.SCOPE_READ])
    past.expire_time.seconds = 1
    assert await invalid(send(stubs, admin.CreateApiKeyRequest(api_key=past))) == [
        "api_key.expire_time"
    ]
    for text in ("", "x", "pm_x_y", "ABCDEFGHIJKL"):
        assert await invalid(send(stubs, admin.RevokeApiKeyRequest(api_key_id=text))) == [
            "api_key_id"
        ]
    nobodys = admin.RevokeApiKeyRequest(api_key_id=Token.new().api_key_id)
    assert (await refused(send(stubs, nobodys))).code == "NOT_FOUND"
    missing = admin.ApiKey(tenant="nobody", scopes=[admin.SCOPE_READ])
    refusal = await refused(send(stubs, admin.CreateApiKeyRequest(api_key=missing)))
    assert refusal.code == "NOT_FOUND"


async def test_an_expired_key_is_refused(start_authority, authority_settings):
    _, stubs = await start_authority()
    made = await make_key(stubs, "platform", expire_time=seconds_on(3600))
    assert await send(signed_in(stubs, made.token), admin.GetStatusRequest())
    later = authority_settings.model_copy(update={"clock_offset_ms": 3_600_000})
    _, others = await start_authority(later)
    refusal = await refused(send(signed_in(others, made.token), admin.GetStatusRequest()))
    assert refusal.reason == "NOT_SIGNED_IN"
    assert "expired" in refusal.message


async def test_a_revocation_binds_on_every_process_within_seconds(start_authority):
    (_, first), (_, second) = await start_authority(), await start_authority()
    made = await make_key(first, "platform")
    here, there = signed_in(first, made.token), signed_in(second, made.token)
    for stubs in (here, there):
        assert await send(stubs, admin.GetStatusRequest())
    revoke = admin.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id)
    revoked = await send(first, revoke)
    start = time.monotonic()
    assert (await refused(send(here, admin.GetStatusRequest()))).reason == "NOT_SIGNED_IN"
    await eventually(lambda: _refuses(there), KEY_SECONDS + 5)
    assert time.monotonic() - start < KEY_SECONDS + 2
    # Again, it stays as it was the first time.
    assert await send(first, revoke) == revoked


async def _refuses(stubs):
    try:
        await send(stubs, admin.GetStatusRequest())
    except Exception as error:  # noqa: BLE001 - looked at right here
        return "UNAUTHENTICATED" in str(error)
    return False


async def test_garbage_and_foreign_tokens_are_refused_and_told_how_to_go_on(stubs):
    made = await make_key(stubs, "platform")
    foreign = Token(made.api_key.api_key_id, Token.new().secret)
    for token in (
        "pm_",
        "pm__",
        made.token[:-1],
        made.token + "A",
        made.api_key.api_key_id,
        foreign.text,
        Token.new().text,
        "x" * 4_000,
        "' OR true --",
    ):
        refusal = await refused(send(signed_in(stubs, token), admin.GetStatusRequest()))
        assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "NOT_SIGNED_IN")
        assert "paymaster keys create" in refusal.message
        assert token not in refusal.message


async def test_without_a_root_token_nobody_is_let_in(start_authority, authority_settings):
    closed = authority_settings.model_copy(update={"token": SecretStr("")})
    _, stubs = await start_authority(closed)
    for metadata in ((), (("authorization", "Bearer "),), stubs.metadata):
        stubs.metadata = metadata
        for request in REQUESTS:
            refusal = await refused(send(stubs, request()))
            assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "NOT_SIGNED_IN")
            assert "PAYMASTER_TOKEN" in refusal.message


async def test_keys_that_were_seen_outlive_postgres(
    start_authority, make_postgres, redis_url, tmp_path, monkeypatch
):
    # What was read is old at once, so that every call would read it again.
    monkeypatch.setattr(credentials, "KEY_SECONDS", 0.0)
    postgres = await make_postgres()
    await migrate(postgres.url)
    _, root = await start_authority(make_settings(postgres.url, redis_url, tmp_path / "artifacts"))
    seen, unseen = [await with_key(root, "platform") for _ in range(2)]
    assert (await send(seen, admin.GetStatusRequest())).ledger_ok
    await postgres.stop()
    for _ in range(2):
        assert not (await send(seen, admin.GetStatusRequest())).ledger_ok
        refusal = await refused(send(unseen, admin.GetStatusRequest()))
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "UNAVAILABLE")
    assert not (await send(root, admin.GetStatusRequest())).ledger_ok
    await postgres.start()
    await eventually(lambda: _lets_in(unseen), 20)


async def _lets_in(stubs):
    try:
        return await send(stubs, admin.GetStatusRequest())
    except Exception as error:  # noqa: BLE001 - looked at right here
        assert "UNAVAILABLE" in str(error)
        return None


async def test_no_secret_is_in_a_log(make_authority_process, ledger_url, redis_url):
    process = await make_authority_process(ledger_url, redis_url)
    root = await process.start()
    await root.account("acme")
    made = await make_key(root, "acme")
    own = signed_in(root, made.token)
    wrong = Token(made.api_key.api_key_id, Token.new().secret)
    for request in (
        budget.ReserveRequest(idempotency_key=new_key(), account="globex"),
        admin.CreateApiKeyRequest(api_key=admin.ApiKey(tenant="acme", scopes=[1])),
        admin.GetStatusRequest(),
    ):
        for stubs in (root, own, signed_in(root, wrong.text)):
            try:
                await send(stubs, request)
            except Exception as error:  # noqa: BLE001 - looked at right here
                said = str(error)
                assert not any(text in said for text in (TOKEN, made.token, wrong.secret))
    await process.close()
    log = process.log_file.read_text()
    assert "authority_started" in log
    secrets = (TOKEN, Token.parse(made.token).secret, wrong.secret)
    assert not any(text in log for text in secrets)


def test_the_platforms_own_calls_are_few():
    assert {path.rpartition("/")[2] for path in PLATFORM_ONLY} == {
        *("CreatePlan", "UpdatePlan", "UpdatePriceList"),
        *("GetHealth", "GetStatus", "Rebuild"),
        *("ImportBill", "ListBills", "WithdrawBill", "ListBillDays", "ListPresumedAttempts"),
        *("AdjustBillDay", "ListBillAdjustments"),
        *("ListQueues", "ListWorkers", "Diagnose", "PauseQueue", "ResumeQueue", "PromoteJobs"),
        *("ListLimits", "SetLimit", "UnsetLimit"),
    }
