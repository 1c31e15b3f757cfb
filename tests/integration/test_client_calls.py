"""What every call of the clients does: sign in, keep a deadline, try again with the same key."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from authority.v1 import admin_service_pb2, budget_service_pb2, errors_pb2, resources_pb2
from authority_script import Pause, scripted_authority, status, unavailable
from clients import (
    AdminClient,
    AuthorityClient,
    BudgetDenied,
    DeadlineExceeded,
    InvalidRequest,
    RetryPolicy,
    Unavailable,
    Unit,
    Window,
    usd,
)
from clients.sync import SyncAdminClient, SyncAuthorityClient

TOKEN = "token-of-the-tests"


@pytest.fixture
async def scripted():
    """An authority that answers from a script."""
    async with scripted_authority() as authority:
        yield authority


class InThreads:
    """A sync client behind the face of an async one, so that both take the same tests."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *args, **kwargs: asyncio.to_thread(method, *args, **kwargs)


@pytest.fixture(params=["streaming", "alone", "sync"])
async def make(request, scripted):
    """A function that connects an async client, or a sync one; its delays are in `delays`.

    `streams` says whether its operations share a stream.
    """
    delays = []

    async def pause(seconds):
        delays.append(seconds)

    def connect(**options):
        common = {"token": TOKEN, "retry": RetryPolicy(random=lambda: 1.0), **options}
        if request.param != "sync":
            client = AuthorityClient(scripted.address, sleep=pause, streaming=streams, **common)
            opened.append(client.close)
            return client
        client = SyncAuthorityClient(scripted.address, sleep=delays.append, **common)
        opened.append(InThreads(client).close)
        return InThreads(client)

    opened, streams = [], request.param == "streaming"
    yield SimpleNamespace(client=connect, delays=delays, streams=streams)
    for close in opened:
        await close()


async def test_unavailable_is_repeated_with_the_same_key(scripted, make):
    answer = budget_service_pb2.ReserveResponse(replayed=True)
    scripted.script = [unavailable(), unavailable(), answer]
    reservation = await make.client().reserve("acme", [usd("0.04")])
    assert reservation.replayed
    assert make.delays == pytest.approx([0.1, 0.2])
    first, *others = scripted.requests("Reserve")
    assert others == [first, first]
    assert first.idempotency_key


async def test_a_given_key_is_sent(scripted, make):
    await make.client().commit("acme/7", [usd(1)], idempotency_key="mine")
    assert scripted.requests("Commit")[0].idempotency_key == "mine"


async def test_five_attempts_are_made_and_no_more(scripted, make):
    scripted.script = [unavailable()] * 9
    with pytest.raises(Unavailable) as away:
        await make.client(timeout=20).release("acme/7")
    assert len(scripted.calls) == 5
    assert away.value.outcome_unknown
    assert away.value.idempotency_key == scripted.requests("Release")[0].idempotency_key


async def test_the_authority_s_own_delay_is_kept(scripted, make):
    info = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=500_000_000))
    scripted.script = [status("UNAVAILABLE", "UNAVAILABLE", info)]
    await make.client().get_balance("acme")
    assert make.delays == pytest.approx([0.6])


async def test_a_delay_beyond_the_deadline_is_not_waited_for(scripted, make):
    info = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=60))
    scripted.script = [status("UNAVAILABLE", "UNAVAILABLE", info)]
    with pytest.raises(Unavailable):
        await make.client().get_balance("acme")
    assert (len(scripted.calls), make.delays) == (1, [])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("RESOURCE_EXHAUSTED", "DENIED"),
        ("INVALID_ARGUMENT", "INVALID_FIELD"),
        ("DEADLINE_EXCEEDED", "DEADLINE"),
        ("INTERNAL", "INTERNAL"),
        ("ABORTED", "OTHER"),
    ],
)
async def test_nothing_else_is_repeated(scripted, make, code, reason):
    scripted.script = [status(code, reason)]
    with pytest.raises(Exception, match=reason) as raised:
        await make.client().reserve("acme", [usd(1)])
    assert raised.value.reason == reason
    assert len(scripted.calls) == 1


async def test_a_denial_has_its_budgets(scripted, make):
    limiting = errors_pb2.LimitingBudget(account="acme", budget="usd-day", short_by=1)
    denial = errors_pb2.Denial(limiting_budgets=[limiting], limiting_budget_count=1)
    info = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=60))
    quota = error_details_pb2.QuotaFailure()
    scripted.script = [status("RESOURCE_EXHAUSTED", "DENIED", quota, info, denial)]
    with pytest.raises(BudgetDenied) as denied:
        await make.client().reserve("acme", [usd(1)])
    (budget,) = denied.value.denial.limiting_budgets
    assert (budget.account, budget.budget, budget.short_by) == ("acme", "usd-day", 1)
    assert denied.value.retry_after.total_seconds() == 60


async def test_every_call_is_signed_in_and_has_a_deadline(scripted, make):
    client = make.client(timeout=5)
    await client.reserve("acme", [usd(1)])
    await client.commit("acme/7", [])
    await client.release("acme/7", reason="no")
    await client.refund("acme/7")
    await client.get_reservation("acme/7")
    await client.get_balance("acme", timeout=1)
    assert len(scripted.calls) == 6
    assert {call.metadata["authorization"] for call in scripted.calls} == {f"Bearer {TOKEN}"}
    # gRPC rounds a deadline up. A stream has none: each caller keeps its own.
    operations, reads = scripted.calls[:4], scripted.calls[4:]
    if make.streams:
        assert [call.seconds for call in operations] == [None] * 4
        operations = []
    assert all(0 < call.seconds < 5.5 for call in operations + reads)
    assert scripted.calls[-1].seconds < 1.5


async def test_no_token_is_sent_where_there_is_none(scripted, make):
    await make.client(token=None).get_balance("acme")
    assert "authorization" not in scripted.calls[0].metadata


async def test_a_deadline_that_passes(scripted, make):
    scripted.script = [Pause()]
    with pytest.raises(DeadlineExceeded, match=rf"{scripted.address}.* 0\.2 s") as late:
        await make.client(timeout=0.2).reserve("acme", [usd(1)])
    assert late.value.outcome_unknown
    assert late.value.idempotency_key == scripted.requests("Reserve")[0].idempotency_key


async def test_an_authority_that_is_not_there_is_named():
    async with scripted_authority() as gone:
        address = gone.address
    async with AuthorityClient(address, timeout=0.5) as lost:
        with pytest.raises(Unavailable, match=address):
            await lost.get_balance("acme")


async def test_a_refund_of_no_legs_is_refused(scripted, make):
    with pytest.raises(ValueError, match="leave it out to refund all"):
        await make.client().refund("acme/7", [])
    assert scripted.calls == []


async def test_what_cannot_be_sent_is_named(scripted, make):
    with pytest.raises(InvalidRequest, match="account: has characters that are no Unicode"):
        await make.client().reserve("\ud800", [usd(1)])
    assert scripted.calls == []


async def test_making_something_is_not_repeated(scripted):
    # It has no key: a lost answer and another try would end in AlreadyExists.
    async with AdminClient(scripted.address) as admin:
        scripted.script = [unavailable()] * 2
        with pytest.raises(Unavailable):
            await admin.create_account("acme")
        with pytest.raises(Unavailable):
            await admin.create_budget("acme", unit=Unit.USD, window=Window.DAY, limit=1)
    assert len(scripted.calls) == 2


async def test_an_update_names_what_it_changes(scripted):
    async with AdminClient(scripted.address) as admin:
        await admin.update_account("acme", display_name="")
        await admin.update_budget("acme", "usd-day", limit=0)
    account, budget = (call.request for call in scripted.calls)
    assert account.update_mask.paths == ["display_name"]
    assert budget.update_mask.paths == ["limit"]


async def test_lists_go_on_to_their_end(scripted):
    def page(names, token):
        accounts = [resources_pb2.Account(account=name) for name in names]
        return admin_service_pb2.ListAccountsResponse(accounts=accounts, next_page_token=token)

    pages = [page(["a", "b"], "2"), page([], "3"), page(["c"], "")]
    scripted.script = list(pages)
    async with AdminClient(scripted.address) as admin:
        assert [item.account async for item in admin.list_accounts()] == ["a", "b", "c"]
    asked = [request.page_token for request in scripted.requests("ListAccounts")]
    assert asked == ["", "2", "3"]

    def work():
        with SyncAdminClient(scripted.address) as admin:
            return [item.account for item in admin.list_accounts()]

    scripted.script = list(pages)
    assert await asyncio.to_thread(work) == ["a", "b", "c"]


def balance(reserved, seconds):
    """Return a watched balance, read at a time."""
    told = budget_service_pb2.GetBalanceResponse(
        balances=[resources_pb2.BudgetBalance(reserved=reserved)],
        read_time=Timestamp(seconds=seconds),
    )
    return budget_service_pb2.WatchBalanceResponse(balance=told)


async def test_a_watch_goes_on_where_it_broke_and_tells_nothing_twice(scripted):
    def script():
        # A stream ends after its last line, and after none.
        return [[balance(0, 1), balance(3, 2)], [], unavailable(), [balance(3, 3), balance(4, 4)]]

    scripted.script = script()
    async with AuthorityClient(scripted.address) as client:
        watched = client.watch_balance("acme")
        seen = [(await anext(watched)).balances[0].reserved for _ in range(3)]
        await watched.aclose()
    assert seen == [0, 3, 4]

    def work():
        with SyncAuthorityClient(scripted.address) as client:
            watched = client.watch_balance("acme")
            return [next(watched).balances[0].reserved for _ in range(3)]

    scripted.script = script()
    assert await asyncio.to_thread(work) == [0, 3, 4]


async def test_threads_share_a_sync_client(scripted):
    with SyncAuthorityClient(scripted.address, timeout=10) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(asyncio.to_thread(client.reserve, "acme", [usd(1)]))
    assert len({request.idempotency_key for request in scripted.requests("Reserve")}) == 50
