"""Amounts as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymaster.cli.money import AMOUNT_MAX, BadAmount, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("0.50", "USD", 500_000),
        ("$0.50", "USD", 500_000),
        ("0.000001", "USD", 1),
        ("1e-6", "USD", 1),
        ("12", "CREDITS", 12_000_000),
        ("25", "IMAGES", 25),
        ("0", "USD", 0),
        ("9007199254.740991", "USD", AMOUNT_MAX),
    ],
)
def test_amounts_are_read_exactly(text, unit, amount):
    assert parse_amount(text, unit) == amount


@pytest.mark.parametrize(
    ("text", "unit", "hint"),
    [
        ("", "USD", "0.50"),
        ("abc", "USD", "0.50"),
        ("-1", "USD", "not an amount"),
        ("NaN", "USD", "not an amount"),
        ("Infinity", "USD", "not an amount"),
        ("0.0000001", "USD", "at most 6 decimals"),
        ("1.5", "IMAGES", "a whole number"),
        ("$5", "IMAGES", "25"),
        ("9007199254.740992", "USD", "$9007199254.740991"),
        ("9007199254740992", "IMAGES", str(AMOUNT_MAX)),
        ("1e999", "USD", "too large"),
        ("1e999999999", "USD", "not an amount"),
        ("0.5" + "0" * 60 + "1", "USD", "not an amount"),
        ("1e-999999999", "USD", "not an amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_way_out(text, unit, hint):
    with pytest.raises(BadAmount) as caught:
        parse_amount(text, unit)
    assert hint in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (500_000, "USD", "$0.50"),
        (40_800, "USD", "$0.0408"),
        (1, "USD", "$0.000001"),
        (-1_250_000, "USD", "-$1.25"),
        (0, "USD", "$0.00"),
        (1_500_000, "CREDITS", "1.50"),
        (25, "IMAGES", "25"),
    ],
)
def test_amounts_are_shown_with_all_their_digits(amount, unit, text):
    assert format_amount(amount, unit) == text


@given(st.integers(0, AMOUNT_MAX), st.sampled_from(["USD", "CREDITS", "IMAGES"]))
def test_what_is_shown_reads_back_as_the_same(amount, unit):
    assert parse_amount(format_amount(amount, unit), unit) == amount
