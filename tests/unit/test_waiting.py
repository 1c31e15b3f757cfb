"""The journal's waiting list: equal shares where not all fits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.ledger.waiting import Waiting, WaitingList


def _list_of(places):
    waiting = WaitingList()
    for tenant, sequence in places:
        waiting.add(Waiting(SimpleNamespace(tenant=tenant, sequence=sequence), "", None))
    return waiting


def _take(waiting, limit):
    return [(item.operation.tenant, item.operation.sequence) for item in waiting.take(limit)]


def test_all_are_taken_where_there_is_room():
    waiting = _list_of([("a", 2), ("b", 1), ("a", 1)])
    assert sorted(_take(waiting, 3)) == [("a", 1), ("a", 2), ("b", 1)]
    assert len(waiting) == 0


def test_one_that_floods_takes_no_room_from_another():
    waiting = _list_of([("flood", n) for n in range(100)] + [("b", 1), ("c", 1), ("c", 2)])
    taken = _take(waiting, 10)
    assert {("b", 1), ("c", 1), ("c", 2)} <= set(taken)
    # What the others do not need is not wasted, and those decided first go first.
    assert [place for place in taken if place[0] == "flood"] == [("flood", n) for n in range(7)]


def test_every_tenant_has_its_turn_where_there_are_more_than_places():
    waiting = _list_of([(f"t{tenant}", n) for n in range(2) for tenant in range(10)])
    first = {tenant for tenant, _ in _take(waiting, 5)}
    second = {tenant for tenant, _ in _take(waiting, 5)}
    assert len(first | second) == 10


@pytest.mark.parametrize("limit", [1, 3, 50])
@given(places=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20)), unique=True))
def test_each_is_taken_once_and_in_the_order_of_its_tenant(limit, places):
    waiting, taken = _list_of(places), []
    while waiting:
        batch = _take(waiting, limit)
        assert len(batch) == min(limit, len(places) - len(taken))
        taken += batch
    assert sorted(taken) == sorted(places)
    if len(places) > limit:
        for tenant in "abcd":
            own = [sequence for name, sequence in taken[:limit] if name == tenant]
            assert (
                own == sorted(sequence for name, sequence in places if name == tenant)[: len(own)]
            )
