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
from authority.domain.entries import BOOKS, UNITS, Book, posting_of, window_sums
from authority.domain.grants import GrantReceipt
from authority.domain.money import AMOUNT_MAX, Unit
from authority.domain.operations import DenialReason, LimitingWindow, Move, Operation
from authority.domain.reservations import Reservation, ReservationLeg, ReservationState

RESERVATION_ID = f"acme/{uuid.UUID(int=1)}"
AMOUNTS = st.integers(0, AMOUNT_MAX)
# A budget has one unit.
REFS = st.builds(
    lambda key, start_ms: WindowRef(key, start_ms, list(Unit)[key]),
    st.integers(0, 5),
    st.integers(0, 3),
)


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


def _entries(operation):
    """Return the rows of an operation's posting: book, window or None, unit, amount."""
    posting = posting_of(operation, window_sums(operation))
    windows = list(zip(posting.budget_keys, posting.window_starts_ms, strict=True))
    windows += [None] * (len(posting.amounts) - len(windows))
    books = [BOOKS[letter] for letter in posting.books]
    units = [UNITS[letter] for letter in posting.units]
    return list(zip(books, windows, units, posting.amounts, strict=True))


@given(
    st.lists(st.tuples(REFS, st.integers(-AMOUNT_MAX, AMOUNT_MAX), AMOUNTS, AMOUNTS)),
    st.lists(st.builds(Move, st.sampled_from(Unit), AMOUNTS, AMOUNTS, AMOUNTS)),
)
def test_entries_balance_in_each_window_and_unit(deltas, moves):
    sums = defaultdict(int)
    for _, window, unit, amount in _entries(_operation(deltas, moves)):
        assert amount != 0
        sums[window, unit] += amount
    assert not any(sums.values())


@given(st.lists(st.tuples(REFS, AMOUNTS, AMOUNTS, AMOUNTS)))
def test_entries_say_what_was_added_to_each_window(deltas):
    expected, found = defaultdict(int), defaultdict(int)
    for ref, reserved, committed, refunded in deltas:
        for book, amount in (
            (Book.RESERVED, reserved),
            (Book.COMMITTED, committed),
            (Book.REFUNDED, -refunded),
        ):
            expected[book, ref[:2], ref.unit] += amount
    for book, window, unit, amount in _entries(_operation(deltas, [])):
        if book is not Book.AVAILABLE:
            found[book, window, unit] += amount
    assert found == {name: amount for name, amount in expected.items() if amount}


def test_every_book_and_unit_has_a_letter():
    assert set(BOOKS.values()) == set(Book)
    assert set(UNITS.values()) == set(Unit)
    assert all(unit.startswith(letter) for letter, unit in UNITS.items())


def test_the_entries_of_a_commit():
    ref = WindowRef(7, 0, Unit.USD)
    deltas = [(ref, -50, 50, 0), (ref, -30, 0, 0)]
    entries = _entries(_operation(deltas, [Move(Unit.USD, 60, 50, 0)]))
    assert {(book, amount) for book, _, _, amount in entries} == {
        (Book.RESERVED, -80),
        (Book.COMMITTED, 50),
        (Book.AVAILABLE, 30),
        (Book.PROVIDER, -60),
        (Book.CHARGED, 50),
        (Book.ABSORBED, 10),
    }


LEGS = st.builds(ReservationLeg, st.sampled_from(Unit), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
RECEIPTS = st.builds(GrantReceipt, REFS, st.uuids().map(str), *[AMOUNTS] * 4)
LABELS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)


@given(
    st.lists(LEGS),
    st.lists(REFS),
    st.lists(RECEIPTS),
    LABELS,
    st.text(max_size=5).filter(str.isprintable),
    st.text(max_size=5),
)
def test_a_reservation_is_read_as_it_was_written(legs, windows, grants, labels, key, receipt):
    reservation = Reservation(
        reservation_id=RESERVATION_ID,
        account="acme/alice",
        state=ReservationState.COMMITTED,
        option_index=7,
        late=True,
        create_ms=1,
        expire_ms=2,
        settle_ms=3,
        legs_text=";".join(":".join(map(str, leg)) for leg in legs),
        windows_text=" ".join(map(str, windows)),
        grants_text=" ".join(map(str, grants)),
        labels_text=json.dumps(labels),
        commit_key=key,
        receipt=receipt,
    )
    read = Reservation.unpack(reservation.pack())
    assert read == reservation
    assert (read.legs, read.windows, read.grants) == (tuple(legs), tuple(windows), tuple(grants))
    assert read.labels == labels
    read.check()


@pytest.mark.parametrize(
    "part", ["legs_text", "windows_text", "grants_text", "labels_text"], ids=lambda part: part
)
def test_a_reservation_with_a_broken_part_does_not_pass(part):
    packed = f"{RESERVATION_ID}\nacme\nHELD\n0\n0\n1\n2\n0\n\n\n\n{{}}\n\n"
    broken = Reservation.unpack(packed)._replace(**{part: "torn"})
    with pytest.raises((KeyError, ValueError)):
        broken.check()


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
