"""The history checker finds nothing in an honest history, and every lie that is planted in it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from authority.domain.operations import CACHE_KINDS, Kind
from chaos.load import Load, make_tenant
from history import check, read_books, read_calls, write_calls
from support import eventually

CALLS = 1_000
TENANTS = 4


@pytest.fixture
async def honest(authority, ledger_url):
    """The books and the calls of some load."""
    running, stubs = authority
    tenants = [await make_tenant(stubs, number) for number in range(TENANTS)]
    load = Load([stubs], tenants, 1, clients=8, width=6)

    async def is_varied():
        books = await read_books(ledger_url)
        kinds = {item.kind for items in books.operations.values() for item in items}
        late = any(" late" in call.answer for call in load.calls)
        return len(load.calls) > CALLS and late and Kind.EXPIRE in kinds

    async with load:
        await eventually(is_varied, 60)
    outbox = running.core.sweeper._outbox

    async def drained():
        return not await outbox.not_empty(tenants)

    await eventually(drained)  # denials are not waited for
    assert load.odd == []
    return await read_books(ledger_url), load.calls


class History:
    """A copy of books and calls, to plant lies in."""

    def __init__(self, books, calls) -> None:
        operations = {tenant: list(items) for tenant, items in books.operations.items()}
        self.books = books._replace(operations=operations)
        self.calls = list(calls)
        self.acknowledged = {call.key for call in calls if call.outcome == "acknowledged"}

    def find(self, test):
        """Return the list and the place of the first operation that passes."""
        return next(
            (items, number)
            for items in self.books.operations.values()
            for number, item in enumerate(items)
            if test(item)
        )

    def commit(self):
        """Find a Commit that was acknowledged."""
        return self.find(
            lambda item: item.kind is Kind.COMMIT and item.idempotency_key in self.acknowledged
        )

    def change(self, test, work):
        """Let `work` return another operation in the place of one."""
        items, number = self.find(test)
        items[number] = work(items[number])

    def tell(self, key, **changes):
        """Change what was told to the caller of a key."""
        self.calls = [call._replace(**changes) if call.key == key else call for call in self.calls]

    def report(self):
        """Check it."""
        return check(self.books, self.calls)


def is_reserve(item):
    return item.kind is Kind.RESERVE and item.denied is None


def is_denial(item):
    return item.kind is Kind.RESERVE and item.denied is not None


def a_lost_operation(history):
    items, number = history.commit()
    del items[number]


def a_lost_tenant(history):
    del history.books.operations["t0"]


def an_operation_done_twice(history):
    items, number = history.commit()
    history.tell(items[number].idempotency_key, outcome="unknown", end=float("inf"))
    items.insert(number, items[number]._replace(operation_id="another"))


def a_limit_passed(history):
    def more(item):
        deltas = ((ref, reserved + 10**9, *counts) for ref, reserved, *counts in item.deltas)
        return item._replace(deltas=tuple(deltas))

    history.change(is_reserve, more)


def lower_limits_passed(history):
    budgets = {key: replace(budget, limit=1) for key, budget in history.books.budgets.items()}
    history.books = history.books._replace(budgets=budgets)


def a_denial_of_what_fits(history):
    items, number = history.find(is_denial)
    denied = items[number].denied
    history.change(
        is_reserve, lambda item: item._replace(reservation=None, deltas=(), denied=denied)
    )


def change_reservation(history, test, work):
    """Let `work` return another one in the place of the reservation of an operation."""
    history.calls = []  # only the model can tell
    history.change(test, lambda item: item._replace(reservation=work(item.reservation)))


def a_wrong_amount(kind, name):
    def more(reservation):
        first, *rest = reservation.legs
        first = first._replace(**{name: getattr(first, name) + 1})
        legs = ";".join(":".join(map(str, leg)) for leg in (first, *rest))
        return reservation._replace(legs_text=legs)

    def plant(history):
        change_reservation(history, lambda item: item.kind is kind and item.denied is None, more)

    return plant


def another_option(history):
    change_reservation(
        history,
        lambda item: is_reserve(item) and len(json.loads(item.request)["options"]) == 2,
        lambda reservation: reservation._replace(option_index=1 - reservation.option_index),
    )


def an_early_expiry(history):
    history.calls = []
    history.change(
        lambda item: item.kind is Kind.EXPIRE,
        lambda item: item._replace(decide_ms=item.decide_ms - 1_000_000),
    )


def a_wrong_answer(history):
    items, number = history.commit()
    history.tell(items[number].idempotency_key, answer="something else")


def a_refusal_of_what_was_done(outcome):
    def plant(history):
        items, number = history.commit()
        history.tell(items[number].idempotency_key, outcome=outcome)

    return plant


def a_denial_that_was_lost_with_the_hot_store(history):
    """Nobody waits for a denial; what was on its way all the time is decided anew."""
    calls = Counter(call.key for call in history.calls)
    items, number = history.find(
        lambda item: item.kind is Kind.COMMIT and calls[item.idempotency_key] == 1
    )
    history.tell(items[number].idempotency_key, outcome="denied")
    items[number:] = [item._replace(epoch=item.epoch + 1) for item in items[number:]]


def a_gap(history):
    items, number = history.find(lambda item: item.idempotency_key is not None)
    history.calls = [call for call in history.calls if call.key != items[number].idempotency_key]
    del items[number]


def an_order_that_time_forbids(history):
    items, number = history.commit()
    items.append(items.pop(number))


LIES = {
    "lost": [a_lost_operation, a_lost_tenant],
    "doubled": [an_operation_done_twice],
    "overspent": [a_limit_passed, lower_limits_passed],
    "disallowed": [
        lower_limits_passed,
        a_denial_of_what_fits,
        a_wrong_amount(Kind.RESERVE, "reserved"),
        a_wrong_amount(Kind.COMMIT, "actual"),
        a_wrong_amount(Kind.COMMIT, "charged"),
        a_wrong_amount(Kind.REFUND, "refunded"),
        another_option,
        an_early_expiry,
        a_wrong_answer,
        a_refusal_of_what_was_done("denied"),
        a_refusal_of_what_was_done("refused"),
        a_gap,
        an_order_that_time_forbids,
    ],
}


async def test_the_truth_is_clean_and_every_lie_is_found(honest, tmp_path):
    report = History(*honest).report()
    assert report.examples == []
    assert report.is_clean
    assert report.acknowledged > CALLS // 2
    operations = [item for items in honest[0].operations.values() for item in items]
    assert report.operations == len(operations)
    # There was something of everything to be checked.
    assert set(Counter(item.kind for item in operations)) == set(Kind) - {
        Kind.VOID,
        *CACHE_KINDS,
    }
    assert any(map(is_denial, operations))
    assert any(item.reservation is not None and item.reservation.late for item in operations)

    for name, plants in LIES.items():
        for plant in plants:
            history = History(*honest)
            plant(history)
            assert getattr(history.report(), name) > 0, (name, plant)

    history = History(*honest)
    a_denial_that_was_lost_with_the_hot_store(history)
    assert history.report().examples == []

    calls = [*honest[1], honest[1][0]._replace(outcome="unknown", end=float("inf"))]
    write_calls(tmp_path / "history", calls)
    assert read_calls(tmp_path / "history") == calls
