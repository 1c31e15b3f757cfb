"""What the clients refuse before anything is sent, and what they offer."""

from __future__ import annotations

from decimal import Decimal

import pytest

import clients
from clients import AuthorityClient, Leg, Unit, usd
from clients.errors import BudgetDenied, DeadlineExceeded, Unavailable
from clients.retry import RetryPolicy


@pytest.mark.parametrize(
    ("amount", "micros"),
    [("0.04", 40_000), (1, 1_000_000), (Decimal("0.000001"), 1), ("0", 0), ("1e2", 100_000_000)],
)
def test_money_is_made_from_decimals(amount, micros):
    assert usd(amount) == Leg(Unit.USD, micros)


@pytest.mark.parametrize("amount", [0.04, True, None, b"1"])
def test_a_float_is_no_money(amount):
    with pytest.raises(TypeError):
        usd(amount)


@pytest.mark.parametrize(
    "amount", ["0.0000001", "x", "", "-1", "NaN", "inf", "9007199255", "1e400"]
)
def test_money_that_is_none(amount):
    with pytest.raises(ValueError, match="amount of money"):
        usd(amount)


@pytest.mark.parametrize(
    ("address", "token"),
    [("", None), ("http://x:1", None), ("x", None), ("x:1", "two words"), ("x:1", "line\n")],
)
async def test_an_address_or_token_that_cannot_be(address, token):
    with pytest.raises(ValueError, match=r"address|token") as refused:
        AuthorityClient(address, token=token)
    assert token is None or token not in str(refused.value)


def test_all_that_is_exported_exists_and_is_listed():
    assert all(hasattr(clients, name) for name in clients.__all__)
    assert sorted(clients.__all__) == clients.__all__


def _error(kind):
    error = kind("x")
    error.retry_after = None
    return error


def test_only_unavailable_is_tried_again():
    policy = RetryPolicy(random=lambda: 1.0)
    assert policy.delay(_error(Unavailable), 1, 10) == pytest.approx(0.1)
    assert policy.delay(_error(BudgetDenied), 1, 10) is None
    assert policy.delay(_error(DeadlineExceeded), 1, 10) is None


def test_delays_grow_to_a_bound_and_end_with_the_deadline():
    policy = RetryPolicy(random=lambda: 1.0, attempts_max=10)
    delays = [policy.delay(_error(Unavailable), attempt, 10) for attempt in range(1, 11)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1, 1, None])
    assert policy.delay(_error(Unavailable), 1, 0.05) is None
