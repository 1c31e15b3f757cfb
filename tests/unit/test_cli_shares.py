"""Shares as people write and read them."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymaster.cli.shares import PPM, parse_share, share_text


@pytest.mark.parametrize(
    ("text", "ppm"),
    [
        ("1%", 10_000),
        ("0.01", 10_000),
        ("0.0001%", 1),
        ("100%", PPM),
        ("1", PPM),
        ("0", 0),
        (" 2.5 % ", 25_000),
    ],
)
def test_a_share_is_read_exactly(text, ppm):
    assert parse_share(text) == ppm


@pytest.mark.parametrize(
    "text", ["", "%", "x", "2", "101%", "-1%", "0.00001%", "nan", "1e-999999999", "inf", "1%%"]
)
def test_what_is_no_share_is_told_with_the_way_out(text):
    with pytest.raises(click.BadParameter, match=r"write 0\.5% or 0\.005"):
        parse_share(text)


@given(st.integers(0, PPM))
def test_what_is_shown_is_what_is_read(ppm):
    assert parse_share(share_text(ppm)) == ppm


def test_none_is_a_dash():
    assert share_text(None) == "-"
