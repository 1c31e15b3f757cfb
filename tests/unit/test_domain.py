"""Ids, entries and operations: the rules that need no store."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.domain import ids
from authority.domain.budgets import WindowRef
from authority.domain.entries import Book, entries_of
from authority.domain.grants import GrantReceipt
from authority.domain.money import AMOUNT_MAX, Unit
from authority.domain.operations import DenialReason, LimitingWindow, Move, Operation, WindowDelta
from authority.domain.reservations import Reservation, ReservationLeg, ReservationState

RESERVATION_ID = f"acme/{uuid.UUID(int=1)}"
AMOUNTS = st.integers(0, AMOUNT_MAX)
REFS = st.builds(WindowRef, st.integers(1, 5), st.integers(0, 10**13), st.sampled_from(Unit))


@pytest.mark.parametrize(
    "account", ["acme", "a", "a-1", "acme/alice", "acme/Alice@example.com", "acme/auth0|5f:7-x"]
)
def test_an_account(account):
    assert ids.is_account(account)
    assert ids.tenant_of(account) == account.split("/")[0]


@pytest.mark.parametrize(
    "account",
    [
        *["", "/", "acme/", "/alice", "Acme", "a" * 41, "acme/alice/bob", "ac{me}", "acme/a b"],
        *["-a", "a-", "acme/" + "x" * 101, "acme\n", "acmé", "acme/ü"],
    ],
)
def test_no_account(account):
    assert not ids.is_account(account)


@pytest.mark.parametrize("key", ["a", "x" * 128, "gen:acme/1:reserve", "schlüssel 1"])
def test_an_idempotency_key(key):
    assert ids.is_idempotency_key(key)


@pytest.mark.parametrize("key", ["", "x" * 129, "a\n", "a\x00b", "\u200b", "\ud800"])
def test_no_idempotency_key(key):
    assert not ids.is_idempotency_key(key)


def test_only_a_uuid7_tells_its_time():
    assert ids.uuid7_milliseconds("0199a0b2-0000-7000-8000-000000000000") == 0x0199A0B20000
    assert ids.uuid7_milliseconds(str(uuid.uuid4())) is None
    assert ids.uuid7_milliseconds("0199a0b2") is None


def _operation(deltas, moves):
    return Operation(
        operation_id="x",
        tenant="acme",
        sequence=1,
        epoch=1,
        decide_ms=1,
        kind="COMMIT",
        idempotency_key=None,
        request="{}",
        result="{}",
        reservation=None,
        deltas=tuple(deltas),
        moves=tuple(moves),
        restored=(),
        grant=None,
        denied=None,
    )


@given(
    st.lists(st.builds(WindowDelta, REFS, st.integers(-AMOUNT_MAX, AMOUNT_MAX), AMOUNTS, AMOUNTS)),
    st.lists(st.builds(Move, st.sampled_from(Unit), AMOUNTS, AMOUNTS, AMOUNTS)),
)
def test_entries_balance_in_each_window_and_unit(deltas, moves):
    sums = defaultdict(int)
    for entry in entries_of(_operation(deltas, moves)):
        assert entry.amount != 0
        sums[entry.ref, entry.unit] += entry.amount
    assert not any(sums.values())


def test_the_entries_of_a_commit():
    ref = WindowRef(7, 0, Unit.USD)
    entries = entries_of(_operation([WindowDelta(ref, -80, 50, 0)], [Move(Unit.USD, 60, 50, 0)]))
    assert {(entry.book, entry.amount) for entry in entries} == {
        (Book.RESERVED, -80),
        (Book.COMMITTED, 50),
        (Book.AVAILABLE, 30),
        (Book.PROVIDER, -60),
        (Book.CHARGED, 50),
        (Book.ABSORBED, 10),
    }


@given(
    st.builds(
        Reservation,
        reservation_id=st.just(RESERVATION_ID),
        account=st.just("acme/alice"),
        state=st.sampled_from(ReservationState),
        legs=st.lists(
            st.builds(
                ReservationLeg, st.sampled_from(Unit), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS
            )
        ).map(tuple),
        windows=st.lists(REFS).map(tuple),
        grants=st.lists(
            st.builds(GrantReceipt, REFS, st.uuids().map(str), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
        ).map(tuple),
        option_index=st.integers(0, 7),
        late=st.booleans(),
        labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
        create_ms=AMOUNTS,
        expire_ms=AMOUNTS,
        settle_ms=AMOUNTS,
        commit_key=st.text(max_size=5).filter(str.isprintable),
        receipt=st.text(max_size=5),
    )
)
def test_a_reservation_is_read_as_it_was_written(reservation):
    fields = {
        "id": reservation.reservation_id,
        "account": reservation.account,
        "state": reservation.state,
        "legs": reservation.legs_text,
        "windows": reservation.windows_text,
        "grants": reservation.grants_text,
        "option": str(reservation.option_index),
        "late": "1" if reservation.late else "0",
        "created": str(reservation.create_ms),
        "expires": str(reservation.expire_ms),
        "settled": str(reservation.settle_ms),
        "commit_key": reservation.commit_key,
        "receipt": reservation.receipt,
    }
    assert Reservation.decode(fields, reservation.labels) == reservation
    assert Reservation.unpack(reservation.pack()) == reservation


def test_denied_limits_are_ordered_by_what_waiting_helps():
    rows = [
        ["1:0:USD", "100", "90", "0", "0", "20", "0"],
        ["2:0:USD", "100", "0", "90", "0", "20", "0"],
        ["3:0:USD", "100", "0", "100", "0", "20", "0"],
    ]
    operation = Operation.decode(
        json.dumps({"kind": "RESERVE", "key": "k", "account": "acme"}),
        "\n".join(
            (
                "x 1 1 1",
                *("", "", ""),
                json.dumps(
                    {
                        "denied": {
                            "reason": "",
                            "limiting": rows,
                            "shortages": [],
                            "next_expiry": "0",
                            "retry": "0",
                        }
                    }
                ),
                "",
            )
        ),
    )
    assert [row.ref.budget_key for row in operation.denied.limiting] == [3, 2, 1]
    assert operation.denied.reason is DenialReason.BUDGET_EXHAUSTED
    assert operation.denied.limiting[2].reason is DenialReason.BUDGET_BUSY


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_busy_means_that_it_would_fit_without_the_open_reservations(
    limit, reserved, committed, requested
):
    row = LimitingWindow(WindowRef(1, 0, Unit.USD), limit, reserved, committed, 0, requested, 0)
    fits = committed + requested <= limit
    assert (row.reason is DenialReason.BUDGET_BUSY) == fits
